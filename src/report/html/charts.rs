//! What all charts have in common, as plotly.js wants it described.

use serde_json::{Value as Json, json};

use crate::report::model::axis::{Axis, Scale};

/// Colours that people with any colour vision tell apart (Okabe and Ito), less the one for failures.
pub(crate) const COLOURS: [&str; 6] =
    ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000"];
pub(crate) const FAILED: &str = "#D55E00";

/// A chart, and what can be chosen to be shown in it.
pub(crate) struct Chart {
    /// The name of its place in the page.
    pub(crate) id: &'static str,
    /// What can be chosen, if anything.
    pub(crate) label: Option<String>,
    pub(crate) height: usize,
    /// What page.js draws.
    pub(crate) json: Json,
}

/// How many categories are named on an axis.
const TICKS: usize = 40;

/// How long a label is. (characters)
const LABEL: usize = 60;

/// A text of the user's in a chart, where plotly.js would take `<` for markup.
pub(crate) fn label(text: &str) -> String {
    let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    escape(&crate::report::beginning(&shown, LABEL))
}

/// A text in HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            // What a browser makes of other control characters is nothing to look at.
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Numbers to seven digits, null where there is none that can be drawn.
pub(crate) fn numbers(numbers: impl IntoIterator<Item = f64>) -> Json {
    Json::Array(numbers.into_iter().map(number).collect())
}

pub(crate) fn number(number: f64) -> Json {
    if !number.is_finite() {
        return Json::Null;
    }
    let short: f64 = format!("{number:.6e}").parse().unwrap_or(number);
    if short == short.trunc() && short.abs() < 1e15 { json!(short as i64) } else { json!(short) }
}

/// The layout of every chart.
pub(crate) fn layout(height: usize) -> Json {
    json!({
        "height": height,
        "margin": { "l": 70, "r": 20, "t": 20, "b": 60 },
        "font": { "family": "system-ui, sans-serif", "size": 13, "color": "#222" },
        "paper_bgcolor": "#fff",
        "plot_bgcolor": "#fff",
        "hoverlabel": { "align": "left", "namelength": -1 },
        "legend": { "orientation": "h", "y": -0.22, "yanchor": "top" },
    })
}

/// A plain axis.
pub(crate) fn plain(title: &str) -> Json {
    json!({
        "title": { "text": title }, "automargin": true, "zeroline": false,
        "gridcolor": "#e5e5e5", "linecolor": "#888", "ticks": "outside",
    })
}

/// The axis of a parameter.
pub(crate) fn axis(axis: &Axis) -> Json {
    let mut json = plain(&label(&axis.name));
    if let Some((places, names)) = axis.named() {
        json["tickvals"] = numbers(places);
        json["ticktext"] = json!(names);
    }
    match &axis.scale {
        Scale::Linear => {}
        Scale::Log => {
            json["type"] = json!("log");
            json["exponentformat"] = json!("power");
            let places = axis.distinct();
            if places.first().zip(places.last()).is_some_and(|(low, high)| high / low >= 100.0) {
                json["dtick"] = json!(1); // the powers of ten, nothing in between
            }
        }
        Scale::Categories(names) => {
            let every = names.len().div_ceil(TICKS);
            let shown = names.iter().enumerate().step_by(every.max(1));
            let (places, names): (Vec<usize>, Vec<String>) =
                shown.map(|(i, name)| (i, label(name))).unzip();
            json["tickvals"] = json!(places);
            json["ticktext"] = json!(names);
        }
    }
    json
}

/// A colour scale on which the better score is the brighter one.
pub(crate) fn score_colours(title: &str, high_is_best: bool) -> Json {
    json!({
        "colorscale": "Viridis",
        "reversescale": !high_is_best,
        "colorbar": { "title": { "text": label(title), "side": "right" }, "thickness": 14 },
    })
}

/// Puts the fields of one object into another.
pub(crate) fn with(mut json: Json, more: Json) -> Json {
    if let (Json::Object(fields), Json::Object(more)) = (&mut json, more) {
        fields.extend(more);
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_strange() {
        let all = [0.1 + 0.2, 3.0, f64::NAN, f64::INFINITY, 1e-300, -1.23456789e20];
        assert_eq!(numbers(all).to_string(), "[0.3,3,null,null,1e-300,-1.234568e+20]");
    }

    #[test]
    fn texts_are_escaped() {
        let hostile = "</script><img src=x onerror='a'>\u{2028}\u{0}&\"";
        let escaped = escape(hostile);
        assert!(!escaped.contains(['<', '>', '\'', '"', '\u{0}']), "{escaped}");
        assert_eq!(label(&"x".repeat(100)).len(), LABEL + 3);
    }
}
