//! Child processes of a worker. Each leads its own process group, so that its descendants can be ended with
//! it. All carry a marker in their environment; a guardian process kills every marked process that is left
//! once gridmpi has ended for any reason.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process, kill_process_group, waitid,
};

use crate::executor::process::tail::Tail;
#[cfg(feature = "jobs")]
use crate::model::RunOutput;
use crate::util::clock;
use crate::util::own_children;
use crate::wire::requests::MasterClient;

/// How long a child may take to end after it is asked to.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// How often to check for cancellation.
const POLL_PERIOD: Duration = Duration::from_millis(100);

/// Polling interval where the end of a child cannot be waited for with poll.
pub(crate) const TRY: Duration = Duration::from_millis(10);

/// How long descendants may keep a child's output open after the child has ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// The environment variable that carries the marker.
const MARK: &str = "GRIDMPI_OWNER";

/// Waits until gridmpi has ended, which closes the pipe, then kills all processes with the marker. They may
/// start others meanwhile, which inherit the marker, so it repeats until none is left. It is no child of
/// gridmpi, so that a worker without children has none at all. A batch system signals every process of a job,
/// this one too: it ignores all but SIGKILL, or children that ignore SIGTERM would outlive it.
const GUARDIAN: &str = r#"
trap '' HUP INT QUIT ALRM TERM USR1 USR2 XCPU
exec 3<&0
(
    read -r _ <&3
    for round in 1 2 3 4 5; do
        left=$(grep -lsF "$1" /proc/[0-9]*/environ)
        [ -n "$left" ] || exit 0
        for place in $left; do
            pid=${place#/proc/}
            kill -KILL "${pid%/environ}"
        done
        sleep 0.1
    done
) &
"#;

/// This process's guardian: its stdin pipe, kept open, and the marker with its name.
static GUARD: OnceLock<(Option<ChildStdin>, String)> = OnceLock::new();

/// What marks this process's children, without the number of the attempt.
pub(super) fn mark() -> &'static str {
    let (_, mark) = GUARD.get_or_init(|| {
        let mark = format!("{MARK}={}.", clock::process_stamp());
        let guardian = Command::new("/bin/sh")
            .args(["-c", GUARDIAN, "gridmpi-guardian", &mark])
            .env_remove(MARK) // gridmpi may itself be a child of gridmpi
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let guardian = guardian.and_then(|mut guardian| {
            let pipe = guardian.stdin.take();
            guardian.wait().map(|_| pipe) // the guardian is its child
        });
        if let Err(error) = &guardian {
            log::warn!("child processes cannot be watched ({error}): they may outlive gridmpi if it is killed");
        }
        (guardian.ok().flatten(), mark)
    });
    mark
}

/// Starts a child that serves many tasks.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    spawn_marked(command, 0)
}

/// Starts a child of this attempt; 0 for none.
pub(super) fn spawn_marked(command: &mut Command, attempt: u64) -> io::Result<Child> {
    let (name, mark) = mark().split_once('=').expect("a name and a value");
    own_children::spawn(command.env(name, format!("{mark}{attempt}")).process_group(0))
}

/// When to stop waiting for a call: a timeout, or cancellation.
#[derive(Clone)]
pub(crate) struct Limits {
    timeout: Option<Duration>,
    caller: Option<Arc<dyn MasterClient>>,
    until: Option<Instant>,
}

impl Limits {
    /// `caller` tells whether the call has been cancelled.
    pub(crate) fn new(timeout: Option<Duration>, caller: Option<&Arc<dyn MasterClient>>) -> Limits {
        Limits { timeout, caller: caller.cloned(), until: None }
    }

    /// A fixed time limit, without cancellation.
    pub(crate) fn within(wait: Duration) -> Limits {
        Limits { timeout: Some(wait), caller: None, until: Some(Instant::now() + wait) }
    }

    /// Starts the clock for one call.
    pub(crate) fn begin(&mut self) {
        self.until = self.timeout.map(|timeout| Instant::now() + timeout);
    }

    /// What this attempt at a task prints is gathered there.
    #[cfg(feature = "jobs")]
    pub(crate) fn gather(&self, run: (u64, u32), output: &Arc<RunOutput>) {
        self.caller.iter().for_each(|caller| caller.gather(run, output));
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.is_cancelled())
    }

    /// How long to wait before the next check; an error if the call is to end.
    pub(crate) fn patience(&self) -> io::Result<Option<Duration>> {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            let seconds = self.timeout.unwrap_or_default().as_secs_f64();
            let why = format!("timed out: it took more than {seconds} s");
            return Err(io::Error::new(ErrorKind::TimedOut, why));
        }
        let Some(caller) = &self.caller else { return Ok(left) };
        if caller.is_cancelled() {
            return Err(io::Error::new(ErrorKind::TimedOut, "cancelled: the job is being stopped"));
        }
        Ok(Some(left.map_or(POLL_PERIOD, |left| left.min(POLL_PERIOD))))
    }

    /// Waits until there is something to read, or fails with [`ErrorKind::TimedOut`].
    pub(crate) fn wait_for(&self, place: impl AsFd) -> io::Result<()> {
        while !poll_within(&mut [PollFd::new(&place, PollFlags::IN)], self.patience()?)? {}
        Ok(())
    }
}

/// Whether a descriptor becomes ready within `time`; None waits without limit.
pub(crate) fn poll_within(places: &mut [PollFd], time: Option<Duration>) -> io::Result<bool> {
    let time = time.map(|time| Timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: i64::from(time.subsec_nanos()),
    });
    match poll(places, time.as_ref()) {
        Ok(happened) => Ok(happened > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits for a child's end and reads its output meanwhile, then ends what it has left in its group. If a limit
/// is exceeded, ends the child and returns the reason as the error.
pub(crate) fn wait(
    child: &mut Child,
    limits: &Limits,
    tails: &mut [Tail],
) -> io::Result<ExitStatus> {
    wait_and_look(child, limits, tails, || None).and_then(|()| kill(child))
}

/// The same, but leaves a child that has ended, and its group, for [`kill`] or [`kill_and_ask`]. `look` is called
/// meanwhile, and returns when to call it again.
pub(super) fn wait_and_look(
    child: &mut Child,
    limits: &Limits,
    tails: &mut [Tail],
    look: impl FnMut() -> Option<Duration>,
) -> io::Result<()> {
    let ended = wait_and_take(child, limits, tails, look);
    if ended.is_err() {
        end_and_take(child, tails);
    }
    // Descendants may keep the output open for longer.
    let until = Instant::now() + PATIENCE;
    while tails.iter().any(|tail| tail.pipe().is_some()) && Instant::now() < until {
        take(tails, None, Some(until.saturating_duration_since(Instant::now())))?;
    }
    ended
}

fn wait_and_take(
    child: &Child,
    limits: &Limits,
    tails: &mut [Tail],
    mut look: impl FnMut() -> Option<Duration>,
) -> io::Result<()> {
    let process = watch(child);
    loop {
        let patience = match limits.patience()? {
            patience if process.is_some() => patience,
            patience => Some(patience.unwrap_or(TRY).min(TRY)),
        };
        let patience = patience.into_iter().chain(look()).min();
        if take(tails, process.as_ref(), patience)? || (process.is_none() && has_ended(child)) {
            return Ok(());
        }
    }
}

/// Whether a child has ended. It is left for [`kill`] to take: until then no other process can have its
/// number, or its group's.
pub(crate) fn has_ended(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(pid(child)), options), Ok(None))
}

/// Kills a child and what is in its group.
pub(crate) fn kill(child: &mut Child) -> io::Result<ExitStatus> {
    let _ = kill_process_group(pid(child), Signal::KILL);
    let _ = child.kill(); // it may have left its group
    child.wait()
}

/// The same; returns the most memory that the child, or a descendant that was waited for, has held. (bytes) Nothing can
/// be asked of the child any more.
#[cfg(feature = "jobs")]
pub(super) fn kill_and_ask(child: &mut Child) -> io::Result<(ExitStatus, u64)> {
    let _ = kill_process_group(pid(child), Signal::KILL);
    let _ = child.kill(); // it may have left its group
    loop {
        match wait4::Wait4::wait4(child) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            ended => return ended.map(|ended| (ended.status, ended.rusage.maxrss)),
        }
    }
}

/// Reads what arrives within `time`; returns whether the process has ended.
fn take(tails: &mut [Tail], process: Option<&OwnedFd>, time: Option<Duration>) -> io::Result<bool> {
    let pipes = tails.iter().filter_map(Tail::pipe).chain(process.map(AsFd::as_fd));
    let place = |place| PollFd::from_borrowed_fd(place, PollFlags::IN);
    let mut places: Vec<_> = pipes.map(place).collect();
    poll_within(&mut places, time)?;
    let happened: Vec<_> = places.iter().map(|place| !place.revents().is_empty()).collect();
    let mut happened = happened.into_iter();
    for tail in tails.iter_mut().filter(|tail| tail.pipe().is_some()) {
        if happened.next() == Some(true) {
            tail.take();
        }
    }
    Ok(happened.next() == Some(true))
}

/// A descriptor that becomes readable when the child ends, if the system has one.
#[cfg(target_os = "linux")]
pub(crate) fn watch(child: &Child) -> Option<OwnedFd> {
    use rustix::process::{PidfdFlags, pidfd_open};

    pidfd_open(pid(child), PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn watch(_: &Child) -> Option<OwnedFd> {
    None
}

/// Ends a child and its descendants: asks, waits a little, kills.
pub(crate) fn end(child: &mut Child) {
    end_and_take(child, &mut []);
}

fn end_and_take(child: &mut Child, tails: &mut [Tail]) {
    let group = pid(child);
    if getpgid(Some(group)) != Ok(group) {
        let _ = kill_process(group, Signal::TERM); // it has left its group
    }
    let _ = kill_process_group(group, Signal::TERM);
    let begin = Instant::now();
    while !has_ended(child) && begin.elapsed() < GRACE {
        let pause = Duration::from_millis(5);
        match tails.iter().any(|tail| tail.pipe().is_some()) {
            true => drop(take(tails, None, Some(pause))),
            false => std::thread::sleep(pause),
        }
    }
    let _ = kill(child);
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}
