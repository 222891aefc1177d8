//! Charts of the score over the parameters: lines for one, a heat map for two, parallel coordinates for more.
//! Large data are aggregated, and the chart says so.

mod each;
mod lines;
mod map;
mod parallel;
mod stopped;

use each::each_parameter;
use lines::lines;
use map::map;
use parallel::parallel;
use serde_json::{Value as Json, json};

use crate::report::html::charts::{Chart, label, numbers, with};
use crate::report::model::axis::{Axis, Scale};
use crate::report::model::family::{Family, Panel};
use crate::report::model::landscape::Landscape;
use crate::report::text::words::count;

/// Maximum number of points drawn as dots, or as lines between parallel axes.
const DOTS: usize = 5000;
/// Maximum number of values that the page embeds for the data set menu.
const NUMBERS: usize = 400_000;

/// Input of the charts.
pub(crate) struct Scores<'a> {
    pub(crate) landscape: &'a Landscape,
    pub(crate) family: &'a Family,
    /// The family's number, from 0 on.
    pub(crate) number: usize,
    /// The label of a data set.
    pub(crate) set: String,
}

/// The charts of a family, each with notes.
pub(crate) fn charts(scores: &Scores) -> Vec<(Chart, Vec<String>)> {
    let family = scores.family;
    let scored = |panel: &Panel| panel.scores.iter().any(|score| score.is_finite());
    if family.axes.is_empty() || !family.panels.iter().any(scored) {
        return Vec::new();
    }
    match family.axes.as_slice() {
        [one] => vec![lines(scores, one)],
        [x, y] => vec![map(scores, x, y), each_parameter(scores)],
        _ => vec![parallel(scores), each_parameter(scores)],
    }
}

impl Scores<'_> {
    fn panels(&self) -> &[Panel] {
        &self.family.panels
    }

    /// The id of a chart; the first family's have no number.
    fn id(&self, chart: &str) -> String {
        if self.number == 0 { chart.to_string() } else { format!("{chart}{}", self.number + 1) }
    }

    /// The menu's data sets, and a note if some are left out.
    fn choices(
        &self,
        each: usize,
        notes: &mut Vec<String>,
        choice: impl Fn(&Panel) -> Json,
    ) -> (Json, Option<String>) {
        let numbers = if self.landscape.spread.is_some() { 2 * each } else { each };
        let shown = (NUMBERS / numbers.max(1)).clamp(1, self.panels().len());
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

    /// The template of a point's hover text, after its name. `deviation` is that of what the point's mean folds.
    fn hover(&self, axis: &Axis, deviation: &str) -> String {
        let x = if is_categories(axis) { "%{text}" } else { "%{x:.6~g}" };
        let (name, score) = (plain_label(&axis.name), plain_label(&self.landscape.score));
        format!("{name}: {x}<br>{score}: %{{y:.6~g}}{deviation}<extra></extra>")
    }

    /// The part of a hover text with the standard deviation, if there is one.
    fn deviation(&self) -> &'static str {
        match self.landscape.spread {
            Some(_) => "<br>standard deviation: %{customdata:.3~g}",
            None => "",
        }
    }

    /// A caption that says what the spread around a mean is, if it is shown.
    fn spread_note(&self, what: &str) -> Option<String> {
        let values = self.landscape.spread.as_ref()?.values();
        Some(format!(
            "{what} one standard deviation of the {values} behind each mean (divided by their number, as reduce = \"std\" has it)."
        ))
    }
}

/// Standard deviations for page.js, which draws them as bars or as a band; nothing if there are none.
fn with_deviations(patch: Json, deviations: impl IntoIterator<Item = f64>) -> Json {
    match numbers(deviations) {
        Json::Array(all) if all.iter().any(|deviation| !deviation.is_null()) => {
            with(patch, json!({ "deviations": all }))
        }
        _ => patch,
    }
}

fn is_categories(axis: &Axis) -> bool {
    matches!(axis.scale, Scale::Categories(_))
}

/// Escapes a name for a plotly.js template, where `%{` would begin a variable.
fn plain_label(name: &str) -> String {
    label(name).replace("%{", "% {")
}

/// The labels of positions on a categorical axis.
fn texts(axis: &Axis, places: &[f64]) -> Json {
    match is_categories(axis) {
        true => places.iter().map(|place| json!(label(&axis.words(*place)))).collect(),
        false => Json::Null,
    }
}
