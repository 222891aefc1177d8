//! The command line of the program `gridmpi` itself: jobs from files.

use clap::{CommandFactory, Parser, Subcommand};

use crate::cli::ask::Ask;
use crate::cli::{compare, init, merge, plan, report, run};
#[cfg(feature = "mpi")]
use crate::cli::{launch, sbatch};
use crate::platform::launcher::LaunchInfo;
use crate::util::error::Exit;

const EXAMPLES: &str = "\
Examples:
  gridmpi                              the built-in demonstration, or ./gridmpi.toml if there is one
  gridmpi init                         write a commented job to start from
  gridmpi plan job.toml                what would run, and how long it takes on how many workers
  gridmpi compare --workers 8          what flattening the nest gains
  gridmpi job.toml                     run a job on this machine's threads
  mpirun -n 9 gridmpi job.toml         run it on 8 workers; rank 0 dispenses the tasks
  gridmpi launch -n 9 job.toml         the same, started again if a rank dies
  gridmpi report results/NAME          one page that shows what came of it and how it went
  gridmpi help run                     all about running

Exit codes: 0 complete; 1 unexpected; 2 bad usage, job file or data; 75 interrupted,\nrun it again to go on; 100 some runs failed.";

/// Nested loops around one expensive function, run as one stream of tasks over MPI or threads.
#[derive(Parser)]
#[command(name = "gridmpi", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct ProgramCli {
    #[command(subcommand)]
    verb: Option<ProgramVerb>,
    #[command(flatten)]
    run: run::RunArgs,
    /// Say more (-v: each failed run and what Python prints; -vv: everything); RUST_LOG overrides
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Subcommand)]
enum ProgramVerb {
    /// Run a job (the default: `gridmpi JOB` is `gridmpi run JOB`)
    Run(run::RunArgs),
    /// Tell what would run, what of it is done already, and how long it takes on how many workers
    Plan(plan::PlanArgs),
    /// Show what flattening the nest gains: the same tasks under every strategy, side by side
    Compare(compare::CompareArgs),
    /// Start mpirun, watch over it, and start it again until the job is complete
    #[cfg(feature = "mpi")]
    Launch(launch::LaunchArgs),
    /// Print a batch script for a Slurm cluster, or submit it
    #[cfg(feature = "mpi")]
    Sbatch(sbatch::SbatchArgs),
    /// Join the runs of several results folders of one job
    Merge(merge::MergeArgs),
    /// Write one page that shows what came of a run and how it went
    Report(report::ReportArgs),
    /// Write a commented job file to start from
    Init(init::InitArgs),
    #[command(flatten)]
    Ask(Ask),
    /// Print completions for a shell
    #[command(
        after_help = "Example:\n  gridmpi completions bash > ~/.local/share/bash-completion/completions/gridmpi"
    )]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(
        after_help = "Example:\n  gridmpi man > ~/.local/share/man/man1/gridmpi.1 && man gridmpi"
    )]
    Man,
}

/// Parses the command line, does what it says, and reports what went wrong.
pub fn main() -> std::process::ExitCode {
    let launched = LaunchInfo::detect();
    let rank = launched.as_ref().map_or(0, |launched| launched.rank);
    crate::cli::outcome(rank, ProgramCli::try_parse(), |cli| {
        crate::cli::logging::start(rank, cli.verbose);
        match cli.verb {
            None => run::run(cli.run, launched),
            Some(ProgramVerb::Run(arguments)) => run::run(arguments, launched),
            _ if rank > 0 => Ok(Exit::Complete),
            Some(ProgramVerb::Plan(arguments)) => plan::plan(&arguments),
            Some(ProgramVerb::Compare(arguments)) => compare::compare(&arguments),
            #[cfg(feature = "mpi")]
            Some(ProgramVerb::Launch(arguments)) => launch::launch(&arguments),
            #[cfg(feature = "mpi")]
            Some(ProgramVerb::Sbatch(arguments)) => sbatch::sbatch(&arguments),
            Some(ProgramVerb::Merge(arguments)) => merge::run(&arguments),
            Some(ProgramVerb::Report(arguments)) => report::report(&arguments),
            Some(ProgramVerb::Init(arguments)) => init::init(&arguments),
            Some(ProgramVerb::Ask(ask)) => ask.answer(),
            Some(ProgramVerb::Completions { shell }) => {
                crate::cli::completions(shell, &mut ProgramCli::command())
            }
            Some(ProgramVerb::Man) => crate::cli::manual(ProgramCli::command()),
        }
    })
    .into()
}
