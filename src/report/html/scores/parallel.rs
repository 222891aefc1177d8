//! The score over three or more parameters: a line per point, between parallel axes.

use serde_json::{Value as Json, json};

use crate::report::html::charts::{Chart, label, layout, numbers, with};
use crate::report::html::scores::{DOTS, Scores};
use crate::report::model::axis::{Axis, Scale};
use crate::report::model::family::Panel;
use crate::report::text::words::count;

/// The labels of parallel axes are plain strings, without markup.
fn plain_text(name: &str) -> String {
    crate::report::beginning(name, 30)
}

/// Tick marks at the powers of ten of a logarithmic axis; at its ends if there are fewer than two.
fn powers(axis: &Axis) -> (Vec<f64>, Vec<String>) {
    let all = axis.distinct();
    let (low, high) = (all[0].log10(), all[all.len() - 1].log10());
    let (first, last) = (low.ceil() as i32, high.floor() as i32);
    if first >= last {
        let ends = [all[0], all[all.len() - 1]];
        return ends.map(|place| (place.log10(), axis.words(place))).into_iter().unzip();
    }
    let every = ((last - first) / 8).max(1) as usize;
    let powers = (first..=last).step_by(every).map(f64::from);
    powers.map(|power| (power, format!("{:e}", 10f64.powf(power)))).unzip()
}

pub(crate) fn parallel(scores: &Scores) -> (Chart, Vec<String>) {
    let mut notes = vec![
        "Each line is a point; drag along an axis to keep only the lines that pass there."
            .to_string(),
    ];
    let (landscape, family) = (scores.landscape, scores.family);
    let every = family.points.div_ceil(DOTS);
    let mut shown: Vec<usize> = (0..family.points).step_by(every).collect();
    if every > 1 {
        let winners = family.panels.iter().take(DOTS).filter_map(Panel::winner);
        shown.extend(winners.map(|(point, _)| point));
        shown.sort_unstable();
        shown.dedup();
        notes.push(format!(
            "Of {} points every {every}th is drawn, and the best one; the charts below are of all of them.",
            count(family.points as u64)
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
        let named = axis.named();
        let ticks: Option<(Vec<f64>, Vec<String>)> = match &axis.scale {
            _ if named.is_some() => {
                named.map(|(places, names)| (places.into_iter().map(on).collect(), names))
            }
            Scale::Linear => None,
            Scale::Log => Some(powers(axis)),
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
    let dimensions: Vec<Json> = family.axes.iter().map(dimension).collect();
    let lines = json!({
        "type": "parcoords", "dimensions": dimensions, "score": label(&scores.landscape.score),
        "high": scores.landscape.high_is_best, "labelfont": { "size": 13 },
    });
    let (choices, label) = scores.choices(shown.len(), &mut notes, |panel| {
        let spread = panel.by_point(family);
        let own = numbers(shown.iter().map(|i| spread[*i]));
        let best = panel.winner().and_then(|(best, _)| shown.binary_search(&best).ok());
        json!({ "0": { "scores": own, "best": best } })
    });
    // The names at the first axis stand left of it.
    let names = dimensions.first().and_then(|first| first["ticktext"].as_array());
    let lengths =
        names.into_iter().flatten().filter_map(Json::as_str).map(|name| name.chars().count());
    let left = lengths.max().map_or(80, |longest| (20 + 7 * longest).max(80));
    // Titles stand above their axes, beside each other.
    let title = family.axes.iter().map(|axis| axis.name.chars().count().min(30)).max();
    let apart = title.map_or(110, |longest| (20 + 8 * longest).max(110));
    let least_width = Some(left + 80 + apart * family.axes.len());
    let shape = with(layout(480), json!({ "margin": { "l": left, "r": 80, "t": 60, "b": 30 } }));
    let json = json!({ "data": [lines], "layout": shape, "choices": choices });
    (Chart { id: scores.id("scores"), label, height: 480, least_width, json }, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_axis_names_powers_or_its_ends() {
        let names = |places: &[f64]| {
            let axis = Axis { name: "x".into(), scale: Scale::Log, places: places.to_vec() };
            powers(&axis).1
        };
        assert_eq!(names(&[50.0, 0.02]), ["1e-1", "1e0", "1e1"]);
        assert_eq!(names(&[0.3, 2.5]), ["0.3", "2.5"]);
    }
}
