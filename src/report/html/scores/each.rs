//! The score over each of several parameters separately.

use serde_json::{Value as Json, json};

use crate::report::html::charts::{COLOURS, Chart, axis, label, layout, numbers, plain, with};
use crate::report::html::scores::{Scores, is_categories, texts};
use crate::util::stats::median;

/// Values drawn per parameter; more are binned.
const VALUES: usize = 40;

/// For each parameter, the best and the median score at each of its values, over all other parameters.
pub(crate) fn each_parameter(scores: &Scores) -> (Chart, Vec<String>) {
    let axes = &scores.family.axes;
    let (across, wide) = (axes.len().min(3), 1.0 / axes.len().min(3) as f64);
    let down = axes.len().div_ceil(across);
    let height = 300 * down + 40;
    let mut shape = with(
        layout(height),
        json!({ "legend": { "orientation": "h", "y": 1.02, "yanchor": "bottom" } }),
    );
    let (mut data, mut bins) = (Vec::new(), Vec::new());
    let mut values = 0;
    for (i, x) in axes.iter().enumerate() {
        let (xs, bin) = x.binned(VALUES);
        let n = if i == 0 { String::new() } else { (i + 1).to_string() };
        let (row, column) = (i / across, i % across);
        let high = 1.0 / down as f64;
        let left = column as f64 * wide + if column > 0 { 0.06 } else { 0.0 };
        let top = 1.0 - row as f64 * high;
        shape[format!("xaxis{n}")] = with(
            axis(x),
            json!({ "domain": [left, (column + 1) as f64 * wide], "anchor": format!("y{n}") }),
        );
        let title = if column == 0 { label(&scores.landscape.score) } else { String::new() };
        let matches = if i == 0 { Json::Null } else { json!("y") };
        shape[format!("yaxis{n}")] = with(
            plain(&title),
            json!({ "domain": [top - high * if down > 1 { 0.72 } else { 1.0 }, top],
                    "anchor": format!("x{n}"), "matches": matches }),
        );
        let what = if scores.landscape.decided { "best" } else { "median" };
        for (name, colour, symbol) in
            [(what, COLOURS[0], "circle"), ("median", "#777", "circle-open")]
        {
            let mode = if is_categories(x) { "markers" } else { "lines+markers" };
            data.push(json!({
                "type": "scatter", "mode": mode, "name": name, "legendgroup": name,
                "showlegend": i == 0, "x": numbers(xs.iter().copied()), "text": texts(x, &xs),
                "xaxis": format!("x{n}"), "yaxis": format!("y{n}"),
                "line": { "color": colour }, "marker": { "color": colour, "symbol": symbol, "size": 6 },
                "hovertemplate": format!("<b>{name}</b><br>{}", scores.hover(x)),
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
    let (choices, label) = scores.choices(values, &mut notes, |panel| {
        let mut patches = Vec::new();
        for ((xs, bin), x) in bins.iter().zip(axes) {
            let mut groups = vec![Vec::new(); xs.len()];
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
            let folded = own.iter().map(|i| scores.landscape.fold(groups[*i].clone()));
            patches.push(with(json!({ "y": numbers(folded) }), places.clone()));
            if scores.landscape.decided {
                let medians = own.iter().map(|i| median(groups[*i].iter().copied()));
                patches.push(with(json!({ "y": numbers(medians) }), places));
            }
        }
        let numbered = patches.into_iter().enumerate().map(|(i, patch)| (i.to_string(), patch));
        Json::Object(numbered.collect())
    });
    let json = json!({ "data": data, "layout": shape, "choices": choices });
    (Chart { id: scores.id("parameters"), label, height, json }, notes)
}
