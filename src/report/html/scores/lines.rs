//! The score over one parameter: a line per data set, or bands over all with one selected line.

use serde_json::{Value as Json, json};

use crate::report::html::charts::{COLOURS, Chart, axis, label, layout, numbers, plain, with};
use crate::report::html::scores::{
    NUMBERS, Scores, is_categories, stopped, texts, with_deviations,
};
use crate::report::model::axis::Axis;
use crate::report::model::family::Panel;
use crate::report::text::words::count;
use crate::util::stats::{median, quantile, sorted};

/// Data sets drawn as lines in one chart; with more, one is selected.
const TOGETHER: usize = 12;
/// Lines with more points have a band in place of error bars; page.js has the same number.
const BARS: usize = 60;
/// Points drawn per line; with more, bands.
const LINE: usize = 2000;

pub(crate) fn lines(scores: &Scores, x: &Axis) -> (Chart, Vec<String>) {
    let mut notes = Vec::new();
    let by_place = |a: &usize, b: &usize| x.places[*a].total_cmp(&x.places[*b]);
    let mut order: Vec<usize> = (0..x.places.len()).collect();
    order.sort_by(by_place);
    // A binned line shows the median of each bin; the best point is marked at its exact position.
    let bin = order.len().div_ceil(LINE);
    if bin > 1 {
        notes.push(format!(
            "{} points a line are too many to be drawn: lines go through the medians of {bin} neighbours each; the best is marked where it is.",
            count(order.len() as u64)
        ));
    }
    let through = |order: &[usize], values: &[f64]| -> Vec<f64> {
        order.chunks(bin).map(|bin| median(bin.iter().map(|i| values[*i]))).collect()
    };
    let xs = through(&order, &x.places);
    let text = texts(x, &xs);
    // A data set that does not have all points has a line through its own.
    let own = |panel: &Panel| {
        let scores_of = panel.by_point(scores.family);
        // The medians of several means have no spread of their own.
        let deviations = match bin {
            1 => panel.deviations_by_point(scores.family),
            _ => Vec::new(),
        };
        let spread = |order: &[usize]| -> Vec<f64> {
            order.iter().filter_map(|i| deviations.get(*i).copied()).collect()
        };
        if panel.is_whole(scores.family) {
            let y = json!({ "y": numbers(through(&order, &scores_of)) });
            return with_deviations(y, spread(&order));
        }
        let mut order: Vec<usize> = panel.each().map(|(point, _)| point).collect();
        order.sort_by(by_place);
        let xs = through(&order, &x.places);
        let ys = numbers(through(&order, &scores_of));
        let line = json!({ "x": numbers(xs.iter().copied()), "y": ys, "text": texts(x, &xs) });
        with_deviations(line, spread(&order))
    };
    if bin == 1 {
        let what = match xs.len() <= BARS {
            true => "The error bars are",
            false => "The band around a line is the mean ±",
        };
        notes.extend(scores.spread_note(what));
    }
    let mode = match xs.len() {
        _ if is_categories(x) => "markers",
        1 => "markers",
        0..=BARS => "lines+markers",
        _ => "lines",
    };
    let own_deviation = if bin == 1 { scores.deviation() } else { "" };
    let hover =
        |deviation: &str| format!("<b>%{{fullData.name}}</b><br>{}", scores.hover(x, deviation));
    let line = |name: &str, i: usize| {
        let dash = if i / COLOURS.len() % 2 == 1 { "dash" } else { "solid" };
        let colour = COLOURS[i % COLOURS.len()];
        json!({
            "type": "scatter", "mode": mode, "name": label(name), "legendgroup": i.to_string(),
            "line": { "color": colour, "dash": dash, "width": 2 },
            "marker": { "color": colour, "size": 5 }, "x": numbers(xs.iter().copied()),
            "text": text, "hovertemplate": hover(own_deviation), "connectgaps": false,
        })
    };
    let star = |name: &str, i: usize| {
        json!({
            "type": "scatter", "mode": "markers", "name": label(name), "showlegend": false,
            "legendgroup": i.to_string(),
            "marker": { "symbol": "star", "size": 15, "color": COLOURS[i % COLOURS.len()],
                        "line": { "color": "#fff", "width": 1 } },
            "hovertemplate": format!("<b>best of %{{fullData.name}}</b><br>{}", scores.hover(x, "")),
        })
    };
    let best = |panel: &Panel| {
        let places: Vec<f64> = panel.winner().iter().map(|(i, _)| x.places[*i]).collect();
        json!({
            "x": numbers(places.iter().copied()), "text": texts(x, &places),
            "y": numbers(panel.winner().map(|(_, score)| score)),
        })
    };
    let mut layout = with(
        layout(460),
        json!({ "xaxis": axis(x), "yaxis": plain(&label(&scores.landscape.score)), "hovermode": "closest" }),
    );
    let panels = scores.panels();
    let few = panels.len() <= TOGETHER && panels.len() * xs.len() <= NUMBERS;
    let few = few && scores.landscape.left == 0;
    let has_stopped = scores.has_stopped();
    if has_stopped {
        // What has no score has no height: the marks have a strip of their own, with a row for each line.
        let rows = if few { panels.len() } else { 1 };
        let strip = 0.03 * (rows + 1) as f64;
        layout["yaxis"]["domain"] = json!([strip, 1]);
        layout["xaxis"]["anchor"] = json!("y2");
        layout["yaxis2"] = json!({
            "domain": [0, 0.9 * strip], "range": [-1, rows], "visible": false, "fixedrange": true,
        });
        let what = "The hollow marks below the scores are points that were stopped early.";
        notes.push(what.to_string());
    }
    let marks = |name: &str, i: usize| {
        let own = json!({ "name": label(name), "legendgroup": i.to_string(), "yaxis": "y2" });
        with(stopped::marks(COLOURS[i % COLOURS.len()]), own)
    };
    let stopped = |panel: &Panel, i: usize| {
        let heights = panel.stopped.iter().map(|_| i as f64);
        with(stopped::places(panel, &[x]), json!({ "y": numbers(heights) }))
    };
    let chart = |json: Json, label: Option<String>| Chart {
        id: scores.id("scores"),
        label,
        height: 460,
        least_width: None,
        json,
    };
    if few {
        let each = panels.iter().enumerate().flat_map(|(i, panel)| {
            let y = with(own(panel), json!({ "showlegend": panels.len() > 1 }));
            let own = [with(line(&panel.name, i), y), with(star(&panel.name, i), best(panel))];
            let marks = has_stopped.then(|| with(marks(&panel.name, i), stopped(panel, i)));
            own.into_iter().chain(marks)
        });
        let data: Vec<Json> = each.collect();
        return (chart(json!({ "data": data, "layout": layout }), None), notes);
    }
    notes.push(format!(
        "The grey bands are over {} values of {}: all of them, the middle 80%, the middle 50%, and their median. The line is the one chosen above.",
        count(panels.len() as u64),
        scores.set
    ));
    let spread = |panel: &Panel| through(&order, &panel.by_point(scores.family));
    let all: Vec<Vec<f64>> = panels.iter().map(spread).collect();
    let column = |i: usize| sorted(all.iter().map(|y| y[i]).filter(|y| y.is_finite()));
    let columns: Vec<Vec<f64>> = (0..xs.len()).map(column).collect();
    let at = |part: f64| numbers(columns.iter().map(|sorted| quantile(sorted, part)));
    let edge = |part: f64, fill: Option<&str>| {
        json!({
            "type": "scatter", "mode": "lines", "x": numbers(xs.iter().copied()), "y": at(part),
            "line": { "width": 0 }, "fill": fill.map(|_| "tonexty"), "fillcolor": fill,
            "hoverinfo": "skip", "showlegend": false,
        })
    };
    let mut data = Vec::new();
    for (low, fill) in [(0.0, "#eeeeee"), (0.1, "#dddddd"), (0.25, "#c8c8c8")] {
        data.extend([edge(low, None), edge(1.0 - low, Some(fill))]);
    }
    data.push(json!({
        "type": "scatter", "mode": "lines", "name": "median", "x": numbers(xs.iter().copied()),
        "y": at(0.5), "text": text, "line": { "color": "#777", "dash": "dot", "width": 1.5 },
        "hovertemplate": hover(""),
    }));
    let first = data.len();
    data.extend([line("", 0), star("", 0)]);
    data.extend(has_stopped.then(|| marks("", 0)));
    let (choices, label) = scores.choices(xs.len(), &mut notes, |panel| {
        let name = json!({ "name": self::label(&panel.name) });
        let mut patches = json!({
            first.to_string(): with(own(panel), name.clone()),
            (first + 1).to_string(): with(best(panel), name.clone()),
        });
        if has_stopped {
            patches[(first + 2).to_string()] = with(stopped(panel, 0), name);
        }
        patches
    });
    (chart(json!({ "data": data, "layout": layout, "choices": choices }), label), notes)
}
