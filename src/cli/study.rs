//! The command line of every program with a study: gridmpi's subcommands without those for job files.

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cli::EXIT_CODES;
use crate::cli::ask::Ask;
use crate::cli::options::Options;
use crate::platform::launcher::LaunchInfo;
use crate::study::Study;
use crate::study::run::run_job;
use crate::util::error::{Exit, Result};
use crate::worker::isolated_main;

/// A gridmpi study.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct StudyCli {
    #[command(subcommand)]
    verb: Option<StudyVerb>,
    #[command(flatten)]
    run: Options,
    /// Log more (-v: failed runs; -vv: everything); RUST_LOG overrides this
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Subcommand)]
enum StudyVerb {
    /// Run the study (the default)
    Run(Options),
    /// Merge the runs of several results folders of the study
    Merge(crate::cli::merge::MergeArgs),
    /// Write a report of a run, as one HTML file
    Report(crate::cli::report::ReportArgs),
    #[command(flatten)]
    Ask(Ask),
    /// Print shell completions
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

fn command(name: &str) -> clap::Command {
    let examples = format!(
        "\
Examples:
  {name}                on all cores of this machine
  {name} --threads 4    on four threads
  mpirun -n 9 {name}    on 8 workers over MPI
  {name} --format json  print the summary as JSON

The results are the same to the last byte on any number of ranks and threads. The results folder \
holds runs.sqlite (every run, in its view all_runs), summary.json and summary.csv. A run that was \
interrupted goes on where it stopped when it is started again.

{EXIT_CODES}"
    );
    // The subcommands are gridmpi's, and their examples use its name.
    StudyCli::command()
        .name(name.to_string())
        .bin_name(name.to_string())
        .after_help(examples)
        .mut_subcommands(|verb| match verb.get_after_help().map(ToString::to_string) {
            Some(help) => {
                let help = help.replace("gridmpi job.toml", name);
                verb.after_help(help.replace("  gridmpi ", &format!("  {name} ")))
            }
            None => verb,
        })
}

impl<R, S> Study<R, S>
where
    R: serde::Serialize + serde::de::DeserializeOwned + 'static,
    S: 'static,
{
    /// The rest of a program's `main`: reads the command line (`--help` explains it), runs the study into
    /// `results/NAME`, prints the table of results, and returns the exit code. Starts a logger on stderr,
    /// unless the program has one.
    pub fn main(self) -> std::process::ExitCode {
        let launched = LaunchInfo::detect();
        let rank = launched.as_ref().map_or(0, |launched| launched.rank);
        let program = std::env::args_os().next().map(std::path::PathBuf::from);
        let name = program.as_deref().and_then(|path| path.file_name());
        let name = name.map_or("study".into(), |name| name.to_string_lossy().into_owned());
        let parsed = command(&name)
            .try_get_matches()
            .and_then(|matches| StudyCli::from_arg_matches(&matches));
        crate::cli::outcome(rank, parsed, |cli| {
            crate::cli::logging::start(rank, cli.verbose);
            match cli.verb {
                None => run(self, &cli.run, launched),
                Some(StudyVerb::Run(options)) => run(self, &options, launched),
                _ if rank > 0 => Ok(Exit::Complete),
                Some(StudyVerb::Merge(arguments)) => crate::cli::merge::run(&arguments),
                Some(StudyVerb::Report(arguments)) => crate::cli::report::report(&arguments),
                Some(StudyVerb::Ask(ask)) => ask.answer(),
                Some(StudyVerb::Completions { shell }) => {
                    crate::cli::completions(shell, &mut command(&name))
                }
                Some(StudyVerb::Man) => crate::cli::manual(command(&name)),
            }
        })
        .into()
    }
}

fn run<R, S>(study: Study<R, S>, options: &Options, launched: Option<LaunchInfo>) -> Result<Exit>
where
    R: serde::Serialize + serde::de::DeserializeOwned + 'static,
    S: 'static,
{
    let (study, prepare) = study.split();
    isolated_main::work_if_isolated(Some(&study));
    let finished = run_job(launched, &options.settings(), Some(study.clone()), prepare);
    study.dictionary().close(); // in any case: the program's own threads may wait for it
    match finished? {
        Some(finished) => options.show(&finished),
        None => Ok(Exit::Complete),
    }
}
