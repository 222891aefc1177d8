//! The rank's side of an isolated worker: starts the process and relays messages. A crash of that process
//! costs one run, and a call that takes too long can be killed.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::executor::process::{child, ended, environment};
use crate::executor::{CallResult, Limits, RESTARTS, Slot};
use crate::job::Job;
use crate::model::{Assignment, FinalCall, FinalResult, RunError, Scored};
use crate::util::clock;
use crate::util::error::Result;
use crate::util::files::temporary_folder;
use crate::util::framing::{read_frame, write_frame};
use crate::util::thread;
use crate::wire::codec;
use crate::wire::messages::{ToMaster, ToWorker};
use crate::wire::requests::{MasterClient, Request};
use crate::worker::batch::one_by_one;
use crate::worker::connection::{Connection, NextWork};
use crate::worker::isolated_main::PLACE;

/// How long the program may take to connect after its start.
const START: Duration = Duration::from_secs(60);

/// How long it may take for imports.
const PREPARE: Duration = Duration::from_secs(3600);

/// How long a process may take to exit after closing its socket.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// One thread's loop: relays its work to an isolated process.
pub(crate) fn relay(
    connection: &Connection,
    caller: &Arc<dyn MasterClient>,
    job: &Job,
    bytes: &Bytes,
    (place, began): (Slot, &dyn Fn() -> Result<()>),
) -> Result<()> {
    let range = job.run_range();
    let limits = Limits::new(job.policy.timeout, Some(caller));
    let mut isolated = Isolated { caller, job: bytes, place, limits, process: None, unfit: None };
    if place.thread == 0 {
        let prepared = isolated.prepare().map_err(|e| format!("the process of crunch: {e}"));
        if !connection.begin(prepared, began)? {
            return Ok(());
        }
    }
    loop {
        match connection.next()? {
            NextWork::Crunch(tasks) => {
                let Assignment { attempt, .. } = tasks;
                let batch = &connection.batches()[place.thread as usize];
                let run = one_by_one(|task| CallResult::from(isolated.run(task, attempt)));
                batch.crunch((tasks, range), run, |report| {
                    connection.answer(&ToMaster::Done(report))
                })?;
            }
            NextWork::Reduce(key, items) => {
                let reduce = ToWorker::Reduce { key, items };
                let reduced = isolated.call(&reduce, |answer| match answer {
                    ToMaster::Reduced { result, .. } => Some(Ok(result)),
                    ToMaster::Sick(why) => Some(Err(RunError::Unfit(why))),
                    _ => None,
                });
                connection.answer(&match reduced.flatten() {
                    Err(RunError::Unfit(why)) => ToMaster::Sick(why),
                    Err(error) => ToMaster::Reduced { key, result: Err(error.why().to_string()) },
                    Ok(result) => ToMaster::Reduced { key, result },
                })?;
            }
            NextWork::Final(call) => {
                let timeout = job.finally.as_ref().and_then(|spec| spec.timeout);
                let of_crunch = isolated.limits;
                isolated.limits = Limits::new(timeout, Some(caller));
                let batch = &connection.batches()[place.thread as usize];
                let made = batch.beside(|| isolated.finish(*call));
                isolated.limits = of_crunch;
                connection.answer(&ToMaster::Final(Box::new(made)))?;
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
    /// Why none can be started any more.
    unfit: Option<String>,
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
    /// Starts the process, which checks what crunch needs.
    fn prepare(&mut self) -> io::Result<()> {
        self.process = Some(self.start()?);
        Ok(())
    }

    fn run(&mut self, task: u64, attempt: u32) -> Result<Scored, RunError> {
        let assignment = Assignment { first: task, count: 1, attempt };
        self.call(&ToWorker::Assign(assignment), |answer| match answer {
            ToMaster::Done(report) => report.runs.into_results().next().map(|run| run.result),
            _ => None,
        })?
    }

    /// Makes a final call. What a process that crashes has left of products is removed by the next start.
    fn finish(&mut self, call: FinalCall) -> FinalResult {
        let (row, attempt) = (call.row, call.attempt);
        let (started, begin) = (clock::since_1970(), Instant::now());
        let made = self.call(&ToWorker::Final(Box::new(call)), |answer| match answer {
            ToMaster::Final(result) => Some(*result),
            _ => None,
        });
        let failed = |error| {
            let seconds = begin.elapsed().as_secs_f64();
            FinalResult { row, attempt, started, seconds, result: Err(error), products: None }
        };
        made.unwrap_or_else(failed)
    }

    /// Sends the process a message and waits for its answer. A crash is returned as an error message; the
    /// next call starts another process.
    fn call<T>(
        &mut self,
        message: &ToWorker,
        answer: impl Fn(ToMaster) -> Option<T>,
    ) -> Result<T, RunError> {
        if self.process.is_none() {
            self.restart()?;
        }
        self.limits.begin();
        let process = self.process.as_mut().expect("just started");
        let called = process.call(message, answer, &self.limits, self.caller);
        let called = called.map_err(|error| {
            let mut process = self.process.take().expect("called");
            if error.kind() == ErrorKind::TimedOut {
                return error.to_string(); // dropping the process kills it
            }
            // The socket closes a moment before the process has exited.
            match child::wait(&mut process.child, &Limits::within(LAST_WORDS), &mut []) {
                Ok(status) => format!("the process of crunch ended: {}", ended::settled(status)),
                Err(_) => format!("the process of crunch is lost: {error}"),
            }
        });
        called.map_err(RunError::Failed)
    }

    /// Starts the process in place of one that has ended. Where that cannot be done any more, this worker
    /// cannot work.
    fn restart(&mut self) -> Result<(), RunError> {
        if let Some(why) = &self.unfit {
            return Err(RunError::Unfit(why.clone())); // it was told more than one task
        }
        let mut started = self.start();
        for pause in RESTARTS {
            if started.is_ok() || self.caller.is_cancelled() {
                break;
            }
            std::thread::sleep(pause); // other processes may end meanwhile
            started = self.start();
        }
        match started {
            Ok(process) => self.process = Some(process),
            Err(error) => {
                let why = format!("the process of crunch: {error}");
                if self.caller.is_cancelled() {
                    return Err(RunError::Failed(why));
                }
                self.unfit = Some(why.clone());
                return Err(RunError::Unfit(why));
            }
        }
        Ok(())
    }

    fn start(&self) -> io::Result<Process> {
        let folder = temporary_folder()?;
        let socket: PathBuf = folder.path().join("socket");
        let listener = UnixListener::bind(&socket)
            .map_err(|e| io::Error::other(format!("{} as a socket: {e}", socket.display())))?;
        let mut command = Command::new(std::env::current_exe()?);
        let Slot { rank, cores, .. } = self.place;
        // Its output must not mix with this process's standard output.
        let stderr = || io::stderr().as_fd().try_clone_to_owned();
        command
            .args(std::env::args_os().skip(1))
            .env_clear()
            .envs(environment::of_children(self.place, &Default::default()))
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
                return Err(io::Error::other(format!("it ended before it was ready: {status}")));
            }
            if begin.elapsed() > START {
                child::end(&mut child);
                return Err(io::Error::other(format!("it was not ready within {START:?}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        stream.set_nonblocking(false)?;
        let to_process = Arc::new(Mutex::new(stream.try_clone()?));
        let mut process = Process { child, stream, to_process, _folder: folder };
        read_frame(&mut process.stream, u64::MAX)?; // its hello
        let job = codec::encode(&ToWorker::Job(self.job.clone()));
        write_frame(&mut *process.to_process.lock(), &job)?;
        let mut limits = Limits::new(Some(PREPARE), Some(self.caller));
        limits.begin();
        limits.wait_for(&process.stream)?;
        match codec::decode(&read_frame(&mut process.stream, u64::MAX)?) {
            Ok(ToMaster::Sick(why) | ToMaster::Broken(why)) => Err(io::Error::other(why)),
            _ => Ok(process), // its first request
        }
    }
}

impl Process {
    /// Sends a message and waits for the answer; requests made meanwhile are relayed to rank 0.
    fn call<T>(
        &mut self,
        message: &ToWorker,
        answer: impl Fn(ToMaster) -> Option<T>,
        limits: &Limits,
        caller: &Arc<dyn MasterClient>,
    ) -> io::Result<T> {
        write_frame(&mut *self.to_process.lock(), &codec::encode(message))?;
        loop {
            limits.wait_for(&self.stream)?;
            let bytes = read_frame(&mut self.stream, u64::MAX)?;
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

    /// Relays a request to rank 0 on another thread, because the process may send more requests before it
    /// gets this reply.
    fn pass_on(
        &self,
        ticket: u64,
        request: Request,
        caller: &Arc<dyn MasterClient>,
    ) -> io::Result<()> {
        let (caller, to_process) = (caller.clone(), self.to_process.clone());
        let pass_on = move || {
            let answer = caller.ask(request).map(|reply| ToWorker::Reply { ticket, reply });
            // If either end is gone, the thread that waits on it gets the error.
            let _ =
                answer.map(|answer| write_frame(&mut *to_process.lock(), &codec::encode(&answer)));
        };
        thread::start("ask", pass_on).map(drop).map_err(io::Error::other)
    }
}
