//! Charts of the score over the parameters: lines over one, a heat map over two, parallel coordinates
//! over more. What is too much to be drawn point by point is aggregated, and the chart says so.

use serde_json::{Value as Json, json};

use super::charts::{
    COLOURS, Chart, FAILED, axis, label, layout, number, numbers, plain, score_colours, with,
};
use super::{Axis, Landscape, Panel, Scale, quantile};
use crate::report::words::count;

/// So many data sets are drawn into one chart as lines; of more, one at a time.
const TOGETHER: usize = 12;
/// So many points a line has; more are drawn as bands.
const LINE: usize = 2000;
/// So many values an axis of a heat map has; more are put into bins.
const CELLS: usize = 200;
/// So many points are drawn as dots, or as lines between parallel axes.
const DOTS: usize = 5000;
/// So many values of one parameter among several are drawn; more are put into bins.
const VALUES: usize = 40;
/// How many numbers the page holds for data sets to choose from.
const NUMBERS: usize = 400_000;

/// What the charts are drawn from.
pub(super) struct Scores<'a> {
    pub(super) landscape: &'a Landscape,
    /// What a data set is called.
    pub(super) set: String,
}

/// The charts of a landscape, each with what has to be said about it.
pub(super) fn charts(scores: &Scores) -> Vec<(Chart, Vec<String>)> {
    let landscape = scores.landscape;
    let scored = |panel: &Panel| panel.scores.iter().any(|score| score.is_finite());
    if landscape.axes.is_empty() || !landscape.panels.iter().any(scored) {
        return Vec::new();
    }
    match landscape.axes.as_slice() {
        [one] => vec![lines(scores, one)],
        [x, y] => vec![map(scores, x, y), each_parameter(scores)],
        _ => vec![parallel(scores), each_parameter(scores)],
    }
}

impl Scores<'_> {
    fn panels(&self) -> &[Panel] {
        &self.landscape.panels
    }

    /// What can be chosen, and what to say if that is not everything.
    fn choices(
        &self,
        each: usize,
        notes: &mut Vec<String>,
        choice: impl Fn(&Panel) -> Json,
    ) -> (Json, Option<String>) {
        let shown = (NUMBERS / each.max(1)).clamp(1, self.panels().len());
        let all = self.panels().len() as u64 + self.landscape.left;
        if (shown as u64) < all {
            notes.push(format!(
                "The first {} of {} values of {} can be chosen here; all_runs in runs.sqlite has all of them.",
                count(shown as u64),
                count(all),
                self.set
            ));
        }
        let choices = self.panels()[..shown]
            .iter()
            .map(|panel| json!({ "name": panel.name, "patches": choice(panel) }));
        let label = (all > 1).then(|| self.set.clone());
        (choices.collect(), label)
    }

    /// How the hover text of a point goes on after its name.
    fn hover(&self, axis: &Axis) -> String {
        let x = if is_categories(axis) { "%{text}" } else { "%{x:.6~g}" };
        let name = plain_label(&axis.name);
        format!("{name}: {x}<br>{}: %{{y:.6~g}}<extra></extra>", plain_label(&self.landscape.score))
    }
}

fn is_categories(axis: &Axis) -> bool {
    matches!(axis.scale, Scale::Categories(_))
}

/// A name in a template of plotly.js, where `%{` would begin a variable.
fn plain_label(name: &str) -> String {
    label(name).replace("%{", "% {")
}

/// The words for places, where they are no numbers.
fn texts(axis: &Axis, places: &[f64]) -> Json {
    match is_categories(axis) {
        true => places.iter().map(|place| json!(label(&axis.words(*place)))).collect(),
        false => Json::Null,
    }
}

fn lines(scores: &Scores, x: &Axis) -> (Chart, Vec<String>) {
    let mut notes = Vec::new();
    let mut order: Vec<usize> = (0..x.places.len()).collect();
    order.sort_by(|a, b| x.places[*a].total_cmp(&x.places[*b]));
    // A line through bins has the median of each, and the best is marked where it is.
    let bin = order.len().div_ceil(LINE);
    if bin > 1 {
        notes.push(format!(
            "{} points a line are too many to be drawn: lines go through the medians of {bin} neighbours each; the best is marked where it is.",
            count(order.len() as u64)
        ));
    }
    let middle = |values: Vec<f64>| {
        let mut values: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).collect();
        values.sort_by(f64::total_cmp);
        quantile(&values, 0.5)
    };
    let through = |values: &[f64]| -> Vec<f64> {
        order.chunks(bin).map(|bin| middle(bin.iter().map(|i| values[*i]).collect())).collect()
    };
    let xs =
        if bin > 1 { through(&x.places) } else { order.iter().map(|i| x.places[*i]).collect() };
    let text = texts(x, &xs);
    let mode = match xs.len() {
        _ if is_categories(x) => "markers",
        1 => "markers",
        0..=60 => "lines+markers",
        _ => "lines",
    };
    let hover = format!("<b>%{{fullData.name}}</b><br>{}", scores.hover(x));
    let line = |name: &str, i: usize| {
        let dash = if i / COLOURS.len() % 2 == 1 { "dash" } else { "solid" };
        let colour = COLOURS[i % COLOURS.len()];
        json!({
            "type": "scatter", "mode": mode, "name": label(name), "legendgroup": i.to_string(),
            "line": { "color": colour, "dash": dash, "width": 2 },
            "marker": { "color": colour, "size": 5 }, "x": numbers(xs.iter().copied()),
            "text": text, "hovertemplate": hover, "connectgaps": false,
        })
    };
    let star = |name: &str, i: usize| {
        json!({
            "type": "scatter", "mode": "markers", "name": label(name), "showlegend": false,
            "legendgroup": i.to_string(),
            "marker": { "symbol": "star", "size": 15, "color": COLOURS[i % COLOURS.len()],
                        "line": { "color": "#fff", "width": 1 } },
            "hovertemplate": format!("<b>best of %{{fullData.name}}</b><br>{}", scores.hover(x)),
        })
    };
    let best = |panel: &Panel| {
        let places: Vec<f64> = panel.best.iter().map(|i| x.places[*i]).collect();
        json!({
            "x": numbers(places.iter().copied()), "text": texts(x, &places),
            "y": numbers(panel.best.iter().map(|i| panel.scores[*i])),
        })
    };
    let layout = with(
        layout(460),
        json!({ "xaxis": axis(x), "yaxis": plain(&label(&scores.landscape.score)), "hovermode": "closest" }),
    );
    let panels = scores.panels();
    let few = panels.len() <= TOGETHER && panels.len() * xs.len() <= NUMBERS;
    let chart =
        |json: Json, label: Option<String>| Chart { id: "scores", label, height: 460, json };
    if few && scores.landscape.left == 0 {
        let each = panels.iter().enumerate().flat_map(|(i, panel)| {
            let y = json!({ "y": numbers(through(&panel.scores)), "showlegend": panels.len() > 1 });
            [with(line(&panel.name, i), y), with(star(&panel.name, i), best(panel))]
        });
        let data: Vec<Json> = each.collect();
        return (chart(json!({ "data": data, "layout": layout }), None), notes);
    }
    notes.push(format!(
        "The grey bands are over {} values of {}: all of them, the middle 80%, the middle 50%, and their median. The line is the one chosen above.",
        count(panels.len() as u64),
        scores.set
    ));
    let all: Vec<Vec<f64>> = panels.iter().map(|panel| through(&panel.scores)).collect();
    let column = |i: usize| {
        let mut values: Vec<f64> = all.iter().map(|y| y[i]).filter(|y| y.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        values
    };
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
        "hovertemplate": hover,
    }));
    let own = data.len();
    data.extend([line("", 0), star("", 0)]);
    let (choices, label) = scores.choices(xs.len(), &mut notes, |panel| {
        let name = json!({ "name": self::label(&panel.name) });
        let y = json!({ "y": numbers(through(&panel.scores)) });
        json!({ own.to_string(): with(y, name.clone()), (own + 1).to_string(): with(best(panel), name) })
    });
    (chart(json!({ "data": data, "layout": layout, "choices": choices }), label), notes)
}

fn map(scores: &Scores, x: &Axis, y: &Axis) -> (Chart, Vec<String>) {
    let mut notes = Vec::new();
    let points = x.places.len();
    let grid = x.distinct().len() * y.distinct().len();
    let shape = with(
        layout(520),
        json!({ "xaxis": axis(x), "yaxis": axis(y), "hovermode": "closest", "plot_bgcolor": "#ddd" }),
    );
    let hover = |x_text: &str, y_text: &str, value: &str| {
        format!(
            "{}: {x_text}<br>{}: {y_text}<br>{}: {value}<extra></extra>",
            plain_label(&x.name),
            plain_label(&y.name),
            plain_label(&scores.landscape.score)
        )
    };
    let star = json!({
        "type": "scatter", "mode": "markers", "name": "best", "showlegend": false,
        "marker": { "symbol": "star", "size": 18, "color": FAILED, "line": { "color": "#fff", "width": 1.5 } },
        "hovertemplate": format!("<b>best</b><br>{}", hover("%{text[0]}", "%{text[1]}", "%{text[2]}")),
    });
    let words = |axis: &Axis, i: usize| label(&axis.words(axis.places[i]));
    let best = |panel: &Panel| {
        let place = |axis: &Axis| numbers(panel.best.iter().map(|i| axis.places[*i]));
        let text: Vec<Json> = panel
            .best
            .iter()
            .map(|i| json!([words(x, *i), words(y, *i), number(panel.scores[*i])]))
            .collect();
        json!({ "x": place(x), "y": place(y), "text": text })
    };
    let colours = score_colours(&scores.landscape.score, scores.landscape.high_is_best);
    if grid > 2 * points && points <= DOTS {
        let text: Vec<Json> = (0..points).map(|i| json!([words(x, i), words(y, i)])).collect();
        let dots = json!({
            "type": "scatter", "mode": "markers", "showlegend": false, "text": text,
            "x": numbers(x.places.iter().copied()), "y": numbers(y.places.iter().copied()),
            "hovertemplate": hover("%{text[0]}", "%{text[1]}", "%{marker.color:.6~g}"),
        });
        let (choices, label) = scores.choices(points, &mut notes, |panel| {
            let values = numbers(panel.scores.iter().copied());
            let marker = with(json!({ "size": 9, "color": values }), colours.clone());
            json!({ "0": { "marker": marker }, "1": best(panel) })
        });
        notes.push("Each dot is a point; grey ones have no score.".to_string());
        let json = json!({ "data": [dots, star], "layout": with(shape, json!({ "plot_bgcolor": "#fff" })), "choices": choices });
        return (Chart { id: "scores", label, height: 520, json }, notes);
    }
    let ((xs, columns), (ys, rows)) = (x.binned(CELLS), y.binned(CELLS));
    if xs.len() * ys.len() < grid || points > grid {
        let what = if scores.landscape.decided { "best" } else { "median" };
        notes.push(format!("Each cell is the {what} of the points that fall into it."));
    }
    notes.push("Grey cells have no score.".to_string());
    let (x_texts, y_texts) = (texts_or_numbers(x, &xs), texts_or_numbers(y, &ys));
    let text: Vec<Vec<String>> =
        y_texts.iter().map(|y| x_texts.iter().map(|x| format!("{x}, {y}")).collect()).collect();
    let cells = with(
        json!({
            "type": "heatmap", "x": numbers(xs.iter().copied()), "y": numbers(ys.iter().copied()),
            "text": text, "hoverongaps": false,
            "hovertemplate": format!(
                "{}, {}: %{{text}}<br>{}: %{{z:.6~g}}<extra></extra>",
                plain_label(&x.name), plain_label(&y.name), plain_label(&scores.landscape.score)
            ),
        }),
        colours,
    );
    let (choices, label) = scores.choices(xs.len() * ys.len(), &mut notes, |panel| {
        let mut z = vec![vec![Vec::new(); xs.len()]; ys.len()];
        for (i, score) in panel.scores.iter().enumerate() {
            z[rows[i]][columns[i]].push(*score);
        }
        let row = |row: Vec<Vec<f64>>| {
            numbers(row.into_iter().map(|values| scores.landscape.fold(values)))
        };
        json!({ "0": { "z": z.into_iter().map(row).collect::<Json>() }, "1": best(panel) })
    });
    let json = json!({ "data": [cells, star], "layout": shape, "choices": choices });
    (Chart { id: "scores", label, height: 520, json }, notes)
}

fn texts_or_numbers(axis: &Axis, places: &[f64]) -> Vec<String> {
    places.iter().map(|place| label(&axis.words(*place))).collect()
}

/// The names along parallel axes are texts, in which nothing means more than it says.
fn plain_text(name: &str) -> String {
    crate::report::beginning(name, 30)
}

fn parallel(scores: &Scores) -> (Chart, Vec<String>) {
    let mut notes = vec![
        "Each line is a point; drag along an axis to keep only the lines that pass there."
            .to_string(),
    ];
    let landscape = scores.landscape;
    let every = landscape.points.div_ceil(DOTS);
    let mut shown: Vec<usize> = (0..landscape.points).step_by(every).collect();
    if every > 1 {
        shown.extend(landscape.panels.iter().take(DOTS).filter_map(|panel| panel.best));
        shown.sort_unstable();
        shown.dedup();
        notes.push(format!(
            "Of {} points every {every}th is drawn, and the best one; the charts below are of all of them.",
            count(landscape.points as u64)
        ));
    }
    if landscape.decided {
        notes.push("The best is the red line.".to_string());
    }
    let dimension = |axis: &Axis| {
        let log = axis.scale == Scale::Log;
        let on = |place: f64| if log { place.log10() } else { place };
        let values = numbers(shown.iter().map(|i| on(axis.places[*i])));
        let mut json = json!({ "label": label(&axis.name), "values": values });
        let ticks: Option<(Vec<f64>, Vec<String>)> = match &axis.scale {
            Scale::Linear => {
                let all = axis.distinct();
                let names = all.iter().map(|place| axis.words(*place)).collect();
                (all.len() <= 12).then_some((all, names))
            }
            Scale::Log => {
                let all: Vec<f64> = axis.distinct().into_iter().map(f64::log10).collect();
                let (low, high) = (all[0].floor() as i32, all[all.len() - 1].ceil() as i32);
                let every = ((high - low) / 8).max(1) as usize;
                let ticks = (low..=high).step_by(every).map(f64::from);
                Some(ticks.map(|tick| (tick, format!("{:e}", 10f64.powf(tick)))).unzip())
            }
            Scale::Categories(names) => {
                let every = names.len().div_ceil(20).max(1);
                let shown = names.iter().enumerate().step_by(every);
                Some(shown.map(|(i, name)| (i as f64, plain_text(name))).unzip())
            }
        };
        if let Some((places, names)) = ticks {
            json["tickvals"] = numbers(places);
            json["ticktext"] = json!(names);
        }
        json
    };
    let dimensions: Vec<Json> = landscape.axes.iter().map(dimension).collect();
    let lines = json!({
        "type": "parcoords", "dimensions": dimensions, "score": label(&scores.landscape.score),
        "high": scores.landscape.high_is_best, "labelfont": { "size": 13 },
    });
    let (choices, label) = scores.choices(shown.len(), &mut notes, |panel| {
        let own = numbers(shown.iter().map(|i| panel.scores[*i]));
        let best = panel.best.and_then(|best| shown.binary_search(&best).ok());
        json!({ "0": { "scores": own, "best": best } })
    });
    let shape = with(layout(480), json!({ "margin": { "l": 80, "r": 80, "t": 60, "b": 30 } }));
    let json = json!({ "data": [lines], "layout": shape, "choices": choices });
    (Chart { id: "scores", label, height: 480, json }, notes)
}

/// For each parameter the best score at each of its values, and the middle one, whatever the others are.
fn each_parameter(scores: &Scores) -> (Chart, Vec<String>) {
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
                break; // there is no best to tell apart from the middle
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
            for (point, score) in panel.scores.iter().enumerate().filter(|(_, s)| !s.is_nan()) {
                groups[bin[point]].push(*score);
            }
            ys.push(numbers(groups.iter().map(|values| scores.landscape.fold(values.clone()))));
            if scores.landscape.decided {
                ys.push(numbers(groups.into_iter().map(|mut values| {
                    values.sort_by(f64::total_cmp);
                    quantile(&values, 0.5)
                })));
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
