//! `gridmpi launch`: starts mpirun, monitors it, and restarts it as long as that helps.
//!
//! Only the store tells what was done: mpirun's exit code is not reliable.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use rusqlite::OptionalExtension;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::job::Job;
use crate::platform::slurm::{Allocation, Step, ask};
use crate::rank0::progress::bar;
use crate::rank0::shutdown::TIME_IS_OVER;
use crate::store::{Folder, to_read};
use crate::util::error::{Error, Exit, Result};
use crate::util::{machine, signals};

#[derive(Args)]
#[command(after_help = "\
Examples:
  gridmpi launch -n 9 job.toml                   rank 0 and 8 workers, here
  gridmpi launch -n 64 job.toml -- --hostfile h  what follows -- goes to mpirun
  gridmpi launch -n 4 --threads 16 --master-works job.toml -- --bind-to none

The last example starts 4 ranks, each of which runs tasks on 16 threads.

If a worker dies, its tasks go to other workers, where the MPI allows that (Open MPI 4 and 5). If \
mpirun ends before the job is complete, for instance because rank 0 was killed, it is started again, \
and the job goes on where it stopped. After three starts in a row without a new run, launch gives up.")]
pub(super) struct LaunchArgs {
    /// Number of ranks, including rank 0
    #[arg(short, value_name = "RANKS", value_parser = clap::value_parser!(u32).range(1..))]
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
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    grace: f64,
    /// Reuse the runs in the results folder although crunch has changed
    #[arg(long)]
    keep: bool,
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

/// How long a launcher may take to end after its job.
const LAST_WORDS: Duration = Duration::from_secs(10);

pub(super) fn launch(arguments: &LaunchArgs) -> Result<Exit> {
    let (job, _) = Job::read(&arguments.job)?;
    let named = || Path::new("results").join(&job.name);
    let out = arguments.out.clone().unwrap_or_else(named);
    let watch = Watch { store: out.join("runs.sqlite"), tasks: job.nest.tasks() };
    signals::take();
    signals::set_consumed(true);
    let allocation = Allocation::detect();
    if allocation.as_ref().is_none_or(|allocation| allocation.end.is_none()) {
        signals::take_warning();
    } else {
        signals::ignore_warning(); // rank 0 knows the time limit
    }
    let restarted = allocation.is_some_and(|allocation| allocation.restarts > 0);
    wait_for_folder(&out, if restarted { LOST_LOCK } else { Duration::ZERO })?;
    let survival = Survival::of(&arguments.mpirun);
    let bar = std::io::stderr().is_terminal().then(|| bar::of_runs(watch.tasks));
    let mut fruitless = 0;
    let begun = watch.observe().runs;
    loop {
        let before = watch.observe();
        let status = supervise(arguments, survival, &out, &watch, &before, bar.as_ref())?;
        let after = watch.wait_until_free(&before, &out);
        // A state that an earlier start left there says nothing about this one.
        let state = if after.start == before.start { "" } else { after.state.as_str() };
        match (state, signals::asked()) {
            // After a stop, the reason is already on stderr, and a restart would not help.
            ("complete" | "stopped", _) => return Ok(after.exit),
            // A rank was signalled from outside. When a rank dies, mpirun itself signals the others.
            ("interrupted", None) if status.code() == Some(Exit::Interrupted as i32) => {
                return interrupted(arguments, &watch, &after, begun);
            }
            ("interrupted", None) if after.why == TIME_IS_OVER => {
                return interrupted(arguments, &watch, &after, begun);
            }
            (_, Some(asked)) => {
                return Err(Error::interrupted(format!(
                    "{}: {} of {} runs are in {}; start it again to go on",
                    asked.name,
                    after.runs,
                    watch.tasks,
                    out.display()
                )));
            }
            _ if status.code() == Some(Exit::BadInput as i32) => return Ok(Exit::BadInput),
            _ => {}
        }
        fruitless = if after.runs > before.runs { 0 } else { fruitless + 1 };
        let ended = format!(
            "{} ended ({status}) with {} of {} runs done",
            arguments.mpirun, after.runs, watch.tasks
        );
        if fruitless == PATIENCE {
            return Err(Error::unexpected(format!(
                "{ended}, and {PATIENCE} starts in a row brought nothing new; what is there is in {}",
                out.display()
            )));
        }
        log::warn!("{ended}; starting it again");
    }
}

/// The ranks ended in order before the job was complete, so there will be another start. Unless another one
/// of the same length would add no more runs than this one did.
fn interrupted(arguments: &LaunchArgs, watch: &Watch, after: &Seen, begun: u64) -> Result<Exit> {
    if after.why == TIME_IS_OVER && after.runs == begun {
        return Err(Error::unexpected(format!(
            "{}: no run finished within the time limit; {} of {} are done; request more time",
            arguments.job.display(),
            after.runs,
            watch.tasks
        )));
    }
    Ok(Exit::Interrupted)
}

/// Refuses a results folder that cannot be used or that another process has locked: not every launcher would
/// pass on rank 0's error. In a restarted job, the lock may only be left over from a dead node.
fn wait_for_folder(out: &Path, patience: Duration) -> Result<()> {
    let since = Instant::now();
    while Folder::is_free(out) == Some(false) {
        if since.elapsed() >= patience || signals::asked().is_some() {
            break;
        }
        std::thread::sleep(POLL_PERIOD);
    }
    Folder::claim(out, false).map(drop)
}

/// Runs the launcher once, until it has ended.
fn supervise(
    arguments: &LaunchArgs,
    survival: Survival,
    out: &Path,
    watch: &Watch,
    before: &Seen,
    bar: Option<&ProgressBar>,
) -> Result<ExitStatus> {
    let mut launcher = start(arguments, survival, out)?;
    let group = Pid::from_child(&launcher);
    let (mut forwarded, mut over, mut free) = (0, None, 0);
    loop {
        let waited = launcher.try_wait();
        let lost = |e| Error::unexpected(format!("{} cannot be waited for: {e}", arguments.mpirun));
        if let Some(status) = waited.map_err(lost)? {
            return Ok(status);
        }
        if let Some(asked) = signals::asked().filter(|asked| asked.times > forwarded) {
            forwarded = asked.times;
            // mpirun forwards USR2 and lets the ranks finish in their own time; after INT it would not.
            let _ = kill_process(group, Signal::USR2);
        }
        let seen = watch.observe();
        if let Some(bar) = bar {
            bar.set_position(seen.runs);
        }
        if seen.state == "complete" && seen.start != before.start {
            let since = *over.get_or_insert_with(Instant::now);
            if since.elapsed() > LAST_WORDS {
                log::warn!(
                    "the job is complete, but {} does not end: it is killed",
                    arguments.mpirun
                );
                let _ = kill_process_group(group, Signal::KILL);
            }
        } else if seen.start != before.start {
            // Rank 0 keeps the folder locked while it runs. Without it, the others would wait for a while.
            free = if Folder::is_free(out) == Some(true) { free + 1 } else { 0 };
            if free > LOOKS {
                log::warn!("rank 0 ended before the job was complete");
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
        std::thread::sleep(POLL_PERIOD);
    }
}

/// The launcher's option to keep the other ranks running when one dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Survival {
    /// Open MPI 4.
    Recovery,
    /// Open MPI 5 and later: User-Level Failure Mitigation.
    Ulfm,
    /// No known option.
    None,
}

impl Survival {
    fn of(launcher: &str) -> Survival {
        Survival::from(&ask(launcher, &["--version"]).unwrap_or_default())
    }

    fn from(version: &str) -> Survival {
        let version = version.split("(Open MPI) ").nth(1).and_then(|rest| rest.split('.').next());
        match version.and_then(|major| major.trim().parse::<u32>().ok()) {
            Some(4) => Survival::Recovery,
            Some(5..) => Survival::Ulfm,
            _ => Survival::None,
        }
    }
}

fn start(arguments: &LaunchArgs, survival: Survival, out: &Path) -> Result<Child> {
    let own = std::env::current_exe()
        .map_err(|e| Error::unexpected(format!("the path of gridmpi cannot be found: {e}")))?;
    let mut command = Command::new(&arguments.mpirun);
    let step = Step::left();
    if let Some(step) = &step {
        log::warn!("the remaining nodes: {}", step.nodes);
        command.envs(step.environment());
    }
    match survival {
        Survival::Recovery => drop(command.env("OMPI_MCA_orte_enable_recovery", "1")),
        Survival::Ulfm => drop(command.args(["--with-ft", "ulfm"])),
        Survival::None => {}
    }
    let ranks = step.as_ref().map_or(arguments.n, |step| step.ranks(arguments.n));
    command.args(["-n", &ranks.to_string()]).args(&arguments.more).arg(own).arg("run");
    command
        .arg(&arguments.job)
        .arg("--out")
        .arg(out)
        .args(["--grace", &arguments.grace.to_string()]);
    if let Some(threads) = arguments.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    for (said, flag) in [(arguments.keep, "--keep"), (arguments.master_works, "--master-works")] {
        if said {
            command.arg(flag);
        }
    }
    // Open MPI requires both variables; other launchers ignore them.
    if rustix::process::geteuid().is_root() && std::env::var_os(AS_ROOT[0]).is_none() {
        log::warn!("started by root: Open MPI is told to allow it");
        command.envs(AS_ROOT.map(|name| (name, "1")));
    }
    let cores = machine::cores();
    if arguments.n as usize > cores && arguments.more.is_empty() {
        log::warn!("{} ranks on {cores} cores", arguments.n);
        command.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
        command.env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe");
    }
    command.process_group(0).spawn().map_err(|error| {
        Error::input(format!(
            "{} cannot be started: {error}; install the MPI that gridmpi was built with, or name its launcher with --mpirun",
            arguments.mpirun
        ))
    })
}

const AS_ROOT: [&str; 2] = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"];

/// The state of a run as seen in its store.
struct Watch {
    store: PathBuf,
    tasks: u64,
}

struct Seen {
    runs: u64,
    state: String,
    /// Why it was interrupted, if it was.
    why: String,
    /// The start that opened the store last.
    start: String,
    exit: Exit,
}

impl Watch {
    /// Reads the store; if it is missing or unreadable at present, the state is empty.
    fn observe(&self) -> Seen {
        self.read().ok().flatten().unwrap_or(Seen {
            runs: 0,
            state: String::new(),
            why: String::new(),
            start: String::new(),
            exit: Exit::Unexpected,
        })
    }

    /// Reads the store once the results folder is unlocked: ranks whose launcher was killed may still
    /// continue, even to the end.
    fn wait_until_free(&self, before: &Seen, out: &Path) -> Seen {
        let mut said = false;
        loop {
            let seen = self.observe();
            let over = seen.start != before.start && seen.state == "complete";
            if over || !out.exists() || Folder::claim(out, false).is_ok() {
                return seen;
            }
            if signals::asked().is_some_and(|asked| asked.times > 1) {
                return seen;
            }
            if !std::mem::replace(&mut said, true) {
                log::warn!("the launcher has ended, but its ranks go on; waiting for them");
            }
            std::thread::sleep(POLL_PERIOD);
        }
    }

    fn read(&self) -> Result<Option<Seen>, rusqlite::Error> {
        if !self.store.exists() {
            return Ok(None);
        }
        let store = to_read(&self.store)?;
        let runs: i64 = store.query_row("SELECT count(*) FROM runs", [], |row| row.get(0))?;
        let note = |key: &str| {
            let sql = "SELECT CAST(value AS TEXT) FROM job WHERE key = ?1";
            store.query_row(sql, [key], |row| row.get::<_, String>(0)).optional()
        };
        let exit = match note("exit_code")?.as_deref() {
            Some("0") => Exit::Complete,
            Some("75") => Exit::Interrupted,
            Some("100") => Exit::SomeFailed,
            _ => Exit::Unexpected,
        };
        let text = |key: &str| note(key).map(Option::unwrap_or_default);
        let (state, why, start) = (text("state")?, text("why")?, text("start")?);
        Ok(Some(Seen { runs: runs as u64, state, why, start, exit }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_are_told_apart_by_what_they_say() {
        for (said, survival) in [
            ("mpirun (Open MPI) 4.1.4\n\nReport bugs to", Survival::Recovery),
            ("mpirun (Open MPI) 5.0.11", Survival::Ulfm),
            ("HYDRA build details:\n    Version: 4.0.2", Survival::None),
            ("", Survival::None),
        ] {
            assert_eq!(Survival::from(said), survival, "{said}");
        }
    }
}
