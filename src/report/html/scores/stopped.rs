//! Points that were stopped early: they have no score, but a hollow mark that says why.

use serde_json::{Value as Json, json};

use crate::report::html::charts::{label, numbers};
use crate::report::html::markup::escape;
use crate::report::html::scores::Scores;
use crate::report::model::axis::Axis;
use crate::report::model::family::Panel;

impl Scores<'_> {
    /// Whether any point that is drawn was stopped.
    pub(super) fn has_stopped(&self) -> bool {
        self.panels().iter().any(|panel| !panel.stopped.is_empty())
    }
}

/// The marks, but for their places.
pub(super) fn marks(colour: &str) -> Json {
    json!({
        "type": "scatter", "mode": "markers", "name": "stopped early", "showlegend": false,
        "marker": { "symbol": "circle-open", "size": 8, "color": colour, "line": { "width": 1.5 } },
        "hovertemplate": "%{text}<extra></extra>",
    })
}

/// The places of a data set's marks on one axis or two, and what each says.
pub(super) fn places(panel: &Panel, axes: &[&Axis]) -> Json {
    let place = |axis: &Axis| numbers(panel.stopped.iter().map(|(point, _)| axis.places[*point]));
    let text = panel.stopped.iter().map(|(point, why)| {
        let names = axes.iter().map(|axis| {
            format!("{}: {}<br>", label(&axis.name), label(&axis.words(axis.places[*point])))
        });
        format!("{}stopped early: {}", names.collect::<String>(), escape(why))
    });
    let mut json = json!({ "x": axes.first().map(|x| place(x)), "text": text.collect::<Vec<_>>() });
    if let Some(y) = axes.get(1) {
        json["y"] = place(y);
    }
    json
}
