//! Child processes of a worker. Each leads a process group of its own, so that what it starts can be
//! ended with it; and all carry a mark by which a guardian finds and kills what is left when gridmpi
//! has ended, for whatever reason.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::executor::process::tail::Tail;
use crate::util::clock;
use crate::wire::requests::MasterClient;

/// How long a child has to end by itself when it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// How often to look whether a call has been cancelled.
const LOOK: Duration = Duration::from_millis(100);

/// How often to look where the end of a child does not show.
const TRY: Duration = Duration::from_millis(10);

/// How long what a child has started may hold its output open after it ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// The mark, in a child's environment.
const MARK: &str = "GRIDMPI_OWNER";

/// Waits until gridmpi has ended, which closes the pipe, and kills all processes with its mark. What
/// they start meanwhile has the mark too, so it looks again until there is none.
const GUARDIAN: &str = r#"
read -r _
for round in 1 2 3 4 5; do
    left=$(grep -lsF "$1" /proc/[0-9]*/environ)
    [ -n "$left" ] || exit 0
    for place in $left; do
        pid=${place#/proc/}
        kill -KILL "${pid%/environ}"
    done
    sleep 0.1
done
"#;

/// This process's guardian: its pipe, which only has to stay open, and the mark.
static GUARD: OnceLock<(Option<ChildStdin>, String)> = OnceLock::new();

/// Starts a child.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let (_, mark) = GUARD.get_or_init(|| {
        let mark = clock::process_stamp();
        let guardian = Command::new("/bin/sh")
            .args(["-c", GUARDIAN, "gridmpi-guardian", &format!("{MARK}={mark}")])
            .env_remove(MARK) // gridmpi may itself be somebody's child
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        if let Err(error) = &guardian {
            log::warn!("child processes cannot be watched ({error}): they may outlive gridmpi if it is killed");
        }
        (guardian.ok().and_then(|mut guardian| guardian.stdin.take()), mark)
    });
    command.env(MARK, mark).process_group(0).spawn()
}

/// What a call is waited for: an answer, or its end for one of these reasons.
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

    /// Waits of one length.
    pub(crate) fn within(wait: Duration) -> Limits {
        Limits { timeout: Some(wait), caller: None, until: Some(Instant::now() + wait) }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self) {
        self.until = self.timeout.map(|timeout| Instant::now() + timeout);
    }

    /// Whether the call is of no use any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.is_cancelled())
    }

    /// How long to wait before looking again; an error if the call is to end.
    fn patience(&self) -> io::Result<Option<Duration>> {
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
        Ok(Some(left.map_or(LOOK, |left| left.min(LOOK))))
    }

    /// Waits until there is something to read, or fails with [`ErrorKind::TimedOut`].
    pub(crate) fn wait_for(&self, place: impl AsFd) -> io::Result<()> {
        while !poll_within(&mut [PollFd::new(&place, PollFlags::IN)], self.patience()?)? {}
        Ok(())
    }
}

/// Whether something happens at one of these places within that time, or without an end.
fn poll_within(places: &mut [PollFd], time: Option<Duration>) -> io::Result<bool> {
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

/// Waits for a child's end and takes what it prints meanwhile; a child that is not to go on is ended,
/// and why is the error.
pub(crate) fn wait(
    child: &mut Child,
    limits: &Limits,
    tails: &mut [Tail],
) -> io::Result<ExitStatus> {
    let ended = wait_and_take(child, limits, tails);
    if ended.is_err() {
        end_and_take(child, tails);
    }
    // What a child has started may hold its output open for longer.
    let until = Instant::now() + PATIENCE;
    while tails.iter().any(|tail| tail.pipe().is_some()) && Instant::now() < until {
        take(tails, None, Some(until.saturating_duration_since(Instant::now())))?;
    }
    ended
}

fn wait_and_take(child: &mut Child, limits: &Limits, tails: &mut [Tail]) -> io::Result<ExitStatus> {
    let process = watch(child);
    loop {
        let patience = match limits.patience()? {
            patience if process.is_some() => patience,
            patience => Some(patience.unwrap_or(TRY).min(TRY)),
        };
        if (take(tails, process.as_ref(), patience)? || process.is_none())
            && let Some(status) = child.try_wait()?
        {
            return Ok(status);
        }
    }
}

/// Takes what comes within that time; whether it was the end of the process.
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

/// Where the end of a child shows, if it does.
#[cfg(target_os = "linux")]
fn watch(child: &Child) -> Option<OwnedFd> {
    use rustix::process::{PidfdFlags, pidfd_open};

    pidfd_open(pid(child), PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn watch(_: &Child) -> Option<OwnedFd> {
    None
}

/// Ends a child and what it has started: asks, waits a little, kills.
pub(crate) fn end(child: &mut Child) {
    end_and_take(child, &mut []);
}

fn end_and_take(child: &mut Child, tails: &mut [Tail]) {
    let group = pid(child);
    let _ = kill_process_group(group, Signal::TERM);
    let begin = Instant::now();
    while matches!(child.try_wait(), Ok(None)) && begin.elapsed() < GRACE {
        let pause = Duration::from_millis(5);
        match tails.iter().any(|tail| tail.pipe().is_some()) {
            true => drop(take(tails, None, Some(pause))),
            false => std::thread::sleep(pause),
        }
    }
    let _ = kill_process_group(group, Signal::KILL); // also what it left behind in its group
    let _ = child.wait();
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// A child's output, read within limits.
pub(crate) struct Timed {
    pub(crate) pipe: ChildStdout,
    pub(crate) limits: Limits,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.limits.wait_for(&self.pipe)?;
        self.pipe.read(buffer)
    }
}
