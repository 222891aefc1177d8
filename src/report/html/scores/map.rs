//! The score over two parameters: a heat map if they form a grid, else dots.

use serde_json::{Value as Json, json};

use crate::report::html::charts::{
    Chart, FAILED, axis, label, layout, number, numbers, score_colours, with,
};
use crate::report::html::scores::{DOTS, Scores, plain_label, stopped, with_deviations};
use crate::report::model::axis::Axis;
use crate::report::model::family::Panel;

/// Values per heat map axis; more are binned.
const CELLS: usize = 200;

/// A colour has no room for a bar.
const HOVER: &str = "Hovering over a mean also shows";

pub(crate) fn map(scores: &Scores, x: &Axis, y: &Axis) -> (Chart, Vec<String>) {
    let mut notes = Vec::new();
    let points = x.places.len();
    let grid = x.distinct().len() * y.distinct().len();
    let shape =
        with(layout(520), json!({ "xaxis": axis(x), "yaxis": axis(y), "hovermode": "closest" }));
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
        let place = |axis: &Axis| numbers(panel.winner().iter().map(|(i, _)| axis.places[*i]));
        let text: Vec<Json> = panel
            .winner()
            .iter()
            .map(|(i, score)| json!([words(x, *i), words(y, *i), number(*score)]))
            .collect();
        json!({ "x": place(x), "y": place(y), "text": text })
    };
    let has_stopped = scores.has_stopped();
    let data = |first: Json| match has_stopped {
        true => json!([first, star, stopped::marks("#777")]),
        false => json!([first, star]),
    };
    let patches = |first: Json, panel: &Panel| match has_stopped {
        true => json!({ "0": first, "1": best(panel), "2": stopped::places(panel, &[x, y]) }),
        false => json!({ "0": first, "1": best(panel) }),
    };
    if has_stopped {
        notes.push("The hollow marks are points that were stopped early.".to_string());
    }
    let colours = score_colours(&scores.landscape.score, scores.landscape.high_is_best);
    if grid > 2 * points && points <= DOTS {
        let text: Vec<Json> = (0..points).map(|i| json!([words(x, i), words(y, i)])).collect();
        let dots = json!({
            "type": "scatter", "mode": "markers", "showlegend": false, "text": text,
            "x": numbers(x.places.iter().copied()), "y": numbers(y.places.iter().copied()),
            "hovertemplate": hover("%{text[0]}", "%{text[1]}", &format!("%{{marker.color:.6~g}}{}", scores.deviation())),
        });
        let (choices, label) = scores.choices(points, &mut notes, |panel| {
            let values = numbers(panel.scores.iter().copied());
            let marker = with(json!({ "size": 9, "color": values }), colours.clone());
            let mut dots =
                with_deviations(json!({ "marker": marker }), panel.deviations.iter().copied());
            if !panel.is_whole(scores.family) {
                let own = || panel.each().map(|(point, _)| point);
                let text: Vec<Json> = own().map(|i| json!([words(x, i), words(y, i)])).collect();
                let place = |axis: &Axis| numbers(own().map(|i| axis.places[i]));
                dots = with(dots, json!({ "x": place(x), "y": place(y), "text": text }));
            }
            patches(dots, panel)
        });
        notes.push("Each dot is a point; grey ones have no score.".to_string());
        notes.extend(scores.spread_note(HOVER));
        let json = json!({ "data": data(dots), "layout": shape, "choices": choices });
        return (
            Chart { id: scores.id("scores"), label, height: 520, least_width: None, json },
            notes,
        );
    }
    let ((xs, columns), (ys, rows)) = (x.binned(CELLS), y.binned(CELLS));
    let one_each = xs.len() * ys.len() == grid && points <= grid;
    if one_each {
        notes.extend(scores.spread_note(HOVER));
    } else {
        let what = if scores.landscape.decided { "best" } else { "median" };
        notes.push(format!("Each cell is the {what} of the points that fall into it."));
    }
    let mut taken = vec![false; xs.len() * ys.len()];
    rows.iter().zip(&columns).for_each(|(row, column)| taken[row * xs.len() + column] = true);
    let whole = scores.panels().iter().all(|panel| panel.is_whole(scores.family));
    notes.push(match whole && taken.iter().all(|taken| *taken) {
        true => "Grey cells have no score.".to_string(),
        false => "Grey cells have no score, or there is no such point.".to_string(),
    });
    let (x_texts, y_texts) = (texts_or_numbers(x, &xs), texts_or_numbers(y, &ys));
    let text: Vec<Vec<String>> =
        y_texts.iter().map(|y| x_texts.iter().map(|x| format!("{x}, {y}")).collect()).collect();
    let cells = with(
        json!({
            "type": "heatmap", "x": numbers(xs.iter().copied()), "y": numbers(ys.iter().copied()),
            "text": text, "hoverongaps": false,
            "hovertemplate": format!(
                "{}, {}: %{{text}}<br>{}: %{{z:.6~g}}{}<extra></extra>",
                plain_label(&x.name), plain_label(&y.name), plain_label(&scores.landscape.score),
                if one_each { scores.deviation() } else { "" }
            ),
        }),
        colours,
    );
    let (choices, label) = scores.choices(xs.len() * ys.len(), &mut notes, |panel| {
        let mut z = vec![vec![Vec::new(); xs.len()]; ys.len()];
        panel.each().for_each(|(i, score)| z[rows[i]][columns[i]].push(score));
        let row = |row: Vec<Vec<f64>>| {
            numbers(row.into_iter().map(|values| scores.landscape.fold(values)))
        };
        let mut cells = json!({ "z": z.into_iter().map(row).collect::<Json>() });
        if one_each && !panel.deviations.is_empty() {
            let mut by_cell = vec![vec![f64::NAN; xs.len()]; ys.len()];
            let spread = panel.points.iter().zip(&panel.deviations);
            spread.for_each(|(i, own)| by_cell[rows[*i as usize]][columns[*i as usize]] = *own);
            cells["deviations"] = by_cell.into_iter().map(numbers).collect();
        }
        patches(cells, panel)
    });
    let grey = with(shape, json!({ "plot_bgcolor": "#ddd" }));
    let json = json!({ "data": data(cells), "layout": grey, "choices": choices });
    (Chart { id: scores.id("scores"), label, height: 520, least_width: None, json }, notes)
}

fn texts_or_numbers(axis: &Axis, places: &[f64]) -> Vec<String> {
    places.iter().map(|place| label(&axis.words(*place))).collect()
}
