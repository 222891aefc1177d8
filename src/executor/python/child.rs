//! Python functions as crunch and as reduction: one long-lived child process a worker thread, so
//! that imports and loaded data are paid for once.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::executor::process::child::{self, Limits, Timed};
use crate::executor::process::{ended, environment};
use crate::executor::{GroupReducer, RESULT_LIMIT, Slot, command, too_large};
use crate::job::{self, Job, Python, named_json};
use crate::model::nest::Key;
use crate::model::reduce::{PythonFunction, Reduce, SlotResult};
use crate::model::results::Scored;
use crate::model::value::Value;
use crate::util::error::Result;

const CHILD: &str = include_str!("child.py");

/// How much of the end of what a child prints is kept, to say why it died. (bytes)
const KEPT: usize = 8 << 10;

/// How long a child may take to end when it has nothing left to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait for the last a dead child printed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The name of the record that carries a number JSON lacks.
const MARK: &str = "__gridmpi_float__";

/// What a child is started with.
#[derive(Clone)]
pub(crate) struct Setup {
    interpreter: PathBuf,
    folder: PathBuf,
    place: Slot,
    first_frame: Json,
}

impl Setup {
    pub(crate) fn new(job: &Job, functions: &[(String, &PythonFunction)], place: Slot) -> Setup {
        let named = job.interpreter();
        let interpreter =
            if named.contains('/') { job.folder.join(named) } else { PathBuf::from(named) };
        let functions: BTreeMap<&str, (PathBuf, &str)> = functions
            .iter()
            .map(|(key, f)| (key.as_str(), (job.folder.join(&f.file), f.function.as_str())))
            .collect();
        let arguments: Vec<&str> = job.nest.loops().iter().map(|l| l.name.as_str()).collect();
        let (data, keep) = match &job.crunch {
            job::CrunchSpec::Python(python) => (arguments[python.data], python.keep),
            _ => (arguments[0], 1),
        };
        let first_frame = json!({
            "functions": functions, "arguments": arguments, "data": data, "keep": keep,
        });
        Setup { interpreter, folder: job.folder.clone(), place, first_frame }
    }
}

/// A running child. Dropping it closes its pipe, which ends it; one that stays is killed.
pub(crate) struct PythonChild {
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<Timed>,
    printed: Arc<Mutex<String>>,
    /// Disconnected once nobody can print any more.
    listener: Receiver<()>,
    /// Whether its crunch takes the task's seed.
    seeded: bool,
}

impl PythonChild {
    /// Starts a child and has it import the functions.
    pub(crate) fn start(setup: &Setup, limits: &Limits) -> Result<PythonChild, String> {
        let mut command = Command::new(&setup.interpreter);
        command
            .env_clear()
            .envs(environment::of_children(setup.place))
            .args(["-u", "-c", CHILD])
            .current_dir(&setup.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = child::spawn(&mut command)
            .map_err(|e| format!("{} cannot be started: {e}", setup.interpreter.display()))?;
        let (requests, answers) = (process.stdin.take(), process.stdout.take());
        let printed = Arc::new(Mutex::new(String::new()));
        let listener = listen(process.stderr.take().expect("piped"), printed.clone());
        // Imports may take longer than a call.
        let limits = limits.clone();
        let answers = BufReader::new(Timed { pipe: answers.expect("piped"), limits });
        let mut child =
            PythonChild { process, requests, answers, printed, listener, seeded: false };
        let seeded = child.call(&setup.first_frame)?;
        child.seeded = seeded == Value::Bool(true);
        Ok(child)
    }

    /// Whether its crunch takes the task's seed.
    pub(crate) fn is_seeded(&self) -> bool {
        self.seeded
    }

    /// A call begins, with these limits.
    pub(crate) fn begin(&mut self, limits: &Limits) {
        let of_call = &mut self.answers.get_mut().limits;
        *of_call = limits.clone();
        of_call.begin();
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, request: &[u8]) -> std::io::Result<()> {
        let requests = self.requests.as_mut().expect("open until dropped");
        requests.write_all(&(request.len() as u64).to_le_bytes())?;
        requests.write_all(request)?;
        requests.flush()
    }

    /// Reads a frame of answers, if it is to that request.
    pub(crate) fn read_answers(
        &mut self,
        request: u64,
        answers: &mut VecDeque<Answer>,
    ) -> std::io::Result<()> {
        let frame = read_frame(&mut self.answers)?;
        let (to, found) = match frame.strip_prefix(b"N") {
            Some(numbers) => read_numbers(numbers)?,
            None => read_others(&frame)?,
        };
        if to == request {
            answers.extend(found);
        }
        Ok(())
    }

    /// Makes one call. The inner error is the function's, the outer one the child's end.
    fn ask(&mut self, request: &Json) -> std::io::Result<Result<Value, String>> {
        self.send(request.to_string().as_bytes())?;
        read_answer(&mut self.answers)
    }

    fn call(&mut self, request: &Json) -> Result<Value, String> {
        self.ask(request).unwrap_or_else(|error| Err(self.give_up(&error)))
    }

    /// Ends a child that could not be talked to; what to say of it.
    pub(crate) fn give_up(&mut self, error: &std::io::Error) -> String {
        // Mostly it is dead; what cannot be talked to is of no use.
        match error.kind() {
            ErrorKind::TimedOut => child::end(&mut self.process),
            _ => drop(self.process.kill()),
        }
        match error.kind() {
            ErrorKind::FileTooLarge | ErrorKind::TimedOut => error.to_string(),
            _ => self.last_words(error),
        }
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    fn last_words(&mut self, error: &std::io::Error) -> String {
        let how = match self.process.wait() {
            Ok(status) => {
                format!("the Python child ended ({}; {error})", ended::settled(status))
            }
            Err(_) => format!("the Python child is lost ({error})"),
        };
        // What it started may live on and hold the pipe open, so this wait has an end.
        let _ = self.listener.recv_timeout(LAST_WORDS);
        let printed = self.printed.lock().map(|printed| printed.trim().to_string());
        match printed {
            Ok(printed) if !printed.is_empty() => format!("{how}; the last it printed:\n{printed}"),
            _ => how,
        }
    }
}

/// Reads what a child answers, or anything else that the user's code may have put into its pipe.
fn read_answer(answers: &mut impl Read) -> std::io::Result<Result<Value, String>> {
    let frame = read_frame(answers)?;
    Ok(answered(serde_json::from_slice(&frame)?)?.0)
}

fn no_answer() -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, "no answer, but something else")
}

/// What an answer says: a value or an error, and how long it took.
fn answered(answer: Json) -> std::io::Result<Answer> {
    let Json::Object(mut answer) = answer else { return Err(no_answer()) };
    let seconds = answer.get("seconds").and_then(Json::as_f64).unwrap_or(0.0);
    let result = match answer.remove("error") {
        Some(error) => Err(error.as_str().map_or_else(|| error.to_string(), String::from)),
        None => Ok(unmarked(answer.remove("value").unwrap_or(Json::Null))),
    };
    Ok((result, seconds))
}

/// What came of a task, and how long it took in the child, in seconds.
pub(crate) type Answer = (Result<Value, String>, f64);

/// The answers to a request, and its number.
type Answers = (u64, Vec<Answer>);

/// Plain numbers: the request, then all results, then all durations, 8 bytes each, little-endian.
fn read_numbers(frame: &[u8]) -> std::io::Result<Answers> {
    let Some((request, rest)) = frame.split_first_chunk() else { return Err(no_answer()) };
    let (all, []) = rest.as_chunks() else { return Err(no_answer()) };
    if !all.len().is_multiple_of(2) {
        return Err(no_answer());
    }
    let (results, seconds) = all.split_at(all.len() / 2);
    let number = |bytes: &[u8; 8]| f64::from_le_bytes(*bytes);
    let answer = |(result, seconds)| (Ok(Value::Float(number(result))), number(seconds));
    let answers = results.iter().zip(seconds).map(answer).collect();
    Ok((u64::from_le_bytes(*request), answers))
}

/// Any other answers.
fn read_others(frame: &[u8]) -> std::io::Result<Answers> {
    let Json::Object(mut frame) = serde_json::from_slice(frame)? else { return Err(no_answer()) };
    let Some(request) = frame.get("batch").and_then(Json::as_u64) else { return Err(no_answer()) };
    let Some(Json::Array(answers)) = frame.remove("answers") else { return Err(no_answer()) };
    Ok((request, answers.into_iter().map(answered).collect::<std::io::Result<_>>()?))
}

/// Reads a frame, or anything else that the user's code may have put into the pipe.
fn read_frame(answers: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut size = [0; 8];
    answers.read_exact(&mut size)?;
    let size = u64::from_le_bytes(size);
    if size > RESULT_LIMIT {
        return Err(std::io::Error::new(ErrorKind::FileTooLarge, too_large(size)));
    }
    let mut body = Vec::new();
    if (answers.take(size).read_to_end(&mut body)? as u64) < size {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(body)
}

impl Drop for PythonChild {
    fn drop(&mut self) {
        self.requests = None;
        let begin = Instant::now();
        while self.is_alive() && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads what the user's code prints: shown by -v, and the end of it kept.
fn listen(pipe: impl Read + Send + 'static, printed: Arc<Mutex<String>>) -> Receiver<()> {
    let (end, ended) = channel();
    std::thread::spawn(move || {
        let _end: Sender<()> = end;
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        while lines.by_ref().take(KEPT as u64).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            log::debug!("python: {}", text.trim_end());
            if let Ok(mut kept) = printed.lock() {
                kept.push_str(&text);
                if kept.len() > 2 * KEPT {
                    let cut = (kept.len() - KEPT..).find(|&at| kept.is_char_boundary(at));
                    kept.drain(..cut.unwrap_or(0));
                }
            }
            line.clear();
        }
    });
    ended
}

/// A number that JSON lacks, as it travels to and from a child.
fn marked(value: &Value) -> Json {
    match value {
        Value::Float(f) if !f.is_finite() => json!({ MARK: f.to_string() }),
        Value::List(items) => Json::Array(items.iter().map(marked).collect()),
        Value::Record(fields) => {
            Json::Object(fields.iter().map(|(name, value)| (name.clone(), marked(value))).collect())
        }
        plain => plain.to_json(),
    }
}

fn unmarked(json: Json) -> Value {
    match json {
        Json::Array(items) => Value::List(items.into_iter().map(unmarked).collect()),
        Json::Object(map) => match map.get(MARK).and_then(Json::as_str).map(str::parse) {
            Some(Ok(number)) => Value::Float(number),
            _ => Value::Record(map.into_iter().map(|(name, v)| (name, unmarked(v))).collect()),
        },
        plain => Value::from_json(plain),
    }
}

/// Calls a child, starting one if none runs.
fn call(
    child: &mut Option<PythonChild>,
    setup: &Setup,
    limits: &Limits,
    request: &Json,
) -> Result<Value, String> {
    if let Some(running) = child
        && running.is_alive()
    {
        running.answers.get_mut().limits.begin();
        match running.ask(request) {
            // It died after its last answer and has not seen this request: no fault of this one.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            answered => return answered.unwrap_or_else(|error| Err(running.give_up(&error))),
        }
    }
    let child = child.insert(PythonChild::start(setup, limits)?);
    child.answers.get_mut().limits.begin();
    child.call(request)
}

/// The user's Python functions as reductions.
pub(crate) struct PythonReducer {
    job: Arc<Job>,
    setup: Setup,
    child: Option<PythonChild>,
}

impl PythonReducer {
    pub(crate) fn new(job: &Arc<Job>, place: Slot) -> PythonReducer {
        let setup = Setup::new(job, &reduce_functions(job), place);
        PythonReducer { job: job.clone(), setup, child: None }
    }
}

impl GroupReducer for PythonReducer {
    fn reduce(&mut self, group: Key, items: &[SlotResult]) -> Result<Scored, String> {
        let nest = &self.job.nest;
        let run = |(index, item): (u64, &SlotResult)| {
            let mut fields = named_json(&nest.coordinates(Key { level: group.level + 1, index }));
            let result = item.result.as_ref();
            fields["status"] = json!(if result.is_some() { "ok" } else { "failed" });
            fields["value"] = result.map_or(Json::Null, |scored| marked(&scored.value));
            let score = result.and_then(|scored| scored.score);
            fields["score"] = score.map_or(Json::Null, |score| marked(&Value::Float(score)));
            fields
        };
        let runs: Vec<Json> = nest.children(group).zip(items).map(run).collect();
        let request = json!({ "function": format!("reduce {}", group.level), "runs": runs });
        let limits = Limits::new(None, None);
        let mut value = call(&mut self.child, &self.setup, &limits, &request);
        if value.is_err() && !self.child.as_mut().is_some_and(PythonChild::is_alive) {
            // Whatever ended the child, these runs are worth a second try.
            value = call(&mut self.child, &self.setup, &limits, &request);
        }
        let value = value?;
        // Whether a score is needed is for the loop around to say; a NaN never is one.
        crate::executor::score(value, &self.job.score, false)
    }
}

pub(crate) fn crunch_functions(python: &Python) -> Vec<(String, &PythonFunction)> {
    let load = python.load.iter().map(|load| ("load".to_string(), load));
    std::iter::once(("crunch".to_string(), &python.function)).chain(load).collect()
}

/// The Python functions that reduce loops, by the loop's level.
fn reduce_functions(job: &Job) -> Vec<(String, &PythonFunction)> {
    let mut functions = Vec::new();
    for (level, l) in job.nest.loops().iter().enumerate() {
        if let Some(Reduce::Python(function)) = &l.reduce {
            functions.push((format!("reduce {level}"), function));
        }
    }
    functions
}

/// Imports each Python function the job names, in a child of rank 0, before anything is crunched.
pub(crate) fn check_functions(job: &Job) -> Result<()> {
    let mut named = reduce_functions(job);
    if let job::CrunchSpec::Python(python) = &job.crunch {
        named.extend(crunch_functions(python));
    }
    if named.is_empty() {
        return Ok(());
    }
    let place = Slot { rank: 0, thread: 0, cores: 1 };
    let interpreter = Setup::new(job, &[], place).interpreter;
    command::find_program(&interpreter).map_err(|why| {
        job.wrong("crunch.interpreter", format!("\"{}\" {why}", job.interpreter()))
    })?;
    for (name, function) in named {
        let key = match name.strip_prefix("reduce ").and_then(|level| level.parse::<usize>().ok()) {
            Some(level) => format!("loop.{}.reduce", job.nest.loops()[level].name),
            None if name == "load" => "crunch.load".to_string(),
            None => "crunch.python".to_string(),
        };
        let file = job.folder.join(&function.file);
        if !file.is_file() {
            return Err(job.wrong(&key, format!("there is no file {}", file.display())));
        }
        PythonChild::start(&Setup::new(job, &[(name, function)], place), &Limits::new(None, None))
            .map_err(|why| job.wrong(&key, why))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u64).to_le_bytes(), body].concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read_answer(&mut &bytes[..]);
            let _ = read_answer(&mut &frame(&bytes)[..]);
        }

        #[test]
        fn a_mangled_answer_is_another_or_an_error(
            cuts in prop::collection::vec(
                (any::<prop::sample::Index>(), 0usize..9, "[-{}\\[\\]\",:0-9eanif_]{0,6}"), 0..4),
        ) {
            let whole = r#"{"value":{"score":1.5,"x":[{"__gridmpi_float__":"inf"},null,true,"é"]}}"#;
            let mut text: Vec<char> = whole.chars().collect();
            for (at, length, scrap) in cuts {
                let at = at.index(text.len() + 1);
                let end = (at + length).min(text.len());
                text.splice(at..end, scrap.chars());
            }
            let text: String = text.into_iter().collect();
            if let Ok(Ok(value)) = read_answer(&mut &frame(text.as_bytes())[..]) {
                prop_assert!(text.len() > 1, "{value}");
            }
        }
    }

    #[test]
    fn an_answer_has_bounds() {
        let deep = format!("{{\"value\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read_answer(&mut &frame(deep.as_bytes())[..]).is_err());
        // Of what is only claimed nothing is set aside.
        let mut claimed = (RESULT_LIMIT).to_le_bytes().to_vec();
        claimed.extend(b"{}");
        assert!(read_answer(&mut &claimed[..]).is_err());
        let more = (RESULT_LIMIT + 1).to_le_bytes();
        assert!(read_answer(&mut &more[..]).unwrap_err().to_string().contains("over the limit"));
    }
}
