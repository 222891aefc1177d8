//! What a person or a program reads at the end: a table, JSON, CSV; and progress on the way there.

mod json;
mod progress;
mod rows;
mod table;

pub(crate) use json::write_json;
pub(crate) use progress::{LogSink, Progress};
pub(crate) use rows::{Rows, write_csv};
pub(crate) use table::table;
