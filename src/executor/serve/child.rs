//! One long-lived child that speaks the protocol: its process, its pipes, and the calls that are made of it.

use std::io::{self, Error, ErrorKind};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::executor::process::attempt::AttemptProcess;
use crate::executor::process::child::{self, GRACE, Limits};
use crate::executor::process::output::ChildOutput;
use crate::executor::process::peak_memory::{PeakMemory, PeakReset};
use crate::executor::process::{ended, environment, start_error};
use crate::executor::serve::hello::WorkerHello;
use crate::executor::serve::lines::{self, field, kind, message, record};
use crate::executor::serve::pipes::{self, Pipes};
use crate::executor::{RESULT_LIMIT, Slot, startup, too_large};
use crate::job::ChildEnvironment;
use crate::model::Value;
use crate::util::files::temporary_folder;
use crate::util::programs::find_program;
use crate::wire::requests::MasterClient;

/// The environment variables with the paths of the pipes.
const REQUESTS: &str = "GRIDMPI_REQUESTS";
const ANSWERS: &str = "GRIDMPI_ANSWERS";

/// How long a child may take until it says hello, and to load a data set: a way out, not a limit for anyone's work.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// After this time without a hello, a warning says what is waited for.
const SILENCE: Duration = Duration::from_secs(10);

/// How long a child may take to end after a bye.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a child whose pipe has ended may take to end itself.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long the end of gridmpi's own words may take to be sent.
const BYE: Duration = Duration::from_millis(100);

/// How often to reap what calls have left.
const REAP_PERIOD: Duration = Duration::from_secs(1);

/// What a child is started with.
#[derive(Clone)]
pub(crate) struct ServeSetup {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// A program text of gridmpi's own, which goes into a file whose name is the first argument.
    pub(crate) script: Option<&'static str>,
    /// What the child is called in messages.
    pub(crate) name: &'static str,
    /// Whether a warning says that it is waited for: a user's worker may not know that it has to say hello.
    pub(crate) warns: bool,
    /// The working folder.
    pub(crate) folder: PathBuf,
    pub(crate) environment: ChildEnvironment,
    pub(crate) place: Slot,
    /// What it is for: `crunch`, `reduce`, `final` or `points`.
    pub(crate) role: &'static str,
    /// gridmpi's hello.
    pub(crate) hello: Vec<(String, Value)>,
}

/// What has become of a call.
pub(crate) enum CallEnd {
    /// The worker's result, or its error.
    Answer(Result<Value, String>),
    /// Why the call was ended. The worker has confirmed that, and goes on.
    Cancelled(String),
}

/// A running child. Dropping it says bye; if it does not end then, it is killed. What its calls have started ends
/// with it.
pub(crate) struct ServeChild {
    process: AttemptProcess,
    pipes: Pipes,
    pub(crate) printed: ChildOutput,
    name: &'static str,
    /// Of the last request, and what the next one is drawn from: an answer that comes before its request must not
    /// happen to have its id.
    id: i64,
    draws: u64,
    reaped: Instant,
    reset: Option<PeakReset>,
    /// When it was about to be started, in nanoseconds since 1970.
    pub(crate) started: i64,
    pub(crate) hello: WorkerHello,
    /// What it has said that calls have imported, if it says such things.
    pub(crate) told: Vec<Vec<(String, Value)>>,
    /// Has the pipes; goes when the child has.
    _folder: tempfile::TempDir,
}

impl ServeChild {
    /// Starts a child and exchanges hellos. `master` may cancel that.
    pub(crate) fn start(
        setup: &ServeSetup,
        master: Option<&Arc<dyn MasterClient>>,
    ) -> Result<ServeChild, String> {
        let mut child = ServeChild::spawn(setup)?;
        let warns = setup.warns.then(|| Limits::new(Some(SILENCE), master));
        child.exchange_hellos(&setup.hello, Limits::new(Some(HOUR), master), warns)?;
        Ok(child)
    }

    /// Starts a child.
    pub(crate) fn spawn(setup: &ServeSetup) -> Result<ServeChild, String> {
        let no_pipes =
            |error: Error| format!("no named pipes in {}: {error}", std::env::temp_dir().display());
        let folder = temporary_folder().map_err(no_pipes)?;
        let mut pipes = Pipes::create(folder.path()).map_err(no_pipes)?;
        let program = find_program(&setup.program).unwrap_or_else(|_| setup.program.clone());
        let mut command = Command::new(&program);
        command
            .env_clear()
            .envs(environment::of_children(setup.place, &setup.environment))
            .envs(setup.environment.set.iter().map(|(name, value)| (name, value)))
            .env(REQUESTS, pipes::request_path(folder.path()))
            .env(ANSWERS, pipes::answer_path(folder.path()))
            .current_dir(&setup.folder)
            .stdin(Stdio::null());
        if let Some(script) = setup.script {
            let path = folder.path().join("child");
            std::fs::write(&path, script).map_err(no_pipes)?;
            command.arg(path);
        }
        command.args(&setup.arguments);
        let (output, input) = std::io::pipe().map_err(no_pipes)?;
        command.stdout(input.try_clone().map_err(no_pipes)?).stderr(input);
        let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let process = AttemptProcess::start(&mut command).map_err(|error| {
            let why = start_error::describe(&setup.program.display().to_string(), &error);
            startup::check_folder(&setup.folder).err().unwrap_or(why)
        })?;
        drop(command); // with its end of the output
        pipes.watch(&process.child);
        Ok(ServeChild {
            process,
            pipes,
            printed: ChildOutput::of(output, setup.name).map_err(no_pipes)?,
            name: setup.name,
            id: 0,
            draws: started.as_ref().map_or(0, |since| since.as_nanos() as u64),
            reaped: Instant::now(),
            reset: None,
            started: started.map_or(0, |since| since.as_nanos() as i64),
            hello: WorkerHello::default(),
            told: Vec::new(),
            _folder: folder,
        })
    }

    pub(crate) fn exchange_hellos(
        &mut self,
        hello: &[(String, Value)],
        limits: Limits,
        warns: Option<Limits>,
    ) -> Result<(), String> {
        self.try_hellos(hello, limits, warns).map_err(|error| match error.kind() {
            // It has said why.
            ErrorKind::Other => error.to_string(),
            ErrorKind::TimedOut => {
                self.give_up(&error);
                let how =
                    format!("{error}; {} has not said hello in the pipe {ANSWERS}", self.name);
                self.printed.after(how)
            }
            _ => self.give_up(&error),
        })
    }

    /// `warns` is the time after which a warning says what is waited for.
    fn try_hellos(
        &mut self,
        hello: &[(String, Value)],
        mut limits: Limits,
        mut warns: Option<Limits>,
    ) -> io::Result<()> {
        limits.begin();
        warns.iter_mut().for_each(Limits::begin);
        let line = lines::write(&[hello], self.hello.forms);
        self.pipes.send(&line, &self.process.child, &limits)?;
        loop {
            let received =
                self.pipes.receive(&self.process.child, warns.as_ref().unwrap_or(&limits));
            let received = match received {
                Err(error)
                    if error.kind() == ErrorKind::TimedOut
                        && !limits.is_cancelled()
                        && warns.take().is_some() =>
                {
                    log::warn!(
                        "{} has not said hello for {} s: it opens the pipes that {REQUESTS} and {ANSWERS} name, and answers the first line",
                        self.name,
                        SILENCE.as_secs()
                    );
                    continue;
                }
                received => received?,
            };
            let fields = self.read(&received)?;
            match kind(&fields) {
                Some("hello") => {
                    self.hello = WorkerHello::of(fields).map_err(Error::other)?;
                    self.notice_closing();
                    return Ok(());
                }
                Some("error") => return Err(Error::other(message(&fields))),
                Some("log") => self.log(&fields),
                Some("result") => return Err(invalid("a result in place of a hello")),
                _ => {}
            }
            limits.patience()?;
        }
    }

    /// A child that does not open its pipes for each message closes none of them before its end.
    fn notice_closing(&mut self) {
        if !self.hello.reopens {
            self.pipes.let_go();
        }
    }

    /// Reads a message.
    pub(crate) fn read(&self, line: &[u8]) -> io::Result<Vec<(String, Value)>> {
        let fields = lines::read(line, self.hello.forms).map_err(invalid)?;
        match kind(&fields) {
            Some(_) => Ok(fields),
            None => Err(invalid("a line without the field \"type\"")),
        }
    }

    /// Makes a call; its fields come in parts. An error means that the child is of no use any more: [`ErrorKind::BrokenPipe`] if it ended, or
    /// closed its pipe, before it read the request.
    pub(crate) fn call(
        &mut self,
        kind: &str,
        fields: &[&[(String, Value)]],
        limits: &Limits,
    ) -> io::Result<CallEnd> {
        let id = self.next_id();
        let head = record([("type", kind.into()), ("id", Value::Int(id))]);
        let line = lines::write(&[&[&head[..]], fields].concat(), self.hello.forms);
        if line.len() as u64 > RESULT_LIMIT {
            let why =
                format!("a request of {} bytes, over the limit of {RESULT_LIMIT}", line.len());
            return Ok(CallEnd::Answer(Err(why)));
        }
        let mut limits = limits.clone();
        limits.begin();
        let sent = self.send(&line, &limits);
        let is_sent = sent.is_ok();
        match sent.and_then(|()| self.answer(&limits)) {
            Err(error)
                if error.kind() == ErrorKind::UnexpectedEof && self.pipes.is_unread(&line) =>
            {
                Err(ErrorKind::BrokenPipe.into())
            }
            Err(error) if error.kind() == ErrorKind::TimedOut && is_sent && self.hello.cancels => {
                match self.cancel() {
                    Ok(_) => Ok(CallEnd::Cancelled(error.to_string())),
                    Err(_) => Err(error),
                }
            }
            answer => answer.map(CallEnd::Answer),
        }
    }

    /// Begins to look at the memory of the child, and of what it starts.
    pub(crate) fn begin_peak(&mut self) {
        self.pipes.memory = self.process.begin_peak(&mut self.reset);
    }

    /// The peak since then in MiB, where it is known.
    pub(crate) fn end_peak(&mut self) -> Option<u32> {
        self.pipes.memory.take().and_then(PeakMemory::after_call)
    }

    /// The id of the next request.
    pub(crate) fn next_id(&mut self) -> i64 {
        // Knuth's MMIX
        self.draws = self.draws.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.id += 1 + (self.draws >> 54) as i64;
        self.id
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, line: &[u8], limits: &Limits) -> io::Result<()> {
        if self.reaped.elapsed() > REAP_PERIOD {
            AttemptProcess::reap();
            self.reaped = Instant::now();
        }
        self.notice_closing();
        self.pipes.send(line, &self.process.child, limits)
    }

    /// What the child says next, if it begins with that within `time`; `limits` are for the rest of the line.
    pub(crate) fn hear(&mut self, time: Duration, limits: &Limits) -> io::Result<Option<Vec<u8>>> {
        self.pipes.receive_within(time, &self.process.child, limits)
    }

    /// Sends a message that has no answer.
    #[cfg(feature = "cli")]
    pub(super) fn tell(&mut self, kind: &str, fields: Vec<(String, Value)>) -> io::Result<()> {
        let head = record([("type", kind.into())]);
        let line = lines::write(&[&head, &fields], self.hello.forms);
        self.pipes.send(&line, &self.process.child, &Limits::within(HOUR))
    }

    /// Whether it can end a call that is cancelled, and go on.
    #[cfg(feature = "cli")]
    pub(super) fn cancels(&self) -> bool {
        self.hello.cancels
    }

    /// Waits for the answer to the last request.
    fn answer(&mut self, limits: &Limits) -> io::Result<Result<Value, String>> {
        loop {
            let line = self.pipes.receive(&self.process.child, limits)?;
            let mut fields = self.read(&line)?;
            match kind(&fields) {
                Some("result") => {
                    self.check_id(&fields)?;
                    let value = fields.iter_mut().find(|(name, _)| name == "value");
                    return Ok(Ok(value
                        .map(|(_, value)| std::mem::take(value))
                        .unwrap_or_default()));
                }
                Some("error") => {
                    self.check_id(&fields)?;
                    return Ok(Err(message(&fields)));
                }
                Some("log") => self.log(&fields),
                Some("imported") if self.hello.tells_imports => self.told.push(fields),
                _ => {}
            }
            limits.patience()?; // whatever it says meanwhile
        }
    }

    /// Whether this answers the last request.
    pub(crate) fn check_id(&self, fields: &[(String, Value)]) -> io::Result<()> {
        match field(fields, "id") {
            Some(Value::Int(id)) if *id == self.id => Ok(()),
            Some(other) => {
                Err(invalid(format!("an answer with id {other}: the request has {}", self.id)))
            }
            None => Err(invalid(format!(
                "an answer without the id of its request, {}: {}",
                self.id,
                message(fields)
            ))),
        }
    }

    /// Tells the child that its call is not wanted any more, and waits a little for it to say so.
    fn cancel(&mut self) -> io::Result<Result<Value, String>> {
        let message = record([("type", "cancel".into()), ("id", Value::Int(self.id))]);
        let line = lines::write(&[&message], self.hello.forms);
        let limits = Limits::within(GRACE);
        self.pipes.send(&line, &self.process.child, &limits)?;
        self.answer(&limits)
    }

    pub(crate) fn log(&self, fields: &[(String, Value)]) {
        let level = match field(fields, "level") {
            Some(Value::Text(level)) => level.parse().unwrap_or(log::Level::Info),
            _ => log::Level::Info,
        };
        log::log!(level, "{}: {}", self.name, message(fields));
    }

    pub(crate) fn is_alive(&self) -> bool {
        !child::has_ended(&self.process.child)
    }

    /// Ends a child after a failed call; returns the error text.
    pub(crate) fn give_up(&mut self, error: &Error) -> String {
        // It is usually dead already, or about to end; otherwise it is of no further use.
        match error.kind() {
            ErrorKind::TimedOut => child::end(&mut self.process.child),
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => self.await_end(LAST_WORDS),
            _ => {}
        }
        let lives_on = self.is_alive();
        let status = child::kill(&mut self.process.child);
        self.printed.await_end();
        match error.kind() {
            ErrorKind::FileTooLarge => too_large(error),
            ErrorKind::TimedOut => error.to_string(),
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe if lives_on => {
                self.printed.after(format!(
                    "{} has closed the pipe {REQUESTS} or {ANSWERS} and lives on, so it was killed (one that opens them for each message says \"reopens\": true in its hello)",
                    self.name
                ))
            }
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => {
                let how = status.map_or_else(|error| error.to_string(), ended::settled);
                self.printed.after(format!("{} ended ({how})", self.name))
            }
            _ => self.printed.after(format!("{} has written {error}", self.name)),
        }
    }

    /// Says bye, closes the pipe of requests, and waits a little for the end. Returns whether the child has ended.
    pub(super) fn say_bye(&mut self, says: bool) -> bool {
        if says && self.is_alive() {
            let line = lines::write(&[&record([("type", "bye".into())])], self.hello.forms);
            let _ = self.pipes.send(&line, &self.process.child, &Limits::within(BYE));
        }
        self.pipes.close();
        self.await_end(PATIENCE);
        !self.is_alive()
    }

    fn await_end(&self, patience: Duration) {
        let begin = Instant::now();
        while self.is_alive() && begin.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for ServeChild {
    fn drop(&mut self) {
        self.say_bye(true);
        let _ = child::kill(&mut self.process.child);
    }
}

fn invalid(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidData, why.into())
}
