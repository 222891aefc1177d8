//! `gridmpi export`: all runs for other programs.

use std::path::PathBuf;

use clap::Args;

use crate::cli::ask::{runs, stream};
use crate::cli::{say, write_file};
use crate::report::{self, ExportFormat};
use crate::util::error::{Exit, Result};

#[derive(Args)]
#[command(after_help = "\
There is one row per run, with one column for each loop (LOOP.FIELD if points are records), for \
status and score, for each field of the results, and for seconds, started, rank, host, thread, \
attempt and error. Times are seconds since 1970; in Parquet they are timestamps.

Examples:
  gridmpi export results/NAME --format parquet --to runs.parquet
  gridmpi export results/NAME --format csv --where \"status='ok'\" > runs.csv
  gridmpi export results/NAME --format jsonl | head -n 1")]
pub(in crate::cli) struct Arguments {
    /// Results folder
    folder: PathBuf,
    /// Format of the export
    #[arg(long, value_enum)]
    format: ExportFormat,
    /// File to write [default: stdout]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Only runs that meet this condition (see `runs --help`)
    #[arg(long = "where", value_name = "CONDITION")]
    clauses: Vec<String>,
}

pub(super) fn export(arguments: &Arguments) -> Result<Exit> {
    let reader = crate::cli::ask::reader(&arguments.folder)?;
    let select = runs::select(&reader, false, &arguments.clauses, None, None)?;
    let format = arguments.format;
    if let Some(file) = &arguments.to {
        write_file(file, |out| report::export(&reader, &select, format, out))?;
        return say(&format!("wrote {}\n", file.display()));
    }
    #[cfg(feature = "parquet")]
    if format == ExportFormat::Parquet && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        return Err(crate::util::error::Error::input(
            "Parquet is not for a terminal: give a file with --to",
        ));
    }
    stream(|sink| report::export(&reader, &select, format, sink))
}
