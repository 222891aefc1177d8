//! Queries of a results folder, during and after a run: one file per subcommand. Nothing in the folder is
//! written or locked.

mod best;
mod explain;
mod export;
mod runs;
mod status;
mod watch;

use std::io::{BufWriter, ErrorKind, Write};

use clap::{Subcommand, ValueEnum};

use crate::cli::screen::Screen;
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
    /// Export all runs as CSV, JSON or Parquet
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
        self.out.flush()
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

/// Named values in one line, for a terminal: `dataset data/crime.csv, alpha 0.1`.
fn in_a_row(values: &serde_json::Value) -> String {
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::Null => "none".to_string(),
        plain => crate::report::in_words(&crate::model::value::Value::from_json(plain.clone())),
    };
    match values.as_object() {
        Some(fields) => {
            let words = fields.iter().map(|(name, v)| format!("{name} {}", value(v)));
            visible(&words.collect::<Vec<_>>().join(", "))
        }
        None => String::new(),
    }
}
