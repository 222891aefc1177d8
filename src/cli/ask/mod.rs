//! Queries of a results folder, during and after a run: one file per subcommand. But for the request of `log --follow`, nothing in the folder is
//! written or locked.

mod best;
mod explain;
mod export;
#[cfg(feature = "jobs")]
mod log;
#[cfg(feature = "jobs")]
mod parts;
mod runs;
mod standing;
mod status;
mod watch;

use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

use clap::{Subcommand, ValueEnum};

#[cfg(all(feature = "jobs", feature = "mpi"))]
pub(in crate::cli) use crate::cli::ask::parts::part_lines;
use crate::cli::screen::Screen;
use crate::store::StoreReader;
#[cfg(feature = "jobs")]
use crate::store::warn_of_parts;
use crate::util::error::{Error, Exit, Result};
use crate::util::text::visible;

#[derive(Subcommand)]
pub(in crate::cli) enum Ask {
    /// Show the state of a run: done, failed, time left, workers, groups so far
    Status(status::Arguments),
    /// Follow a run in the terminal, from any machine that can read its results folder
    Watch(watch::Arguments),
    /// Show the best points of each row of the result
    Best(best::Arguments),
    /// List runs: all, those that failed, or those that meet a condition
    Runs(runs::Arguments),
    /// Show everything about one task, and how to run it again by hand
    Explain(explain::Arguments),
    /// Print what a run has printed, also while it runs
    #[cfg(feature = "jobs")]
    Log(log::Arguments),
    /// Export all runs, or the points of a loop, as CSV, JSON or Parquet
    Export(export::Arguments),
}

impl Ask {
    pub(in crate::cli) fn answer(&self) -> Result<Exit> {
        match self {
            Ask::Status(arguments) => status::status(arguments),
            Ask::Watch(arguments) => watch::watch(arguments),
            Ask::Best(arguments) => best::best(arguments),
            Ask::Runs(arguments) => runs::runs(arguments),
            Ask::Explain(arguments) => explain::explain(arguments),
            #[cfg(feature = "jobs")]
            Ask::Log(arguments) => log::log(arguments),
            Ask::Export(arguments) => export::export(arguments),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ListFormat {
    Table,
    Json,
}

/// Buffered stdout. A reader that closes the pipe early ends the output without an error.
struct Sink {
    out: BufWriter<Screen>,
    left: bool,
}

impl Sink {
    fn write(&mut self, text: &str) -> Result<()> {
        let written = self.out.write_all(text.as_bytes());
        self.check(written)
    }

    fn check(&mut self, written: std::io::Result<()>) -> Result<()> {
        written.map_err(|error| {
            self.left |= error.kind() == ErrorKind::BrokenPipe;
            Error::unexpected(format!("stdout cannot be written: {error}"))
        })
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes);
        self.left |= written.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe);
        written
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let flushed = self.out.flush();
        self.left |= flushed.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe);
        flushed
    }
}

/// Runs `write` on stdout, until it is done or the reader closes the pipe.
fn stream(write: impl FnOnce(&mut Sink) -> Result<()>) -> Result<Exit> {
    let mut sink = Sink { out: BufWriter::new(Screen::new()), left: false };
    let written = write(&mut sink).and_then(|()| {
        let flushed = sink.out.flush();
        sink.check(flushed)
    });
    match written {
        Err(_) if sink.left => Ok(Exit::Complete),
        written => written.map(|()| Exit::Complete),
    }
}

/// A JSON array written entry by entry, one per line.
struct Array {
    first: bool,
}

impl Array {
    fn begin(sink: &mut Sink) -> Result<Array> {
        sink.write("[")?;
        Ok(Array { first: true })
    }

    fn push(&mut self, sink: &mut Sink, entry: &serde_json::Value) -> Result<()> {
        let comma = if std::mem::take(&mut self.first) { "" } else { "," };
        sink.write(&format!("{comma}\n{entry}"))
    }

    fn end(self, sink: &mut Sink) -> Result<()> {
        sink.write("\n]\n")
    }
}

/// Opens the store of a results folder, and says so if runs of the job are not in it.
fn reader(folder: &Path) -> Result<StoreReader> {
    #[cfg(feature = "jobs")]
    warn_of_parts(folder);
    StoreReader::into(folder)
}

/// Named values in one line, for a terminal: `dataset data/crime.csv, alpha 0.1`. What has a label is shown
/// with it.
fn in_a_row(values: &serde_json::Value, labels: &serde_json::Value) -> String {
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::Null => "none".to_string(),
        plain => crate::report::in_words(&crate::model::value::Value::from_json(plain.clone())),
    };
    match values.as_object() {
        Some(fields) => {
            let shown = |name: &String, v| value(labels.get(name).unwrap_or(v));
            let words = fields.iter().map(|(name, v)| format!("{name} {}", shown(name, v)));
            visible(&words.collect::<Vec<_>>().join(", "))
        }
        None => String::new(),
    }
}
