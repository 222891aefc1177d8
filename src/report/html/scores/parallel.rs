//! The score over three parameters or more: a line for each point, between parallel axes.

use serde_json::{Value as Json, json};

use super::{DOTS, Scores};
use crate::report::html::charts::{Chart, label, layout, numbers, with};
use crate::report::html::{Axis, Scale};
use crate::report::words::count;

/// The names along parallel axes are texts, in which nothing means more than it says.
fn plain_text(name: &str) -> String {
    crate::report::beginning(name, 30)
}

pub(super) fn parallel(scores: &Scores) -> (Chart, Vec<String>) {
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
