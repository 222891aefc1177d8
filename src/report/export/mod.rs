//! Exports of all runs, one file per format: CSV, JSON, Parquet.

mod csv;
mod json;
#[cfg(feature = "parquet")]
mod parquet;

use std::io::Write;

use crate::store::{Column, Select, StoreReader};
use crate::util::error::{Error, Result};

/// An export format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    /// Comma-separated values; the first line has the names of the columns
    Csv,
    /// One JSON object per line
    Jsonl,
    /// The same objects in one array
    Json,
    /// Compressed columns with types, for pandas, polars, R and DuckDB
    #[cfg(feature = "parquet")]
    Parquet,
}

/// Writes the selected runs, one row each: a column per loop, the columns that every run has, and a column
/// per field of crunch's result.
pub(crate) fn export(
    reader: &StoreReader,
    select: &Select,
    format: ExportFormat,
    out: &mut (impl Write + Send),
) -> Result<()> {
    let fields = reader.field_columns()?;
    let mut columns = reader.coordinate_columns();
    columns.extend(["status", "score"].map(Column::of_run));
    match fields.is_empty() {
        true if reader.has_values()? => columns.push(Column::of_run("value")),
        _ => columns.extend(fields),
    }
    let rest = ["seconds", "started", "rank", "host", "thread", "attempt", "error"];
    columns.extend(rest.map(Column::of_run));
    match format {
        ExportFormat::Csv => csv::write(select, &columns, out),
        ExportFormat::Jsonl => json::write_lines(select, &columns, out),
        ExportFormat::Json => json::write_array(select, &columns, out),
        #[cfg(feature = "parquet")]
        ExportFormat::Parquet => parquet::write(select, &columns, out),
    }
}

/// The error for an output that cannot be written.
fn unwritten(error: impl std::fmt::Display) -> Error {
    Error::unexpected(format!("the export cannot be written: {error}"))
}

fn names(columns: &[Column]) -> impl Iterator<Item = &str> {
    columns.iter().map(|column| column.name.as_str())
}
