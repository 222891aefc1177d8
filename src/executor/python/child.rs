//! One long-lived Python child process per worker thread, so that imports and data loading happen once.

use std::collections::BTreeMap;
use std::io::{BufReader, Error, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Map, Value as Json, json};

use crate::executor::process::attempt::AttemptProcess;
use crate::executor::process::child::{self, Limits, Timed};
use crate::executor::process::output::ChildOutput;
use crate::executor::process::{ended, environment};
use crate::executor::python::protocol;
use crate::executor::python::results_file::ResultsFile;
use crate::executor::{RANK0, RESULT_LIMIT, Slot, startup, too_large};
use crate::job::{self, ChildEnvironment, Job, Python};
use crate::model::{FileFunction, KeptLogs, Value};
use crate::util::error::Result;
use crate::util::framing::read_frame;
use crate::util::programs::named_program;

/// The child's program.
const CHILD: &str = concat!(
    include_str!("pipes.py"),
    include_str!("values.py"),
    include_str!("results.py"),
    include_str!("output.py"),
    include_str!("state.py"),
    include_str!("data.py"),
    include_str!("imports.py"),
    include_str!("points.py"),
    include_str!("final.py"),
    include_str!("child.py"),
);

/// Sets and hashes of texts have the same order in every child if this is a number.
const HASH_SEED: &str = "PYTHONHASHSEED";

/// How long a child may take to end after its pipe is closed.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a child whose pipe has ended may take to end itself.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long imports may take, and how long loading a data set: a way out, not a limit for anyone's work.
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// How long a child at rest may take no request before it counts as lost.
const DEAF: Duration = Duration::from_secs(600);

/// How often to look for a cancellation while the child takes no request.
const POLL_PERIOD: Duration = Duration::from_millis(100);

/// What a child is started with.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(super) interpreter: PathBuf,
    folder: PathBuf,
    environment: ChildEnvironment,
    place: Slot,
    /// The levels of the loops of which the child is told where they do not apply.
    pub(super) absent: Vec<usize>,
    first_frame: Json,
}

impl Setup {
    /// The same, for a child that finds out what calls import too, where the source tells.
    pub(super) fn with_versions(mut self) -> Setup {
        self.first_frame["versions"] = Json::Bool(true);
        self
    }

    pub(crate) fn place(&self) -> Slot {
        self.place
    }

    /// Whether a child of this setup is as one of another: the same files are imported in the same order, and it has
    /// the functions.
    pub(super) fn serves(&self, wanted: &Setup) -> bool {
        let rest = |setup: &Setup| {
            let mut rest = setup.first_frame.clone();
            for of_its_own in ["functions", "versions"] {
                rest.as_object_mut().map(|fields| fields.remove(of_its_own));
            }
            rest
        };
        let functions = |setup: &Setup| setup.first_frame["functions"].as_object().cloned();
        let (Some(own), Some(others)) = (functions(self), functions(wanted)) else { return false };
        let files = |functions: &Map<String, Json>| {
            let mut files: Vec<Json> = Vec::new();
            for function in functions.values() {
                if !files.contains(&function[0]) {
                    files.push(function[0].clone());
                }
            }
            files
        };
        (&self.interpreter, &self.folder, self.place)
            == (&wanted.interpreter, &wanted.folder, wanted.place)
            && rest(self) == rest(wanted)
            && files(&own) == files(&others)
            && others.iter().all(|(key, function)| own.get(key) == Some(function))
    }

    /// For the final function, which is given points of the outermost loops, down to those that have won.
    pub(super) fn of_final(job: &Job, functions: &[(String, &FileFunction)], place: Slot) -> Setup {
        let mut setup = Setup::new(job, functions, place);
        let names = job.nest.loops().iter().map(|l| l.name.as_str());
        let names: Vec<&str> = names.collect();
        let (given, folded) = names.split_at(job.final_levels());
        setup.first_frame["given"] = json!(given);
        setup.first_frame["folded"] = json!(folded);
        setup
    }

    /// For a function that gives points and may take those of the loops `around`.
    pub(super) fn of_points(
        interpreter: PathBuf,
        folder: &Path,
        function: &FileFunction,
        around: &[&str],
    ) -> Setup {
        let first_frame = json!({
            "functions": { "points": (folder.join(&function.file), &function.function) },
            "arguments": around,
            "reseed": true,
            "data_copy": false,
        });
        Setup {
            interpreter,
            folder: folder.to_path_buf(),
            environment: ChildEnvironment::default(),
            place: RANK0,
            absent: Vec::new(),
            first_frame,
        }
    }

    pub(crate) fn new(job: &Job, functions: &[(String, &FileFunction)], place: Slot) -> Setup {
        let interpreter = match &job.common.interpreter {
            Some(found) => found.clone(),
            None => named_program(job.interpreter(), &job.folder),
        };
        let functions: BTreeMap<&str, (PathBuf, &str)> = functions
            .iter()
            .map(|(key, f)| (key.as_str(), (job.folder.join(&f.file), f.function.as_str())))
            .collect();
        let arguments: Vec<&str> = job.nest.loops().iter().map(|l| l.name.as_str()).collect();
        let python = match &job.crunch {
            job::CrunchSpec::Python(python) => Some(python),
            _ => None,
        };
        let absent = python.map_or(Vec::new(), |python| absent_levels(job, python));
        let first_frame = json!({
            "functions": functions,
            "arguments": arguments,
            "data": arguments[python.map_or(0, |python| python.data)],
            "keep": python.map_or(1, |python| python.keep),
            "reseed": python.is_none_or(|python| python.reseed),
            "data_copy": python.is_some_and(|python| python.data_copy),
            "absent": absent.iter().map(|level| arguments[*level]).collect::<Vec<_>>(),
            "pass_none": python.is_none_or(|python| python.pass_none),
            "workdir": python.is_some() && job.workdir.is_some(),
            "logs_all": python.is_some() && job.policy.logs == KeptLogs::All,
        });
        // Another crunch's values may have placeholders.
        let environment = python.map(|_| job.environment.clone()).unwrap_or_default();
        let folder = job.folder.clone();
        Setup { interpreter, folder, environment, place, absent, first_frame }
    }
}

/// The levels of the loops of which a child is told where they do not apply: the call is another one there than
/// with a point that is null.
fn absent_levels(job: &Job, python: &Python) -> Vec<usize> {
    let matters =
        |level: &usize| !python.pass_none || python.load.is_some() && python.data == *level;
    let all = (0..job.nest.depth()).filter(matters);
    all.filter(|level| job.nest.is_none_somewhere(*level)).collect()
}

/// What the version of a package is called.
pub(super) fn version_of(package: &str) -> String {
    format!("the version of {package}")
}

/// The beginning of a frame with the files that calls have imported.
pub(super) const IMPORTED: &[u8] = b"imported ";

/// How often to reap what calls have left.
const REAP_PERIOD: Duration = Duration::from_secs(1);

/// A running child. Dropping it closes its pipe, which ends it; otherwise it is killed. What its calls have
/// started ends with it.
pub(crate) struct PythonChild {
    process: AttemptProcess,
    reaped: Instant,
    requests: Option<ChildStdin>,
    answers: BufReader<Timed>,
    /// The results of its current request.
    pub(super) results: ResultsFile,
    pub(super) printed: ChildOutput,
    /// Whether its requests carry the tasks' seeds.
    pub(super) seeded: bool,
    /// What calls of reductions have imported, as JSON.
    pub(super) told: Vec<Vec<u8>>,
    /// What it said at its start: the files of the user's modules, the versions of packages, and which Python
    /// it is.
    pub(super) imported: Value,
}

impl PythonChild {
    /// Starts a child, which imports the functions. `limits` may cancel that.
    pub(crate) fn start(setup: &Setup, limits: &Limits) -> Result<PythonChild, String> {
        let (results, path) = ResultsFile::create().map_err(|e| {
            format!("no file for results in {}: {e}", std::env::temp_dir().display())
        })?;
        let mut command = Command::new(&setup.interpreter);
        command
            .env_clear()
            .envs(environment::of_children(setup.place, &setup.environment))
            .envs(setup.environment.set.iter().map(|(name, value)| (name, value)))
            .args(["-u", "-c", CHILD])
            .arg(path.as_ref())
            .current_dir(&setup.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if std::env::var_os(HASH_SEED).is_none() {
            command.env(HASH_SEED, "0");
        }
        let mut process = AttemptProcess::start(&mut command).map_err(|error| {
            let why = format!("{} cannot be started: {error}", setup.interpreter.display());
            startup::check_folder(&setup.folder).err().unwrap_or(why)
        })?;
        let of_child = &mut process.child;
        let (requests, answers) = (of_child.stdin.take(), of_child.stdout.take());
        let marks = results.marks().map_err(|error| format!("no file for results: {error}"))?;
        let mut first_frame = setup.first_frame.clone();
        first_frame["output"] = json!(marks.word());
        let printed =
            ChildOutput::of(of_child.stderr.take().expect("piped"), "python", Some(marks));
        let printed = printed.map_err(|error| format!("its output cannot be read: {error}"))?;
        let limits = limits.clone();
        let answers = BufReader::new(Timed { pipe: answers.expect("piped"), limits });
        let mut child = PythonChild {
            process,
            reaped: Instant::now(),
            requests,
            answers,
            results,
            printed,
            seeded: false,
            told: Vec::new(),
            imported: Value::Null,
        };
        child.begin(None);
        child.imported = child.call(&first_frame)?;
        child.seeded = child.imported.field("seeded") == Some(&Value::Bool(true));
        Ok(child)
    }

    /// Starts the clock for a call; without `limits` the same ones as before.
    pub(crate) fn begin(&mut self, limits: Option<&Limits>) {
        let of_call = &mut self.answers.get_mut().limits;
        if let Some(limits) = limits {
            *of_call = limits.clone();
        }
        of_call.begin();
    }

    /// The files of the user's modules that were imported at the start.
    pub(super) fn modules(&self) -> impl Iterator<Item = &str> {
        self.imported.field("files").into_iter().flat_map(Value::texts)
    }

    /// The files of the user's modules that only a call imports, where statements in those files say so; known
    /// only with versions.
    pub(super) fn late_modules(&self) -> impl Iterator<Item = &str> {
        self.imported.field("late").into_iter().flat_map(Value::texts)
    }

    /// The states that these files had before they were read, as text; known only with versions.
    pub(super) fn states(&self) -> BTreeMap<String, String> {
        match self.imported.field("states") {
            Some(Value::Record(states)) => states
                .iter()
                .filter_map(|(file, state)| match state {
                    Value::Text(state) => Some((file.clone(), state.clone())),
                    _ => None,
                })
                .collect(),
            _ => BTreeMap::new(),
        }
    }

    /// The versions of the installed packages that are imported at the start, or by calls.
    pub(super) fn packages(&self) -> impl Iterator<Item = (String, String)> {
        self.facts("packages")
    }

    /// Which Python it is, and the versions of the packages that were imported at the start.
    pub(super) fn environment(&self) -> BTreeMap<String, String> {
        let python = self.facts("python").map(|(what, value)| (format!("Python's {what}"), value));
        let packages = self.packages().map(|(name, version)| (version_of(&name), version));
        python.chain(packages).collect()
    }

    fn facts(&self, field: &str) -> impl Iterator<Item = (String, String)> {
        let fields = match self.imported.field(field) {
            Some(Value::Record(fields)) => fields.as_slice(),
            _ => &[],
        };
        fields.iter().map(|(name, value)| (name.clone(), value.to_string()))
    }

    /// Sends a request. The child reads it at once, unless the user's code keeps it from that.
    pub(crate) fn send(&mut self, request: &[u8]) -> std::io::Result<()> {
        if self.reaped.elapsed() > REAP_PERIOD {
            AttemptProcess::reap();
            self.reaped = Instant::now();
        }
        let pipe = self.requests.as_mut().expect("open until dropped");
        rustix::io::ioctl_fionbio(&*pipe, true)?;
        let begin = Instant::now();
        for mut rest in [&(request.len() as u64).to_le_bytes(), request] {
            while !rest.is_empty() {
                match pipe.write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                    Err(_) if self.answers.get_ref().limits.is_cancelled() => {
                        return Err(cancelled());
                    }
                    Err(_) if begin.elapsed() > DEAF => {
                        let why = format!("it has taken no request for {} s", DEAF.as_secs());
                        return Err(Error::new(ErrorKind::TimedOut, why));
                    }
                    Err(_) => drop(is_ready(&*pipe, PollFlags::OUT, POLL_PERIOD)?),
                }
            }
        }
        Ok(())
    }

    /// Whether something is to be read, or the child has ended, within `time`.
    pub(super) fn is_heard(&self, time: Duration) -> std::io::Result<bool> {
        Ok(!self.answers.buffer().is_empty()
            || is_ready(&self.answers.get_ref().pipe, PollFlags::IN, time)?)
    }

    /// Reads a frame that has begun.
    pub(super) fn read_frame(&mut self) -> std::io::Result<Vec<u8>> {
        self.begin(None);
        read_frame(&mut self.answers, RESULT_LIMIT)
    }

    /// Makes one call. The inner error is the function's; the outer error means that the child failed.
    pub(super) fn ask(&mut self, request: &Json) -> std::io::Result<Result<Value, String>> {
        self.ask_text(&request.to_string())
    }

    /// The same with a request that is written already.
    pub(super) fn ask_text(&mut self, request: &str) -> std::io::Result<Result<Value, String>> {
        self.send(request.as_bytes())?;
        loop {
            let frame = read_frame(&mut self.answers, RESULT_LIMIT)?;
            match frame.strip_prefix(IMPORTED) {
                Some(imported) => self.told.push(imported.to_vec()),
                None => return protocol::read_answer(&frame),
            }
        }
    }

    pub(super) fn call(&mut self, request: &Json) -> Result<Value, String> {
        self.ask(request).unwrap_or_else(|error| Err(self.give_up(&error)))
    }

    /// Ends a child after a failed exchange of messages; returns the error text.
    pub(crate) fn give_up(&mut self, error: &std::io::Error) -> String {
        // It is usually dead already, or about to end; otherwise it is of no further use.
        match error.kind() {
            ErrorKind::TimedOut => child::end(&mut self.process.child),
            ErrorKind::UnexpectedEof => self.await_end(LAST_WORDS),
            _ => {}
        }
        let _ = child::kill(&mut self.process.child);
        match error.kind() {
            ErrorKind::FileTooLarge => too_large(error),
            ErrorKind::TimedOut => error.to_string(),
            _ => self.last_words(error),
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        !child::has_ended(&self.process.child)
    }

    fn await_end(&self, patience: Duration) {
        let begin = Instant::now();
        while self.is_alive() && begin.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn last_words(&mut self, error: &Error) -> String {
        let how = match self.process.child.wait() {
            Ok(status) => {
                let noise = error.kind() == ErrorKind::UnexpectedEof;
                let error = if noise { String::new() } else { format!("; {error}") };
                format!("the Python child ended ({}{error})", ended::settled(status))
            }
            Err(_) => format!("the Python child is lost ({error})"),
        };
        self.printed.after(how)
    }
}

impl Drop for PythonChild {
    fn drop(&mut self) {
        self.requests = None;
        self.await_end(PATIENCE);
        let _ = child::kill(&mut self.process.child);
    }
}

/// The error of a call that is not to go on.
pub(super) fn cancelled() -> Error {
    Error::new(ErrorKind::TimedOut, "cancelled: the job is being stopped")
}

fn is_ready(pipe: impl AsFd, flags: PollFlags, time: Duration) -> std::io::Result<bool> {
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
    match poll(&mut [PollFd::new(&pipe, flags)], Some(&time)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
