//! The command line: one file a verb.

mod demo;
mod init;
mod logging;
mod office;
mod run;

use std::io::Write;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::error::{Error, Exit, Result};
use crate::launcher::Launched;

const EXAMPLES: &str = "\
Examples:
  gridmpi                              the built-in demonstration, or ./gridmpi.toml if there is one
  gridmpi init                         write a commented job to start from
  gridmpi job.toml                     run a job on this machine's threads
  mpirun -n 9 gridmpi job.toml         run it on 8 workers; rank 0 dispenses the tasks
  gridmpi help run                     all about running

Exit codes: 0 complete; 1 unexpected; 2 bad usage, job file or data; 100 finished, some runs failed.";

/// Nested loops around one expensive function, run as one stream of tasks over MPI or threads.
#[derive(Parser)]
#[command(name = "gridmpi", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    run: run::Arguments,
    /// Say more (-v: each failed run and what Python prints; -vv: everything); RUST_LOG overrides
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a job (the default: `gridmpi JOB` is `gridmpi run JOB`)
    Run(run::Arguments),
    /// Write a commented job file to start from
    Init(init::Arguments),
    /// Print completions for a shell
    #[command(
        after_help = "Example:\n  gridmpi completions bash > ~/.local/share/bash-completion/completions/gridmpi"
    )]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(
        after_help = "Example:\n  gridmpi man > ~/.local/share/man/man1/gridmpi.1 && man gridmpi"
    )]
    Man,
}

/// Parses the command line, does what it says, and reports what went wrong.
pub fn main() -> Exit {
    let launched = Launched::detect();
    let rank = launched.as_ref().map_or(0, |launched| launched.rank);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Under mpirun one rank says it; the others leave without a word.
        Err(_) if rank > 0 => return Exit::Complete,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::BadInput } else { Exit::Complete };
        }
    };
    logging::start(rank, cli.verbose);
    let done = match cli.verb {
        None => run::run(cli.run, launched),
        Some(Verb::Run(arguments)) => run::run(arguments, launched),
        _ if rank > 0 => return Exit::Complete,
        Some(Verb::Init(arguments)) => init::init(&arguments),
        Some(Verb::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "gridmpi", &mut script);
            print(&script)
        }
        Some(Verb::Man) => manual(),
    };
    done.unwrap_or_else(|error| {
        report(&error);
        error.exit
    })
}

fn manual() -> Result<Exit> {
    let mut page = Vec::new();
    let made = clap_mangen::Man::new(Cli::command()).render(&mut page);
    made.map_err(|error| Error::unexpected(format!("no manual page: {error}")))?;
    print(&page)
}

/// Writes to stdout; a reader that has heard enough is no error.
fn print(bytes: &[u8]) -> Result<Exit> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::unexpected(format!("stdout cannot be written: {error}")))
        }
        _ => Ok(Exit::Complete),
    }
}

/// The one line (or few) a user sees when something is wrong.
fn report(error: &Error) {
    eprintln!("gridmpi: error: {error}");
}
