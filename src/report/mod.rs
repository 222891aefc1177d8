//! What a person or a program reads at the end: a table, JSON, CSV; and progress on the way there.

mod json;
mod progress;
mod rows;
mod table;

pub use json::write_json;
pub use progress::{LogSink, Progress};
pub use rows::{Rows, write_csv};
pub use table::{TABLE_ROWS, table};
