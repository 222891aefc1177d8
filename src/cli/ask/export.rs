//! `gridmpi export`: all runs, or the points of a loop, for other programs.

#[cfg(feature = "parquet")]
use std::io::IsTerminal;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::cli::ask::{runs, stream};
use crate::cli::{say, write_file};
use crate::report::{self, ChosenLoops, ExportFormat};
use crate::util::error::{Exit, Result};
use crate::util::text::things;

#[derive(Args)]
#[command(after_help = "\
There is one row per run, with one column for each loop (LOOP.FIELD if points are records), for \
status and score, for each field of the results, and for seconds, started, rank, host, thread, \
attempt, memory (in MiB, where runs have processes of their own), workdir (where they have folders of \
their own) and error. Times are seconds since 1970; in Parquet they are timestamps.

With --groups LOOP there is one row for each point of the loop, as in scikit-learn's cv_results_: the \
points of the loop and of those around it, the best points of loops inside, its rank, its score with \
every folded field, how many runs stand behind it, and why it has no result.

Runs that were not made, because their point was stopped early, are rows with the status skipped and the \
reason as error; so are runs of such a point that an earlier start has made, and that count nowhere.

Examples:
  gridmpi export results/NAME --format parquet --to runs.parquet
  gridmpi export results/NAME --format csv --where \"status='ok'\" > runs.csv
  gridmpi export results/NAME --format jsonl | head -n 1
  gridmpi export results/NAME --format csv --groups alpha > alphas.csv")]
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
    /// A row for each point of this loop, with the loops inside it folded; "all": of every loop
    #[arg(long, value_name = "LOOP", conflicts_with = "clauses")]
    groups: Option<String>,
}

pub(super) fn export(arguments: &Arguments) -> Result<Exit> {
    let reader = crate::cli::ask::reader(&arguments.folder)?;
    let format = arguments.format;
    if let Some(name) = &arguments.groups {
        let chosen = ChosenLoops::named(reader.nest(), name)?;
        let reader = reader.loading_large();
        let stopped = reader.results.stopped()?;
        if let Some(point) = stopped.all().first() {
            log::warn!(
                "{} of loop '{}' were stopped early and are not ranked",
                things(stopped.all().len() as u64, "point"),
                reader.nest().loops()[point.key.level - 1].name
            );
        }
        return write(arguments, |mut out| {
            report::export_groups(&reader, &chosen, format, &mut out)
        });
    }
    let select = runs::select(&reader, false, &arguments.clauses, None, None)?;
    write(arguments, |mut out| report::export(&reader, &select, format, &mut out))
}

/// Calls `export` with the file that is to be written, or with stdout.
fn write(
    arguments: &Arguments,
    export: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>,
) -> Result<Exit> {
    if let Some(file) = &arguments.to {
        write_file(file, |out| export(out))?;
        return say(&format!("wrote {}\n", file.display()));
    }
    #[cfg(feature = "parquet")]
    if arguments.format == ExportFormat::Parquet && std::io::stdout().is_terminal() {
        return Err(crate::util::error::Error::input(
            "Parquet is not for a terminal: give a file with --to",
        ));
    }
    stream(|sink| export(sink))
}
