//! The command line: one file per subcommand. `program.rs` has gridmpi's own, `study.rs` that of every
//! program with a study.

mod ask;
#[cfg(feature = "jobs")]
mod beside;
#[cfg(feature = "jobs")]
mod check;
#[cfg(feature = "jobs")]
mod compare;
#[cfg(feature = "jobs")]
mod demo;
#[cfg(feature = "jobs")]
mod doctor;
#[cfg(feature = "jobs")]
mod guess;
#[cfg(feature = "jobs")]
mod init;
#[cfg(all(feature = "jobs", feature = "mpi"))]
mod launch;
mod logging;
mod merge;
mod options;
#[cfg(feature = "jobs")]
mod plan;
#[cfg(feature = "jobs")]
mod program;
mod report;
#[cfg(feature = "jobs")]
mod run;
#[cfg(all(feature = "jobs", feature = "mpi"))]
mod sbatch;
mod screen;
#[cfg(feature = "jobs")]
mod serve_test;
mod strategy;
mod study;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

#[cfg(feature = "jobs")]
pub use program::main;

use crate::cli::screen::Screen;
use crate::rank0::timing;
use crate::store::holds_runs;
use crate::util::error::{Error, Exit, Result};
use crate::util::files::write_named;
use crate::util::text::visible_lines;

const EXIT_CODES: &str = "\
Exit codes:
  0    complete
  1    unexpected error
  2    wrong usage, job file or data
  75   interrupted; run the same command again to resume
  100  finished, but some runs failed";

/// How long a rank waits that leaves an error to rank 0: a launcher kills the others once one has ended with an error.
const RANK_0_PRINTS: std::time::Duration = std::time::Duration::from_secs(2);

/// Runs the command, reports errors, and returns the exit code.
fn outcome<C>(
    rank: usize,
    parsed: Result<C, clap::Error>,
    act: impl FnOnce(C) -> Result<Exit>,
) -> Exit {
    timing::begin();
    let cli = match parsed {
        Ok(cli) => cli,
        // Under mpirun only rank 0 reports it; the others exit silently.
        Err(_) if rank > 0 => return Exit::Complete,
        Err(error) => {
            print_usage_error(&error);
            return if error.use_stderr() { Exit::BadInput } else { Exit::Complete };
        }
    };
    act(cli).unwrap_or_else(|error| {
        if rank == 0 || error.exit != Exit::BadInput {
            error.print();
        } else {
            std::thread::sleep(RANK_0_PRINTS);
        }
        error.exit
    })
}

/// Prints clap's message, in colour on a terminal unless it repeats control characters of an argument.
fn print_usage_error(error: &clap::Error) {
    let plain = error.render().to_string();
    let _ = match visible_lines(&plain) {
        shown if shown == plain => error.print(),
        shown => std::io::stderr().write_all(shown.as_bytes()),
    };
}

fn completions(shell: clap_complete::Shell, command: &mut clap::Command) -> Result<Exit> {
    let mut script = Vec::new();
    let name = command.get_name().to_string();
    clap_complete::generate(shell, command, name, &mut script);
    print(&script)
}

fn manual(command: clap::Command) -> Result<Exit> {
    let mut page = Vec::new();
    let made = clap_mangen::Man::new(command).render(&mut page);
    made.map_err(|error| Error::unexpected(format!("no manual page: {error}")))?;
    print(&page)
}

/// Writes a file named on the command line.
fn write_file(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    if holds_runs(path) {
        let why = std::io::Error::other("the runs of a results folder are kept in it");
        return Err(unwritten(path, &why));
    }
    write_named(path, |error| unwritten(path, &error), write)
}

/// The error for a file that cannot be written.
fn unwritten(path: &Path, error: &std::io::Error) -> Error {
    Error::input(format!("{}: not written: {error}; --to names another file", path.display()))
}

/// Writes text for people to stdout: without control characters, which values and names may contain.
fn say(text: &str) -> Result<Exit> {
    print(visible_lines(text).as_bytes())
}

/// Writes to stdout, unchanged unless that is a terminal.
fn print(bytes: &[u8]) -> Result<Exit> {
    print_to(&mut Screen::new(), bytes)
}

/// Writes a part of what goes to stdout. A reader that closes the pipe early is no error.
fn print_to(out: &mut Screen, bytes: &[u8]) -> Result<Exit> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::unexpected(format!("stdout cannot be written: {error}")))
        }
        _ => Ok(Exit::Complete),
    }
}
