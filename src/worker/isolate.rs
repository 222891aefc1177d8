//! A crunch in Rust that must not share its fate with its rank: it runs in a process of its own, which
//! is this same program started again as an ordinary worker, and the rank passes messages on. What
//! takes that process down costs one run, and a call that takes too long can be ended.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::executor::process::{child, ended, environment};
use crate::executor::rust::ErasedStudy;
use crate::executor::{CallResult, Limits, Slot};
use crate::job::Job;
use crate::model::results::{Assignment, Scored};
use crate::util::error::{Error, Result};
use crate::wire::codec;
use crate::wire::messages::{ToMaster, ToWorker};
use crate::wire::requests::MasterClient;
use crate::wire::requests::Request;
use crate::wire::transport::Link;
use crate::worker::connection::{Connection, NextWork};
use crate::worker::{self, WorkerConfig};

/// Tells a process that it is such a worker: whose child it has to be, its rank, its cores, and where
/// to connect to.
const PLACE: &str = "GRIDMPI_ISOLATED";

/// How long the program may take to get to where it connects.
const START: Duration = Duration::from_secs(60);

/// How long a process that has closed its end may take to have ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Where this process is such a worker, it works and ends here.
pub(crate) fn work_if_isolated(native: Option<&Arc<ErasedStudy>>) {
    let Some((rank, cores, socket)) = place() else { return };
    let stream = UnixStream::connect(socket);
    let worked = stream.map_err(|error| gone(&error)).and_then(|stream| {
        let means = WorkerConfig { threads: 1, cores, is_process: false };
        worker::work(Box::new(SocketLink { rank, stream }), means, native)
    });
    std::process::exit(worked.map_or(1, |()| 0));
}

/// Notes that a study is run; whether it is this process's first. Started again, the program comes to
/// its first study and works for that.
pub(crate) fn is_first_study() -> bool {
    static STUDIES: AtomicUsize = AtomicUsize::new(0);
    STUDIES.fetch_add(1, Ordering::Relaxed) == 0
}

/// Whether this process is such a worker.
pub(crate) fn is_isolated() -> bool {
    place().is_some()
}

/// What the rank says, where this process is the rank's child itself: what crunch starts inherits the
/// variable, and means nothing by it.
fn place() -> Option<(usize, usize, String)> {
    let place = std::env::var(PLACE).ok()?;
    let mut parts = place.splitn(4, ' ');
    let mut number = || parts.next()?.parse::<usize>().ok();
    let (parent, rank, cores) = (number()?, number()?, number()?);
    let socket = parts.next()?.to_string();
    (parent as u32 == std::os::unix::process::parent_id()).then_some((rank, cores, socket))
}

fn gone(error: &io::Error) -> Error {
    Error::unexpected(format!("the rank of this crunch has gone: {error}"))
}

/// The isolated worker's end: messages with their length before them.
struct SocketLink {
    rank: usize,
    stream: UnixStream,
}

impl Link for SocketLink {
    fn rank(&self) -> usize {
        self.rank
    }

    fn send(&mut self, bytes: Bytes) -> Result<()> {
        write(&mut self.stream, &bytes).map_err(|error| gone(&error))
    }

    fn receive(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<bool> {
        // Nothing is begun to be read before something is there, and then all of it is.
        match Limits::within(wait).wait_for(&self.stream) {
            Ok(()) => {
                *buffer = read(&mut self.stream).map_err(|error| gone(&error))?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(false),
            Err(error) => Err(gone(&error)),
        }
    }
}

fn write(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&(bytes.len() as u64).to_le_bytes())?;
    out.write_all(bytes)?;
    out.flush()
}

fn read(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let mut bytes = Vec::new();
    let read = from.take(length).read_to_end(&mut bytes)?;
    if (read as u64) < length { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}

/// A thread's work, passed on to a process that does it.
pub(crate) fn relay(
    line: &Connection,
    caller: &Arc<dyn MasterClient>,
    job: &Job,
    bytes: &Bytes,
    place: Slot,
) -> Result<()> {
    let limits = Limits::new(job.timeout, Some(caller));
    let mut isolated = Isolated { caller, job: bytes, place, limits, process: None };
    loop {
        match line.next()? {
            NextWork::Crunch(tasks) => {
                let Assignment { attempt, .. } = tasks;
                let seat = &line.seats()[place.thread as usize];
                let run = |task| (CallResult::from(isolated.run(task, attempt)), None);
                seat.crunch(tasks, run, |report| line.answer(&ToMaster::Done(report)))?;
            }
            NextWork::Reduce(key, items) => {
                let reduce = ToWorker::Reduce { key, items };
                let reduced = isolated.call(&reduce, |answer| match answer {
                    ToMaster::Reduced { result, .. } => Some(result),
                    _ => None,
                });
                let result = reduced.and_then(|result| result);
                line.answer(&ToMaster::Reduced { key, result })?;
            }
            NextWork::Leave => return Ok(()),
        }
    }
}

struct Isolated<'a> {
    caller: &'a Arc<dyn MasterClient>,
    job: &'a Bytes,
    place: Slot,
    limits: Limits,
    process: Option<Process>,
}

struct Process {
    child: Child,
    stream: UnixStream,
    to_process: Arc<Mutex<UnixStream>>,
    _folder: tempfile::TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        child::end(&mut self.child);
    }
}

impl Isolated<'_> {
    fn run(&mut self, task: u64, attempt: u32) -> Result<Scored, String> {
        let assignment = Assignment { first: task, count: 1, attempt };
        self.call(&ToWorker::Assign(assignment), |answer| match answer {
            ToMaster::Done(report) => report.runs.into_results().next().map(|run| run.result),
            _ => None,
        })?
    }

    /// Has the process do something, and looks for the answer in what it says. What takes it down is an
    /// error in words; the next call starts another one.
    fn call<T>(
        &mut self,
        message: &ToWorker,
        answer: impl Fn(ToMaster) -> Option<T>,
    ) -> Result<T, String> {
        if self.process.is_none() {
            self.process = Some(self.start().map_err(|e| format!("crunch's process: {e}"))?);
        }
        self.limits.begin();
        let process = self.process.as_mut().expect("just started");
        let called = process.call(message, answer, &self.limits, self.caller);
        called.map_err(|error| {
            let mut process = self.process.take().expect("called");
            if error.kind() == ErrorKind::TimedOut {
                return error.to_string(); // dropping it ends it
            }
            // It closes its end a moment before it has ended.
            match child::wait(&mut process.child, &Limits::within(LAST_WORDS), &mut []) {
                Ok(status) => format!("crunch's process ended: {}", ended::settled(status)),
                Err(_) => format!("crunch's process is lost: {error}"),
            }
        })
    }

    fn start(&self) -> io::Result<Process> {
        let folder = tempfile::Builder::new().prefix("gridmpi-").tempdir()?;
        let socket: PathBuf = folder.path().join("socket");
        let listener = UnixListener::bind(&socket)?;
        let mut command = Command::new(std::env::current_exe()?);
        let Slot { rank, cores, .. } = self.place;
        // What it prints must not get into this process's result.
        let stderr = || io::stderr().as_fd().try_clone_to_owned();
        command
            .args(std::env::args_os().skip(1))
            .env_clear()
            .envs(environment::of_children(self.place))
            .env(PLACE, format!("{} {rank} {cores} {}", std::process::id(), socket.display()))
            .stdin(Stdio::null())
            .stdout(stderr()?)
            .stderr(stderr()?);
        let mut child = child::spawn(&mut command)?;
        let begin = Instant::now();
        listener.set_nonblocking(true)?;
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if let Some(status) = child.try_wait()? {
                return Err(io::Error::other(format!("it ended before it got to work: {status}")));
            }
            if begin.elapsed() > START {
                child::end(&mut child);
                return Err(io::Error::other(format!("it did not get to work in {START:?}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        stream.set_nonblocking(false)?;
        let to_process = Arc::new(Mutex::new(stream.try_clone()?));
        let mut process = Process { child, stream, to_process, _folder: folder };
        read(&mut process.stream)?; // its hello
        let job = codec::encode(&ToWorker::Job(self.job.clone()));
        write(&mut *process.to_process.lock(), &job)?;
        read(&mut process.stream)?; // its first request
        Ok(process)
    }
}

impl Process {
    /// Sends a message and waits for the answer; what is asked meanwhile goes to rank 0 and back.
    fn call<T>(
        &mut self,
        message: &ToWorker,
        answer: impl Fn(ToMaster) -> Option<T>,
        limits: &Limits,
        caller: &Arc<dyn MasterClient>,
    ) -> io::Result<T> {
        write(&mut *self.to_process.lock(), &codec::encode(message))?;
        loop {
            limits.wait_for(&self.stream)?;
            let bytes = read(&mut self.stream)?;
            match codec::decode(&bytes).map_err(io::Error::other)? {
                ToMaster::Ask { ticket, request, .. } => self.pass_on(ticket, request, caller)?,
                ToMaster::Broken(why) => return Err(io::Error::other(why)),
                other => {
                    let none = "a bug in gridmpi: the answer is of something else";
                    return answer(other).ok_or_else(|| io::Error::other(none));
                }
            }
        }
    }

    /// Gets the process an answer from rank 0. Not here: it may ask for more before it has this one.
    fn pass_on(
        &self,
        ticket: u64,
        request: Request,
        caller: &Arc<dyn MasterClient>,
    ) -> io::Result<()> {
        let (caller, to_process) = (caller.clone(), self.to_process.clone());
        let pass_on = move || {
            let answer = caller.ask(request).map(|reply| ToWorker::Reply { ticket, reply });
            // Where either end has gone, the one who waits at it finds out.
            let _ = answer.map(|answer| write(&mut *to_process.lock(), &codec::encode(&answer)));
        };
        std::thread::Builder::new().name("ask".to_string()).spawn(pass_on).map(drop)
    }
}
