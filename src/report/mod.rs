//! The results for people and programs: tables, JSON, CSV, exports, HTML reports and figures.

#[cfg(feature = "cli")]
mod export;
#[cfg(feature = "cli")]
mod figures;
#[cfg(feature = "cli")]
mod html;
#[cfg(feature = "cli")]
pub(crate) mod model;
pub(crate) mod text;

use crate::model::GroupSummary;
#[cfg(feature = "cli")]
use crate::model::{Key, LoopNest, PointCounts};
use crate::store::Results;
#[cfg(feature = "cli")]
use crate::store::StoppedPoints;
#[cfg(feature = "cli")]
use crate::util::text::things;
#[cfg(feature = "cli")]
pub(crate) use for_cli::*;
pub(crate) use text::csv::write_csv;
pub(crate) use text::json::write_json;
pub(crate) use text::score_heading::score_heading;

/// Used only by the command line.
#[cfg(feature = "cli")]
mod for_cli {
    pub(crate) use super::export::{ChosenLoops, ExportFormat, export, export_groups};
    pub(crate) use super::figures::draw;
    pub(crate) use super::html::{Facts, page};
    pub(crate) use super::text::cells::{called, cell as in_words};
    pub(crate) use super::text::csv::Rows;
    pub(crate) use super::text::lines::Lines;
    pub(crate) use super::text::score_heading::{folded, score_column};
    pub(crate) use super::text::table::table;
    pub(crate) use crate::util::text::{beginning, in_a_line};
}

/// The status of a row: of a run or of a group.
fn status(results: &Results, summary: &GroupSummary) -> &'static str {
    match (&summary.result, summary.key.level == results.nest().depth()) {
        (Ok(_), true) => "ok",
        (Err(_), true) => "failed",
        (_, false) => summary.state(),
    }
}

/// The status of a row that rests on less than it could.
#[cfg(feature = "cli")]
const PARTIAL: &str = "partial";

/// What is to be said beside a row: what its best is the best of, if points are missing or were stopped, and why it has
/// no value.
#[cfg(feature = "cli")]
fn remark(results: &Results, stopped: &StoppedPoints, summary: &GroupSummary) -> String {
    let status = status(results, summary);
    let nest = results.nest();
    let early = stopped_early(nest, stopped, summary.key);
    let scored = match (&summary.result, summary.best_of()) {
        (Err(error), _) => return format!("{status}: {}", in_a_line(error)),
        (Ok(_), Some(points)) => return points.of_best(early),
        (Ok(scored), None) => scored,
    };
    let partial = (status == PARTIAL).then(|| status.to_string());
    let early = (early > 0).then(|| match scored.best.is_empty() {
        true => format!("{} stopped early", things(early, "point")),
        false => PointCounts::all_of(nest.keys_below(summary.key, best_level(nest, summary.key)))
            .of_best(early),
    });
    partial.into_iter().chain(early).collect::<Vec<_>>().join(", ")
}

/// How many points of a group were stopped early, of those that its best is chosen among.
#[cfg(feature = "cli")]
pub(crate) fn stopped_early(nest: &LoopNest, stopped: &StoppedPoints, group: Key) -> u64 {
    stopped.points(group, best_level(nest, group))
}

/// The level of the points that the best of a group is chosen among.
#[cfg(feature = "cli")]
fn best_level(nest: &LoopNest, group: Key) -> usize {
    group.level + nest.decided(group.level)
}
