//! The score over each of several parameters separately.

use serde_json::{Value as Json, json};

use crate::report::html::charts::{COLOURS, Chart, axis, label, layout, numbers, plain, with};
use crate::report::html::scores::{Scores, is_categories, texts};
use crate::util::stats::median;

/// Values drawn per parameter; more are binned.
const VALUES: usize = 40;

/// For each parameter, the best and the median score at each of its values, over all other parameters.
pub(crate) fn each_parameter(scores: &Scores) -> (Chart, Vec<String>) {
    let axes = &scores.landscape.axes;
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
        bins.push((xs.len(), bin));
    }
    let mut notes = vec![format!(
        "For each value of one parameter: {}the median over all the others.",
        if scores.landscape.decided { "the best score, and " } else { "" }
    )];
    if bins.iter().zip(axes).any(|((len, _), axis)| *len < axis.distinct().len()) {
        notes.push(format!("Parameters with more than {VALUES} values are in {VALUES} bins."));
    }
    let (choices, label) = scores.choices(values, &mut notes, |panel| {
        let mut ys = Vec::new();
        for (len, bin) in &bins {
            let mut groups = vec![Vec::new(); *len];
            for (point, score) in panel.scores.iter().enumerate() {
                groups[bin[point]].push(*score);
            }
            ys.push(numbers(groups.iter().map(|values| scores.landscape.fold(values.clone()))));
            if scores.landscape.decided {
                ys.push(numbers(groups.into_iter().map(median)));
            }
        }
        ys.into_iter()
            .enumerate()
            .map(|(i, y)| (i.to_string(), json!({ "y": y })))
            .collect::<serde_json::Map<_, _>>()
            .into()
    });
    let json = json!({ "data": data, "layout": shape, "choices": choices });
    (Chart { id: "parameters", label, height, json }, notes)
}
