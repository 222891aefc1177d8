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
use crate::store::Results;
#[cfg(feature = "cli")]
pub(crate) use for_cli::*;
pub(crate) use text::csv::write_csv;
pub(crate) use text::json::write_json;

/// Used only by the command line.
#[cfg(feature = "cli")]
mod for_cli {
    pub(crate) use super::export::{ExportFormat, export};
    pub(crate) use super::figures::draw;
    pub(crate) use super::html::{Facts, page};
    pub(crate) use super::text::cells::{called, cell as in_words};
    pub(crate) use super::text::csv::Rows;
    pub(crate) use super::text::lines::Lines;
    pub(crate) use super::text::table::table;
    pub(crate) use crate::util::text::{beginning, in_a_line};
}

/// The status of a row: of a run or of a group.
fn status(results: &Results, summary: &GroupSummary) -> &'static str {
    let is_run = summary.key.level == results.nest().depth();
    match (&summary.result, is_run) {
        (Ok(_), true) => "ok",
        (Err(_), true) => "failed",
        (Ok(_), false) => "complete",
        (Err(_), false) => "incomplete",
    }
}
