//! `gridmpi sbatch`: a batch script for a Slurm cluster, printed or submitted.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;

use crate::cli::plan::durations::RecordedDurations;
use crate::cli::plan::slurm_request::{RemainingWork, propose, warning};
use crate::cli::{guess, print, say};
use crate::job::{Job, SlurmOptions};
use crate::model::{LoopNest, stop_of};
use crate::platform::mpi_flavour::MpiFlavour;
use crate::platform::mpi_library;
use crate::platform::slurm::needs;
use crate::platform::slurm::partition::{Partition, Wish};
use crate::platform::slurm::script::{self, Script};
use crate::report::text::words::{seconds, things};
use crate::store::warn_of_parts;
use crate::util::duration;
use crate::util::error::{Error, Exit, Result};

#[derive(Args)]
#[command(after_help = "\
Examples:
  gridmpi sbatch job.toml --nodes 4 --threads 16 --time 2:00:00 > job.sh
  gridmpi sbatch job.toml | sbatch              nodes and time by earlier runs
  gridmpi sbatch job.toml --submit -- --mem=8G --account=physics
  gridmpi sbatch a.toml b.toml c.toml --submit  an array: one folder for each
  gridmpi sbatch job.toml --parts 4 --submit    an array: one job in four parts

Before its time limit the job stops: it begins no task that would not finish in time, and stores \
what is done. Its script then requeues it, until the job is complete. The table [slurm] of the job \
file sets the same options; the command line takes precedence. docs/slurm.md explains the rest.")]
pub(super) struct SbatchArgs {
    /// Job file; several job files make a job array
    #[arg(required = true)]
    jobs: Vec<PathBuf>,
    /// Number of nodes [default: enough to finish in about an hour, by recorded durations]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    nodes: Option<u32>,
    /// Ranks per node [default: 1]
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(1..))]
    ntasks_per_node: Option<u32>,
    /// Threads per rank [default: the cores of a node, divided by its ranks]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(1..=65536))]
    threads: Option<u32>,
    /// Time limit of one allocation, in sbatch's format [default: by recorded durations]
    #[arg(long, value_name = "LIMIT", value_parser = limit)]
    time: Option<Duration>,
    /// Partition
    #[arg(long, value_name = "P")]
    partition: Option<String>,
    /// Results folder [default: results/NAME]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Split the job into this many parts, each in an allocation of its own: small ones start sooner than a large
    /// one. A part does a share of the points of the outermost loop; the last one to finish merges them. Nodes
    /// and time are those of each part
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    parts: Option<u32>,
    /// How often the job may be requeued [default: 20]
    #[arg(long, value_name = "K")]
    requeues: Option<u32>,
    /// Launcher and its options, such as "srun --mpi=pmix" [default: by the MPI that `gridmpi doctor` names]
    #[arg(long, value_name = "LINE")]
    launcher: Option<String>,
    /// Submit the script instead of printing it
    #[arg(long)]
    submit: bool,
    /// More options for sbatch
    #[arg(last = true)]
    more: Vec<String>,
}

/// The default number of requeues.
const REQUEUES: u32 = 20;

fn limit(text: &str) -> Result<Duration, String> {
    duration::parse(text).filter(|limit| !limit.is_zero()).ok_or_else(|| {
        "expected minutes, hours:minutes:seconds or days-hours:minutes:seconds".to_string()
    })
}

/// A job that the script will run.
struct Wanted {
    job: Job,
    batch: SlurmOptions,
    file: PathBuf,
    out: PathBuf,
    load: Option<RemainingWork>,
}

pub(super) fn sbatch(arguments: &SbatchArgs) -> Result<Exit> {
    if arguments.out.is_some() && arguments.jobs.len() > 1 {
        return Err(Error::input("--out names one folder, and there are several jobs"));
    }
    if arguments.parts.is_some() && arguments.jobs.len() > 1 {
        return Err(Error::input("--parts splits one job, and there are several"));
    }
    let mut wanted: Vec<Wanted> = Vec::new();
    for file in &arguments.jobs {
        let next = want(arguments, file)?;
        if let Some(other) = wanted.iter().find(|other| other.out == next.out) {
            return Err(Error::input(format!(
                "{} and {} would write to one folder, {}: give them different names",
                other.file.display(),
                file.display(),
                next.out.display()
            )));
        }
        wanted.push(next);
    }
    let text = script(arguments, &wanted)?;
    match arguments.submit {
        true => submit(&text),
        false if std::io::stdout().is_terminal() => say(&text),
        false => print(text.as_bytes()),
    }
}

fn want(arguments: &SbatchArgs, file: &Path) -> Result<Wanted> {
    let (job, text) = guess::read_job(file)?;
    let batch = SlurmOptions::read(&text, file)?;
    let named = || Path::new("results").join(&job.name);
    let out = arguments.out.clone().unwrap_or_else(named);
    let durations = RecordedDurations::of(&job, None, &out).unwrap_or_else(|error| {
        log::warn!("how long tasks take is not known: {error}");
        RecordedDurations::unknown(&job)
    });
    let load = durations.load();
    warn_of_parts(&out);
    Ok(Wanted { job, batch, file: file.to_path_buf(), out, load })
}

fn script(arguments: &SbatchArgs, wanted: &[Wanted]) -> Result<String> {
    let batch = &wanted[0].batch;
    let partition = arguments.partition.as_deref().or(batch.partition.as_deref());
    let ntasks_per_node = arguments.ntasks_per_node.or(batch.ntasks_per_node).unwrap_or(1);
    let there = Partition::find(partition);
    let needed = needs::of_all(wanted.iter().map(|wanted| wanted.job.policy.needs));
    let asked = arguments.threads.or(batch.threads);
    let threads = asked.unwrap_or_else(|| match &there {
        Some(partition) => needs::threads_per_rank(&needed, ntasks_per_node, partition),
        None => {
            log::warn!("the number of cores per node is not known here: give --threads");
            1
        }
    });
    // Without a word on cores, tasks that are fewer than the cores of a node share them all.
    let of_rank = there.as_ref().map_or(1, |partition| partition.cores.0 / ntasks_per_node);
    let cpus_per_task = match (needed.cores, asked) {
        (Some(cores), _) => threads.saturating_mul(cores),
        (None, Some(_)) => threads,
        (None, None) => of_rank.max(threads),
    };
    // With several jobs, the one with the most work determines the allocation.
    let work = |load: &RemainingWork| load.tasks as f64 * load.mean;
    let all = wanted.iter().map(|wanted| wanted.load).collect::<Option<Vec<RemainingWork>>>();
    let load = all.and_then(|all| all.into_iter().max_by(|a, b| work(a).total_cmp(&work(b))));
    let parts = parts(arguments.parts, &wanted[0].job.nest);
    if let (Some(_), Some((level, _))) = (parts, stop_of(&wanted[0].job.nest)) {
        return Err(Error::input(format!(
            "--parts: loop '{}' stops points, which a part of a job cannot; take stop out of it for that",
            wanted[0].job.nest.loops()[level].name
        )));
    }
    let load = load.map(|load| match parts {
        Some(parts) => RemainingWork { tasks: load.tasks.div_ceil(parts.into()), ..load },
        None => load,
    });
    let (nodes, time) = (arguments.nodes.or(batch.nodes), arguments.time.or(batch.time));
    let per_node = u64::from(ntasks_per_node) * u64::from(threads);
    let shape = propose(load.as_ref(), per_node, nodes, time);
    let of_file = batch.options.iter().map(|text| script::line(text));
    let options = [of_file.collect::<Result<_>>()?, options(&arguments.more)?].concat();
    let tasks_per_node = threads.saturating_mul(ntasks_per_node);
    let of_needs = needs::options(&needed, tasks_per_node, &options);
    let options = [of_needs, options].concat();
    let wish = Wish {
        nodes: shape.nodes,
        ntasks_per_node,
        cpus_per_task,
        time: shape.time,
        options: &options,
    };
    for beyond in there.iter().flat_map(|partition| partition.exceeded(&wish)) {
        log::warn!("{beyond}");
    }
    // Where tasks need devices, none is bought for a rank that only hands out tasks.
    let ranks = shape.nodes.saturating_mul(ntasks_per_node);
    let master_works = threads > 1 || needed.is_any() && ranks > 1;
    if shape.nodes > 1 && ntasks_per_node == 1 && !master_works {
        log::warn!(
            "one of the {} nodes computes nothing: its only rank, of one thread, hands out tasks; with --threads 2 or more it computes too, and with --ntasks-per-node 2 or more its other ranks do",
            shape.nodes
        );
    }
    if let Err(error) = mpi_library::load_for(None) {
        log::debug!("{error}"); // the job may have modules that this node has not
    }
    let kind = MpiFlavour::own();
    let launcher = match arguments.launcher.as_ref().or(batch.launcher.as_ref()) {
        Some(line) => shlex::split(line)
            .filter(|words| !words.is_empty())
            .ok_or_else(|| Error::input(format!("no launcher: {line:?}")))?,
        None => kind.in_slurm().iter().map(ToString::to_string).collect(),
    };
    let launcher = with_cores(launcher);
    let current = std::env::current_dir().and_then(|folder| folder.canonicalize());
    let folder = current.map_err(|e| Error::unexpected(format!("this folder: {e}")))?;
    let own = std::env::current_exe()
        .map_err(|e| Error::unexpected(format!("the path of gridmpi cannot be found: {e}")))?;
    let name = match wanted {
        [one] => one.job.name.clone(),
        several => format!("{}-and-{}-more", several[0].job.name, several.len() - 1),
    };
    Script {
        about: about(wanted, load.as_ref(), parts, (nodes.is_none(), time.is_none())),
        name: &name,
        parts,
        jobs: wanted.iter().map(|wanted| (wanted.file.clone(), wanted.out.clone())).collect(),
        shape,
        ntasks_per_node,
        threads,
        cpus_per_task,
        master_works,
        partition,
        warning: warning(load.as_ref(), shape.time),
        requeues: arguments.requeues.or(batch.requeues).unwrap_or(REQUEUES),
        launcher,
        modules: &batch.modules,
        venv: batch.venv.as_deref(),
        setup: &batch.setup,
        options,
        gridmpi: &own,
        folder: &folder,
    }
    .text()
}

/// The number of parts: at most that of the outermost loop's points. A single part is the whole job.
fn parts(asked: Option<u32>, nest: &LoopNest) -> Option<u32> {
    let (asked, outermost) = (asked?, &nest.loops()[0]);
    let points = outermost.points.len();
    let parts = u32::try_from(points).map_or(asked, |points| asked.min(points));
    if parts < asked {
        let instead =
            if parts == 1 { "not split".to_string() } else { format!("split into {parts}") };
        log::warn!(
            "--parts {asked}: loop '{}', the outermost one, has {points} points, and each part needs one: the job is {instead}",
            outermost.name
        );
    }
    (parts > 1).then_some(parts)
}

/// The comment at the top: the script's purpose, and the reasons for its requests.
fn about(
    wanted: &[Wanted],
    load: Option<&RemainingWork>,
    parts: Option<u32>,
    proposed: (bool, bool),
) -> Vec<String> {
    let jobs = wanted.iter().map(|Wanted { job, file, .. }| {
        format!("{} ({}): {}", job.name, file.display(), things(job.nest.tasks(), "task"))
    });
    let mut lines: Vec<String> = jobs.collect();
    lines.extend(parts.map(|parts| format!("In {parts} parts, each a job of the array.")));
    lines.push(format!("By gridmpi {}. Submit it with: sbatch FILE", env!("CARGO_PKG_VERSION")));
    let proposed = match proposed {
        (true, true) => "Nodes and time are",
        (true, false) => "The number of nodes is",
        (false, true) => "The time is",
        (false, false) => return lines,
    };
    let stops = wanted.iter().any(|wanted| stop_of(&wanted.job.nest).is_some());
    let is_most = stops && load.is_some_and(|load| load.tasks > 0);
    let most = if is_most { "at most " } else { "" };
    let in_part = if parts.is_some() { " for a part" } else { "" };
    lines.push(match load {
        Some(load) => format!(
            "{proposed} proposed: {most}{} left{in_part}, {} each so far, the longest {}.",
            things(load.tasks, "task"),
            seconds(load.mean),
            seconds(load.longest)
        ),
        None => {
            format!("{proposed} a guess: no run was recorded yet that tells how long tasks take.")
        }
    });
    lines
}

/// srun does not take the cores per rank from the allocation.
fn with_cores(mut launcher: Vec<String>) -> Vec<String> {
    let is_srun = Path::new(&launcher[0]).file_name().is_some_and(|name| name == "srun");
    let says = |word: &String| word.starts_with("-c") || word.starts_with("--cpus-per-task");
    let says = launcher.iter().any(says);
    if is_srun {
        launcher.push("--no-kill".to_string());
        if !says {
            launcher.push("--cpus-per-task=$SLURM_CPUS_PER_TASK".to_string());
        }
    }
    launcher
}

/// Options as given: `--mem 8G` is two words, and one line of the script.
fn options(words: &[String]) -> Result<Vec<String>> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        let quoted = script::word(word)?;
        match lines.last_mut() {
            Some(last) if !word.starts_with('-') => *last = format!("{last} {quoted}"),
            _ => lines.push(quoted),
        }
    }
    Ok(lines)
}

fn submit(text: &str) -> Result<Exit> {
    let no = |error: std::io::Error| {
        Error::input(format!(
            "sbatch cannot be started: {error}; submit on a login node of the cluster"
        ))
    };
    let mut sbatch = Command::new("sbatch").stdin(Stdio::piped()).spawn().map_err(no)?;
    if let Some(mut stdin) = sbatch.stdin.take() {
        stdin.write_all(text.as_bytes()).map_err(no)?;
    }
    let status = sbatch.wait().map_err(no)?;
    if status.success() {
        return Ok(Exit::Complete);
    }
    Err(Error::input(format!("sbatch has refused the script ({status}); its reason is above")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_one_a_line() {
        let words = ["--mem", "8G", "--comment", "a 'b'", "-x", "n1"].map(String::from);
        assert_eq!(options(&words).unwrap(), ["--mem 8G", "--comment \"a 'b'\"", "-x n1"]);
    }
}
