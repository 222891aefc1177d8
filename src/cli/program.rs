//! The command line of the program `gridmpi`: jobs from files.

use clap::{CommandFactory, Parser, Subcommand};

use crate::cli::EXIT_CODES;
use crate::cli::ask::Ask;
use crate::cli::{check, compare, doctor, guess, init, merge, plan, report, run, serve_test};
#[cfg(feature = "mpi")]
use crate::cli::{launch, sbatch};
use crate::platform::launcher::LaunchInfo;
use crate::util::error::Exit;

const EXAMPLES: &str = "\
Examples:
  gridmpi                       run ./gridmpi.toml, or the demonstration
  gridmpi init                  write a commented job file to start from
  gridmpi plan job.toml         list the tasks and predict how long they take
  gridmpi check job.toml        check the job before you believe it
  gridmpi compare --workers 8   compare strategies for parallel nested loops
  gridmpi job.toml              run a job on the threads of this machine
  mpirun -n 9 gridmpi job.toml  run it on 8 workers; rank 0 hands out the tasks
  gridmpi launch -n 9 job.toml  the same, restarted if a rank dies
  gridmpi report results/NAME   write a report of the run, as one HTML file
  gridmpi help run              explain how to run a job";

/// Nested loops around one expensive function (crunch), run as one stream of tasks over MPI or threads.
#[derive(Parser)]
#[command(name = "gridmpi", version, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"), args_conflicts_with_subcommands = true)]
struct ProgramCli {
    #[command(subcommand)]
    verb: Option<ProgramVerb>,
    #[command(flatten)]
    run: run::RunArgs,
    /// Log more (-v: failed runs and the output of Python; -vv: everything); RUST_LOG overrides this
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Subcommand)]
enum ProgramVerb {
    /// Run a job (the default: `gridmpi JOB` means `gridmpi run JOB`)
    Run(run::RunArgs),
    /// Show what would run and what is done already, and predict how long the rest takes
    Plan(plan::PlanArgs),
    /// Check whether results depend on anything but their tasks; nothing is stored
    Check(check::CheckArgs),
    /// Compare strategies for running nested loops in parallel, on the same tasks
    Compare(compare::CompareArgs),
    /// Start mpirun, and restart it until the job is complete
    #[cfg(feature = "mpi")]
    Launch(launch::LaunchArgs),
    /// Print a batch script for Slurm, or submit it
    #[cfg(feature = "mpi")]
    Sbatch(sbatch::SbatchArgs),
    /// Merge the runs of several results folders of one job
    Merge(merge::MergeArgs),
    /// Write a report of a run, as one HTML file
    Report(report::ReportArgs),
    /// Write a commented job file to start from
    Init(init::InitArgs),
    /// Check whether a worker in any language (serve = [...]) speaks the protocol
    ServeTest(serve_test::ServeTestArgs),
    /// Show what gridmpi sees: launcher, MPI, ranks, CPUs, devices, Slurm, Python, locks
    Doctor(doctor::DoctorArgs),
    #[command(flatten)]
    Ask(Ask),
    /// Print shell completions
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

/// Parses the command line, runs the command, and reports errors.
pub fn main() -> std::process::ExitCode {
    let launched = LaunchInfo::detect();
    let rank = launched.as_ref().map_or(0, |launched| launched.rank);
    guess::know(|| guess::names(&ProgramCli::command()));
    let parsed = ProgramCli::try_parse().map_err(|error| {
        guess::in_place_of(error, std::env::args_os(), &mut ProgramCli::command())
    });
    crate::cli::outcome(rank, parsed, |cli| {
        crate::cli::logging::start(rank, cli.verbose);
        crate::util::parent::end_with_parent();
        match cli.verb {
            None => run::run(cli.run, launched),
            Some(ProgramVerb::Run(arguments)) => run::run(arguments, launched),
            Some(ProgramVerb::Doctor(arguments)) => doctor::doctor(&arguments, launched.as_ref()),
            _ if rank > 0 => Ok(Exit::Complete),
            Some(ProgramVerb::Plan(arguments)) => plan::plan(&arguments),
            Some(ProgramVerb::Check(arguments)) => check::check(&arguments),
            Some(ProgramVerb::Compare(arguments)) => compare::compare(&arguments),
            #[cfg(feature = "mpi")]
            Some(ProgramVerb::Launch(arguments)) => launch::launch(&arguments),
            #[cfg(feature = "mpi")]
            Some(ProgramVerb::Sbatch(arguments)) => sbatch::sbatch(&arguments),
            Some(ProgramVerb::Merge(arguments)) => merge::run(&arguments),
            Some(ProgramVerb::Report(arguments)) => report::report(&arguments),
            Some(ProgramVerb::Init(arguments)) => init::init(&arguments),
            Some(ProgramVerb::ServeTest(arguments)) => serve_test::serve_test(&arguments),
            Some(ProgramVerb::Ask(ask)) => ask.answer(),
            Some(ProgramVerb::Completions { shell }) => {
                crate::cli::completions(shell, &mut ProgramCli::command())
            }
            Some(ProgramVerb::Man) => crate::cli::manual(ProgramCli::command()),
        }
    })
    .into()
}
