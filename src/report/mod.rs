//! What a person or a program reads at the end: a table, JSON, CSV; and progress on the way there.

#[cfg(feature = "cli")]
mod export;
#[cfg(feature = "cli")]
mod figures;
#[cfg(feature = "cli")]
mod html;
#[cfg(feature = "cli")]
pub(crate) mod model;
pub(crate) mod text;

use crate::model::results::GroupSummary;
use crate::store::Results;
#[cfg(feature = "cli")]
pub(crate) use crate::util::text::beginning;
#[cfg(feature = "cli")]
pub(crate) use export::{ExportFormat, export};
#[cfg(feature = "cli")]
pub(crate) use figures::draw;
#[cfg(feature = "cli")]
pub(crate) use html::{Facts, page};
#[cfg(feature = "cli")]
pub(crate) use text::csv::Rows;
pub(crate) use text::csv::write_csv;
pub(crate) use text::json::write_json;
#[cfg(feature = "cli")]
pub(crate) use text::lines::Lines;
#[cfg(feature = "cli")]
pub(crate) use text::table::table;
#[cfg(feature = "cli")]
pub(crate) use text::table::{cell as in_words, in_a_line};

/// What a row's state is called: a run's, or a group's.
fn status(results: &Results, summary: &GroupSummary) -> &'static str {
    let is_run = summary.key.level == results.nest().depth();
    match (&summary.result, is_run) {
        (Ok(_), true) => "ok",
        (Err(_), true) => "failed",
        (Ok(_), false) => "complete",
        (Err(_), false) => "incomplete",
    }
}
