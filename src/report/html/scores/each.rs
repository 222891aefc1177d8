//! The score over each of several parameters separately.

use serde_json::{Value as Json, json};

use crate::report::html::charts::{COLOURS, Chart, axis, label, layout, numbers, plain, with};
use crate::report::html::scores::{Scores, is_categories, texts, with_deviations};
use crate::util::stats::median;

/// Values drawn per parameter; more are binned.
const VALUES: usize = 40;

/// For each parameter, the best and the median score at each of its values, over all other parameters.
pub(crate) fn each_parameter(scores: &Scores) -> (Chart, Vec<String>) {
    let axes = &scores.family.axes;
    // page.js places the plots, which depends on the width of the page.
    let height = 300 * axes.len().div_ceil(3) + 40;
    let mut shape = layout(height);
    let (mut data, mut bins) = (Vec::new(), Vec::new());
    let mut values = 0;
    for (i, x) in axes.iter().enumerate() {
        let (xs, bin) = x.binned(VALUES);
        let n = if i == 0 { String::new() } else { (i + 1).to_string() };
        shape[format!("xaxis{n}")] = with(axis(x), json!({ "anchor": format!("y{n}") }));
        let matches = if i == 0 { Json::Null } else { json!("y") };
        shape[format!("yaxis{n}")] =
            with(plain(""), json!({ "anchor": format!("x{n}"), "matches": matches }));
        let what = if scores.landscape.decided { "best" } else { "median" };
        for (name, colour, symbol) in
            [(what, COLOURS[0], "circle"), ("median", "#777", "circle-open")]
        {
            let deviation = if name == "best" { scores.deviation() } else { "" };
            let mode = if is_categories(x) { "markers" } else { "lines+markers" };
            data.push(json!({
                "type": "scatter", "mode": mode, "name": name, "legendgroup": name,
                "showlegend": i == 0, "x": numbers(xs.iter().copied()), "text": texts(x, &xs),
                "xaxis": format!("x{n}"), "yaxis": format!("y{n}"),
                "line": { "color": colour }, "marker": { "color": colour, "symbol": symbol, "size": 6 },
                "hovertemplate": format!("<b>{name}</b><br>{}", scores.hover(x, deviation)),
            }));
            if !scores.landscape.decided {
                break; // no best to show next to the median
            }
        }
        values += 2 * xs.len();
        bins.push((xs, bin));
    }
    let mut notes = vec![format!(
        "For each value of one parameter: {}the median over all the others.",
        if scores.landscape.decided { "the best score, and " } else { "" }
    )];
    if bins.iter().zip(axes).any(|((xs, _), axis)| xs.len() < axis.distinct().len()) {
        notes.push(format!("Parameters with more than {VALUES} values are in {VALUES} bins."));
    }
    if scores.has_stopped() {
        notes.push(
            "Points that were stopped early have no score and are in none of them.".to_string(),
        );
    }
    if scores.landscape.decided {
        notes.extend(scores.spread_note("The error bars of the best are"));
    }
    let (choices, label) = scores.choices(values, &mut notes, |panel| {
        let mut patches = Vec::new();
        for ((xs, bin), x) in bins.iter().zip(axes) {
            let mut groups = vec![Vec::new(); xs.len()];
            let spread = panel.deviations_by_point(scores.family);
            let mut deviations: Vec<Vec<f64>> = vec![Vec::new(); xs.len()];
            panel.points.iter().for_each(|point| {
                let point = *point as usize;
                deviations[bin[point]].push(spread[point]);
            });
            panel.each().for_each(|(point, score)| groups[bin[point]].push(score));
            // A value that none of the data set's points has is no gap in a line.
            let there = |i: &usize| panel.is_whole(scores.family) || !groups[*i].is_empty();
            let own: Vec<usize> = (0..xs.len()).filter(there).collect();
            let places = match own.len() < xs.len() {
                true => {
                    let xs: Vec<f64> = own.iter().map(|i| xs[*i]).collect();
                    json!({ "x": numbers(xs.iter().copied()), "text": texts(x, &xs) })
                }
                false => json!({}),
            };
            let folded: Vec<f64> =
                own.iter().map(|i| scores.landscape.fold(groups[*i].clone())).collect();
            let y = json!({ "y": numbers(folded.iter().copied()) });
            // A best score is one mean; a median is none.
            let of_best = own.iter().zip(&folded).map(|(i, best)| {
                let at = groups[*i].iter().position(|score| score == best);
                at.map_or(f64::NAN, |at| deviations[*i][at])
            });
            let y = match scores.landscape.decided {
                true => with_deviations(y, of_best),
                false => y,
            };
            patches.push(with(y, places.clone()));
            if scores.landscape.decided {
                let medians = own.iter().map(|i| median(groups[*i].iter().copied()));
                patches.push(with(json!({ "y": numbers(medians) }), places));
            }
        }
        let numbered = patches.into_iter().enumerate().map(|(i, patch)| (i.to_string(), patch));
        Json::Object(numbered.collect())
    });
    let panels = json!({ "count": axes.len(), "title": self::label(&scores.landscape.score) });
    let json = json!({ "data": data, "layout": shape, "choices": choices, "panels": panels });
    (Chart { id: scores.id("parameters"), label, height, least_width: None, json }, notes)
}
