//! `gridmpi launch`: starts mpirun, monitors it, and restarts it as long as that helps.
//!
//! Only the results folder tells what was done: mpirun's exit code is not reliable.

mod launcher;
mod parts;
mod watch;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use indicatif::ProgressBar;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::cli::guess;
use crate::cli::launch::launcher::{Launcher, Phase};
use crate::cli::launch::parts::PartOutcome;
use crate::cli::launch::watch::{Seen, Watch};
use crate::cli::options::seconds_option;
use crate::model::{JobPart, LoopNest, stop_of};
use crate::platform::slurm::Allocation;
use crate::rank0::progress::bar;
use crate::rank0::shutdown::TIME_IS_OVER;
use crate::rank0::status::Status;
use crate::store::{Folder, LaunchFile, LaunchNote, part_folder, wait_for_room};
use crate::util::duration;
use crate::util::error::{Error, Exit, Result};
use crate::util::signals::{self, SignalRequest};
use crate::util::text::{count, runs_of};

#[derive(Args)]
#[command(after_help = "\
Examples:
  gridmpi launch -n 9 job.toml                   rank 0 and 8 workers, here
  gridmpi launch -n 64 job.toml -- --hostfile h  what follows -- goes to mpirun
  gridmpi launch -n 4 --threads 16 --master-works job.toml

The last example starts 4 ranks, each of which runs tasks on 16 threads. Open MPI is told to keep \
going when a rank dies, to bind no rank to a core and, on this machine alone, to start more ranks than \
there are cores, and to be started by root.

If a worker dies, its tasks go to other workers, where the MPI allows that (Open MPI 4 and 5). If \
mpirun ends before the job is complete, for instance because rank 0 was killed, it is started again, \
and the job goes on where it stopped. After three starts in a row without a new run, launch gives up.")]
pub(super) struct LaunchArgs {
    /// Number of ranks, including rank 0
    #[arg(short, value_name = "RANKS", value_parser = ranks, allow_negative_numbers = true)]
    n: u32,
    /// Job file
    job: PathBuf,
    /// Threads per rank [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    threads: Option<u32>,
    /// Let rank 0 run tasks too, besides handing them out
    #[arg(long)]
    master_works: bool,
    /// Results folder [default: results/NAME]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Seconds that running tasks may take to finish after SIGINT, SIGTERM or SIGUSR2
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds_option)]
    grace: f64,
    /// Move the earlier results into a subfolder of the results folder, and start over
    #[arg(long, conflicts_with = "keep")]
    fresh: bool,
    /// Reuse the runs in the results folder although crunch has changed
    #[arg(long)]
    keep: bool,
    /// Do only this part of the job and, if all others have finished, merge them and complete the job
    #[arg(long, hide = true, value_name = "K/N", value_parser = JobPart::parse, conflicts_with_all = ["fresh", "keep"])]
    part: Option<JobPart>,
    /// The program that starts the ranks
    #[arg(long, value_name = "PROGRAM", default_value = "mpirun")]
    mpirun: String,
    /// More options for the launcher
    #[arg(last = true)]
    more: Vec<String>,
}

/// Number of consecutive starts that may add no runs.
const PATIENCE: u32 = 3;

/// How often to check the store.
const POLL_PERIOD: Duration = Duration::from_millis(500);

/// Rank 0 counts as gone if the results folder was unlocked in this many consecutive checks.
const LOOKS: u32 = 10;

/// How long a network file system may keep the lock of a dead node.
const LOST_LOCK: Duration = Duration::from_secs(180);

/// How long it may take from the start of the launcher until all ranks have reached MPI: a constant part, longer than
/// ranks wait for each other, and a part per rank.
const START: Duration = Duration::from_secs(300);
const START_EACH: Duration = Duration::from_secs(1);

/// How long a launcher may take to end after its job, or after a second signal.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How long it may take to end after the grace time of a first signal, where no lock tells whether rank 0 runs.
const WITHOUT_LOCKS: Duration = Duration::from_secs(60);

/// How long before the grace time the warning of the batch script's Slurm may come: 15 s, up to a minute
/// that Slurm may be early, and a little more.
const EARLIEST_WARNING: Duration = Duration::from_secs(90);

/// The most ranks anywhere.
const MOST_RANKS: u32 = 1_000_000;

fn ranks(text: &str) -> Result<u32, String> {
    match text.parse::<i128>() {
        Ok(ranks) if ranks < 1 => {
            Err("rank 0 and a worker are -n 2; at least 1 is needed".to_string())
        }
        Ok(ranks) => match u32::try_from(ranks) {
            Ok(ranks) if ranks <= MOST_RANKS => Ok(ranks),
            _ => Err(format!("at most {} ranks can be started", count(MOST_RANKS.into()))),
        },
        Err(_) => {
            Err("expected the number of ranks, such as 9 for rank 0 and 8 workers".to_string())
        }
    }
}

pub(super) fn launch(arguments: &LaunchArgs) -> Result<Exit> {
    let (job, _) = guess::read_job(&arguments.job)?;
    let named = || Path::new("results").join(&job.name);
    let out = arguments.out.clone().unwrap_or_else(named);
    signals::take();
    signals::set_consumed(true);
    let allocation = Allocation::detect();
    let (ends, grace) = (allocation.clone(), Duration::from_secs_f64(arguments.grace));
    signals::take_warning(move || is_unexpected(ends.as_ref(), grace));
    let launcher = Launcher::of(&arguments.mpirun);
    launcher.check(arguments)?;
    let whole = Phase { out: &out, part: None, keep_failed: false };
    let launch = |phase| launch_phase(arguments, launcher, allocation.as_ref(), &job.nest, phase);
    let Some(part) = arguments.part else { return launch(whole) };
    let ended = launch(Phase { part: Some(part), ..whole })?;
    if !matches!(ended, Exit::Complete | Exit::SomeFailed) {
        return Ok(ended);
    }
    match parts::finish(&out, part)? {
        // What failed in the parts has been tried there.
        PartOutcome::IsLast => launch(Phase { keep_failed: true, ..whole }),
        PartOutcome::IsDone => Ok(ended),
    }
}

/// Starts the launcher for the whole job or for a part, until that is complete.
fn launch_phase(
    arguments: &LaunchArgs,
    launcher: Launcher,
    allocation: Option<&Allocation>,
    nest: &LoopNest,
    phase: Phase,
) -> Result<Exit> {
    let (out, tasks) = match phase.part {
        Some(part) => {
            let tasks = part.tasks(nest);
            (part_folder(phase.out, part), tasks.end - tasks.start)
        }
        None => (phase.out.to_path_buf(), nest.tasks()),
    };
    let watch = Watch { store: out.join("runs.sqlite"), tasks };
    let end = allocation.and_then(|allocation| allocation.finish_by(SystemTime::now()));
    wait_for_room(&out, end)?;
    let restarted = allocation.is_some_and(|allocation| allocation.restarts > 0);
    wait_for_folder(&out, if restarted { LOST_LOCK } else { Duration::ZERO })?;
    let bar = std::io::stderr().is_terminal().then(|| bar::of_runs(watch.tasks));
    LaunchFile::clear(&out);
    let note = LaunchFile::new(&out, &LaunchFile::own_name());
    let (out, bar) = (out.as_path(), bar.as_ref());
    let (note, watch) = (&note, &watch);
    let stops = stop_of(nest).is_some();
    let launch = Launch { arguments, launcher, allocation, phase, out, note, watch, bar, stops };
    // A requeued batch job goes on with what it has done itself.
    let ended = launch.until_complete(arguments.fresh && !restarted);
    note.remove();
    ended
}

/// Whether a warning that the time limit is near tells more than rank 0 knows: it does not know the end, or
/// this host's clock is wrong.
fn is_unexpected(allocation: Option<&Allocation>, grace: Duration) -> bool {
    let left = allocation.and_then(|allocation| allocation.left(SystemTime::now()));
    if let Some(left) = left.filter(|left| *left > grace + EARLIEST_WARNING) {
        log::warn!(
            "Slurm warns that the time limit is near, but by this host's clock {} are left: the clock is not trusted, and the job ends now",
            duration::in_words(left)
        );
        return true;
    }
    left.is_none()
}

/// Refuses a results folder that cannot be used or that another process has locked: not every launcher would
/// pass on rank 0's error. In a restarted job, the lock may only be left over from a dead node.
fn wait_for_folder(out: &Path, patience: Duration) -> Result<()> {
    let since = Instant::now();
    while Folder::is_free(out) == Some(false) && since.elapsed() < patience {
        if let Some(asked) = signals::asked() {
            return Err(Error::interrupted(format!("{}: nothing was started yet", asked.name)));
        }
        std::thread::sleep(POLL_PERIOD);
    }
    Folder::claim(out, false).map(drop)
}

/// The starts of a job.
struct Launch<'a> {
    arguments: &'a LaunchArgs,
    launcher: Launcher,
    allocation: Option<&'a Allocation>,
    phase: Phase<'a>,
    /// The results folder of the job or of its part.
    out: &'a Path,
    /// What rank 0 tells.
    note: &'a LaunchFile,
    watch: &'a Watch,
    bar: Option<&'a ProgressBar>,
    /// Whether points of a loop are stopped early.
    stops: bool,
}

impl Launch<'_> {
    /// Starts the launcher until the job is complete or another start would not help. With `fresh`, the first
    /// rank 0 moves earlier results aside.
    fn until_complete(&self, mut fresh: bool) -> Result<Exit> {
        let Launch { arguments, watch, out, note, .. } = *self;
        let (mut fruitless, mut begun) = (0, None);
        loop {
            let found = watch.observe();
            if let Some(asked) = signals::asked() {
                return Err(self.stopped(&asked, &found));
            }
            let before = if fresh { found.emptied() } else { found };
            let is_first = begun.is_none();
            let begun = begun.get_or_insert_with(|| before.clone());
            if let Err(error) = note.write(LaunchNote::Waiting) {
                log::debug!("{error}");
            }
            let (status, told) = self.supervise(&before, fresh)?;
            // Rank 0 has said why, and would say the same again. Whatever goes on in the folder, another
            // gridmpi does it.
            if note.read() == Some(LaunchNote::Refused) {
                return Ok(Exit::BadInput);
            }
            let after = watch.wait_until_free(&before, out, told);
            let is_new = after.start != before.start;
            fresh &= !is_new;
            // A state that an earlier start left there says nothing about this one.
            let state = if is_new { after.state.as_str() } else { "" };
            match (state, signals::asked()) {
                // After a stop, the reason is already on stderr, and a restart would not help.
                ("complete" | "stopped", _) => return Ok(after.exit),
                // A rank was signalled from outside. When a rank dies, mpirun itself signals the others.
                ("interrupted", None) if status.code() == Some(Exit::Interrupted as i32) => {
                    return self.interrupted(&after, begun);
                }
                ("interrupted", None) if after.why == TIME_IS_OVER => {
                    return self.interrupted(&after, begun);
                }
                (_, Some(asked)) => return Err(self.stopped(&asked, &after)),
                _ if status.code() == Some(Exit::BadInput as i32) => return Ok(Exit::BadInput),
                _ => {}
            }
            if note.read() == Some(LaunchNote::Waiting) && is_first && refused(status) {
                return Err(Error::input(format!(
                    "{} ended ({status}) and has started nothing; it says why above; it was told -n {} {}",
                    arguments.mpirun,
                    arguments.n,
                    arguments.more.join(" ")
                )));
            }
            fruitless = if after.has_more_than(&before) { 0 } else { fruitless + 1 };
            let ended =
                format!("{} ended ({status}) with {} done", arguments.mpirun, self.runs(&after));
            if fruitless == PATIENCE {
                return Err(Error::unexpected(format!(
                    "{ended}, and {PATIENCE} starts in a row brought nothing new; what is there is in {}",
                    out.display()
                )));
            }
            log::warn!("{ended}; starting it again");
        }
    }

    /// The error after a signal.
    fn stopped(&self, asked: &SignalRequest, seen: &Seen) -> Error {
        Error::interrupted(format!(
            "{}: {} are in {}; start it again to go on",
            asked.name,
            self.runs(seen),
            self.out.display()
        ))
    }

    /// How many runs are there, of how many.
    fn runs(&self, seen: &Seen) -> String {
        match self.counted(seen) {
            (done, 0) => format!("{done} of {} runs", self.watch.tasks),
            (done, skipped) => runs_of(done, skipped, self.watch.tasks),
        }
    }

    /// How many runs count, and how many are not made, of points that were stopped, as far as rank 0 has told.
    fn counted(&self, seen: &Seen) -> (u64, u64) {
        let read = || Status::read(self.out).ok().flatten();
        let told = self.stops.then(read).flatten();
        told.map_or((seen.runs, 0), |status| (status.done, status.skipped))
    }

    /// The ranks ended in order before the job was complete, so there will be another start. Unless another
    /// one of the same length would add no more runs than this one did.
    fn interrupted(&self, after: &Seen, begun: &Seen) -> Result<Exit> {
        if after.why == TIME_IS_OVER && !after.has_more_than(begun) {
            return Err(Error::unexpected(format!(
                "{}: no run finished within the time limit; {} are done; request more time",
                self.arguments.job.display(),
                self.runs(after)
            )));
        }
        Ok(Exit::Interrupted)
    }

    /// Runs the launcher once, until it has ended; returns how, and how many signals it was sent.
    fn supervise(&self, before: &Seen, fresh: bool) -> Result<(ExitStatus, usize)> {
        let Launch { arguments, watch, out, .. } = *self;
        let mut launcher = self.launcher.start(arguments, self.allocation, self.phase, fresh)?;
        let group = Pid::from_child(&launcher);
        let (begin, mut forwarded, mut over, mut free) = (Instant::now(), 0, None, 0);
        let mut stopping: Option<Instant> = None;
        let kill = |why: &str| {
            log::warn!("{why}: it is killed");
            let _ = kill_process_group(group, Signal::KILL);
        };
        loop {
            let waited = launcher.try_wait();
            let lost =
                |e| Error::unexpected(format!("{} cannot be waited for: {e}", arguments.mpirun));
            if let Some(status) = waited.map_err(lost)? {
                return Ok((status, forwarded));
            }
            if let Some(asked) = signals::asked().filter(|asked| asked.times > forwarded) {
                (forwarded, stopping) = (asked.times, Some(Instant::now()));
                // mpirun forwards USR2 and lets the ranks finish in their own time; after INT it would not.
                let _ = kill_process(group, Signal::USR2);
            }
            let seen = watch.observe();
            if let Some(bar) = self.bar {
                let (done, skipped) = self.counted(&seen);
                bar.set_length(watch.tasks.saturating_sub(skipped));
                bar.set_position(done);
            }
            let is_new = seen.start != before.start;
            let stopped = stopping.map(|since| since.elapsed());
            let ended = match self.note.read() {
                Some(LaunchNote::Refused) => Some("rank 0 has refused the job"),
                _ => (seen.state == "complete" && is_new).then_some("the job is complete"),
            };
            if let Some(ended) = ended {
                let since = *over.get_or_insert_with(Instant::now);
                if since.elapsed() > LAST_WORDS {
                    kill(&format!("{ended}, but {} does not end", arguments.mpirun));
                }
            } else if let Some(stopped) =
                stopped.filter(|stopped| self.is_overdue(*stopped, forwarded))
            {
                kill(&format!(
                    "{} does not end within {} s of a signal",
                    arguments.mpirun,
                    stopped.as_secs()
                ));
            } else if is_new || stopping.is_some() {
                // Rank 0 keeps the folder locked while it runs. Without it, the others would wait for a while.
                free = if Folder::is_free(out) == Some(true) { free + 1 } else { 0 };
                if free > LOOKS {
                    kill(&format!(
                        "rank 0 ended before the job was complete, and {} goes on",
                        arguments.mpirun
                    ));
                }
            }
            if !is_new && begin.elapsed() > self.longest_start() && self.is_connecting() {
                kill(&format!(
                    "the ranks have not reached each other within {} s, and {} goes on",
                    begin.elapsed().as_secs(),
                    arguments.mpirun
                ));
            }
            std::thread::sleep(POLL_PERIOD);
        }
    }

    /// Whether rank 0 has not begun, or the ranks have not all reached MPI. Reading the job, which comes then, may take as
    /// long as it needs.
    fn is_connecting(&self) -> bool {
        let note = self.note.read();
        matches!(note, Some(LaunchNote::Waiting | LaunchNote::Begun))
            && Folder::is_free(self.out) != Some(false)
    }

    /// How long it may take until all ranks have reached MPI. If they give up because they cannot reach each other,
    /// mpirun may hang.
    fn longest_start(&self) -> Duration {
        START + START_EACH * self.arguments.n
    }

    /// Whether the launcher should have ended by now, that long after the last signal of so many.
    fn is_overdue(&self, stopped: Duration, times: usize) -> bool {
        let patience = match (times, Folder::is_free(self.out)) {
            (0 | 1, Some(_)) => return false, // the lock tells more than any time
            (0 | 1, None) => Duration::from_secs_f64(self.arguments.grace) + WITHOUT_LOCKS,
            _ => LAST_WORDS,
        };
        stopped > patience
    }
}

/// Whether a launcher has ended by itself and with an error, not by a signal to it or to a rank.
fn refused(status: ExitStatus) -> bool {
    status.code().is_some_and(|code| (1..128).contains(&code))
}
