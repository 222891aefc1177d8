//! What a person or a program reads at the end: a table, JSON, CSV; and progress on the way there.

#[cfg(feature = "cli")]
mod export;
#[cfg(feature = "cli")]
mod figures;
#[cfg(feature = "cli")]
mod html;
mod json;
#[cfg(feature = "cli")]
mod lines;
mod progress;
mod rows;
#[cfg(feature = "cli")]
mod table;
#[cfg(feature = "cli")]
pub(crate) mod words;

use crate::master::Summary;
use crate::store::Results;
#[cfg(feature = "cli")]
pub(crate) use export::{ExportFormat, export};
#[cfg(feature = "cli")]
pub(crate) use figures::draw;
#[cfg(feature = "cli")]
pub(crate) use html::quantile;
#[cfg(feature = "cli")]
use html::{Axis, Landscape, Scale, Session};
#[cfg(feature = "cli")]
pub(crate) use html::{Facts, page};
pub(crate) use json::write_json;
#[cfg(feature = "cli")]
pub(crate) use lines::Lines;
pub(crate) use progress::Progress;
#[cfg(feature = "cli")]
pub(crate) use progress::bar::LogSink;
#[cfg(feature = "cli")]
pub(crate) use rows::Rows;
pub(crate) use rows::write_csv;
#[cfg(feature = "cli")]
pub(crate) use table::table;
#[cfg(feature = "cli")]
pub(crate) use table::{beginning, cell as in_words, in_a_line};

/// What a row's state is called: a run's, or a group's.
fn status(results: &Results, summary: &Summary) -> &'static str {
    let is_run = summary.key.level == results.grid().depth();
    match (&summary.result, is_run) {
        (Ok(_), true) => "ok",
        (Err(_), true) => "failed",
        (Ok(_), false) => "complete",
        (Err(_), false) => "incomplete",
    }
}
