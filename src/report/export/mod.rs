//! Exports, one file per format: CSV, JSON, Parquet.

mod csv;
mod groups;
mod json;
#[cfg(feature = "parquet")]
mod parquet;
mod ranks;
mod table;

use std::io::Write;

pub(crate) use groups::ChosenLoops;

use crate::report::export::table::{ExportColumn, ExportTable};
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
    let (fields, score) = (reader.field_columns()?, reader.score_column()?);
    let mut columns = reader.coordinate_columns();
    columns.extend(["status", "score"].map(Column::of_run));
    let is_needed = match (fields.is_empty(), &score) {
        (true, None) => reader.has_values()?,
        (true, Some(_)) => reader.has_other_values()?,
        (false, _) => false,
    };
    columns.extend(is_needed.then(|| Column::of_run("value")));
    columns.extend(score.into_iter().chain(fields));
    let rest = ["seconds", "started", "rank", "host", "thread", "attempt"];
    let rest = rest.into_iter().chain(reader.more_columns()?).chain(["error"]);
    columns.extend(rest.map(Column::of_run));
    let table = ExportTable {
        columns: columns.iter().map(ExportColumn::of).collect(),
        rows: Box::new(move |take| select.rows(&columns, take)),
    };
    write(&table, format, out)
}

/// Writes the points of loops, one row each: what the loops inside them were folded to.
pub(crate) fn export_groups(
    reader: &StoreReader,
    chosen: &ChosenLoops,
    format: ExportFormat,
    out: &mut (impl Write + Send),
) -> Result<()> {
    write(&groups::table(reader, chosen)?, format, out)
}

fn write(table: &ExportTable, format: ExportFormat, out: &mut (impl Write + Send)) -> Result<()> {
    match format {
        ExportFormat::Csv => csv::write(table, out),
        ExportFormat::Jsonl => json::write_lines(table, out),
        ExportFormat::Json => json::write_array(table, out),
        #[cfg(feature = "parquet")]
        ExportFormat::Parquet => parquet::write(table, out),
    }
}

/// The error for an output that cannot be written.
fn unwritten(error: impl std::fmt::Display) -> Error {
    Error::unexpected(format!("the export cannot be written: {error}"))
}
