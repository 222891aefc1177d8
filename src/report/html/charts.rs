//! What all charts share: plotly.js layout, axes, colours and escaping.

use serde_json::{Value as Json, json};

use crate::report::html::markup::escape;
use crate::report::model::axis::{Axis, Scale};

/// Colours that are distinct with any colour vision (Okabe and Ito), without the one used for failures.
pub(crate) const COLOURS: [&str; 6] =
    ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000"];
pub(crate) const FAILED: &str = "#D55E00";

/// A chart, and its menu.
pub(crate) struct Chart {
    /// The id of its HTML element.
    pub(crate) id: String,
    /// The label of the menu, if there is one.
    pub(crate) label: Option<String>,
    pub(crate) height: usize,
    /// What the chart needs even on a narrow page, where it scrolls by itself. (pixels)
    pub(crate) least_width: Option<usize>,
    /// The JSON that page.js draws.
    pub(crate) json: Json,
}

/// Maximum number of category labels per axis.
const TICKS: usize = 40;

/// Maximum length of a label. (characters)
const LABEL: usize = 60;

/// A user's string in a chart; plotly.js would interpret `<` as markup.
pub(crate) fn label(text: &str) -> String {
    let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    escape(&crate::report::beginning(&shown, LABEL))
}

/// Numbers with seven digits; null for those that cannot be drawn.
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

/// What is the same in the light and in the dark; page.js adds the colours of the page.
pub(crate) fn layout(height: usize) -> Json {
    json!({
        "height": height,
        "margin": { "l": 70, "r": 20, "t": 20, "b": 60 },
        "hoverlabel": { "align": "left", "namelength": -1 },
        "legend": { "orientation": "h", "y": 1.02, "yanchor": "bottom" },
    })
}

pub(crate) fn plain(title: &str) -> Json {
    json!({
        "title": { "text": title }, "automargin": true, "zeroline": false, "ticks": "outside",
    })
}

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
                json["dtick"] = json!(1); // only the powers of ten
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

/// A colour scale on which better scores are brighter.
pub(crate) fn score_colours(title: &str, high_is_best: bool) -> Json {
    json!({
        "colorscale": "Viridis",
        "reversescale": !high_is_best,
        "colorbar": { "title": { "text": label(title), "side": "right" }, "thickness": 14 },
    })
}

/// Merges the fields of one object into another.
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
    fn labels_are_short() {
        assert_eq!(label(&"x".repeat(100)).len(), LABEL + 3);
    }
}
