//! `gridmpi serve-test`: what a worker does wrong, found by talking to it as a job would, and less kindly.

use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use crate::executor::process::child::Limits;
use crate::executor::serve::child::{CallEnd, ServeChild, ServeSetup};
use crate::executor::serve::hello::of_trial;
use crate::executor::serve::lines::{field, record};
use crate::executor::{RANK0, Slot};
use crate::job::ChildEnvironment;
use crate::model::Value;
use crate::util::error::Result;
use crate::util::programs::{find_program, named_program};

/// A line of this length is sent. (bytes)
const LONG: usize = 1 << 20;

/// The seed of the tasks of a trial.
const SEED: i64 = 1_234_567;

/// How long a call goes on before it is cancelled.
const BEFORE_CANCEL: Duration = Duration::from_millis(50);

/// What to try.
pub(crate) struct Trial {
    /// The program and its arguments.
    pub(crate) words: Vec<String>,
    pub(crate) folder: PathBuf,
    /// The points of the task that is sent.
    pub(crate) points: Vec<(String, Value)>,
    /// The loop whose point is to be loaded.
    pub(crate) load: Option<String>,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
}

/// What was found out about one demand of the protocol.
pub(crate) struct TrialCheck {
    pub(crate) name: &'static str,
    pub(crate) found: TrialOutcome,
}

pub(crate) enum TrialOutcome {
    /// As it should be, with what was seen.
    Good(String),
    /// It does without that; what this means.
    Without(String),
    Wrong(String),
}

impl Trial {
    /// Makes all checks, as far as the worker can go on after the last one; tells `each`.
    pub(crate) fn run(&self, mut each: impl FnMut(TrialCheck)) -> Result<(), String> {
        let program = self.words.first().ok_or("no program")?;
        find_program(&named_program(program, &self.folder))
            .map_err(|why| format!("the program \"{program}\" {why}"))?;
        let mut say = |name: &'static str, found: TrialOutcome| {
            let is_good = !matches!(found, TrialOutcome::Wrong(_));
            each(TrialCheck { name, found });
            is_good
        };
        let mut child = match self.start() {
            Ok(child) => {
                say("hello", TrialOutcome::Good(format!("version {}", child.hello.version)));
                child
            }
            Err(why) => {
                say("hello", TrialOutcome::Wrong(why));
                return Ok(());
            }
        };
        type Check = fn(&Trial, &mut ServeChild) -> TrialOutcome;
        let checks: [(&'static str, Check); 8] = [
            ("task", Trial::task),
            ("unknown messages and fields", Trial::unknown),
            ("numbers that JSON lacks", Trial::numbers),
            ("a long line", Trial::long_line),
            ("an impossible task", Trial::impossible),
            ("the same task again", Trial::again),
            ("load", Trial::loaded),
            ("cancel", Trial::cancelled),
        ];
        for (name, check) in checks {
            say(name, check(self, &mut child));
            if !child.is_alive() {
                match self.start() {
                    Ok(another) => child = another,
                    Err(why) => {
                        say("another start", TrialOutcome::Wrong(why));
                        return Ok(());
                    }
                }
            }
        }
        say("bye", ends(&mut child, true));
        if let Ok(mut child) = self.start() {
            say("the end of the requests", ends(&mut child, false));
        }
        Ok(())
    }

    fn start(&self) -> Result<ServeChild, String> {
        let mut words = self.words.iter();
        let setup = ServeSetup {
            program: named_program(words.next().map_or("", String::as_str), &self.folder),
            arguments: words.cloned().collect(),
            script: None,
            name: "the worker",
            warns: true,
            folder: self.folder.clone(),
            environment: ChildEnvironment::default(),
            place: Slot { cores: 1, ..RANK0 },
            role: "crunch",
            hello: of_trial(&self.points),
        };
        let mut child = ServeChild::spawn(&setup)?;
        let mut hello = setup.hello;
        hello.push(("unknown".to_string(), Value::List(vec![Value::Null])));
        child.exchange_hellos(&hello, Limits::new(Some(self.timeout), None), None)?;
        Ok(child)
    }

    fn fields(&self) -> Vec<(String, Value)> {
        record([
            ("task", Value::Int(0)),
            ("points", Value::Record(self.points.clone())),
            ("absent", Value::List(Vec::new())),
            ("seed", Value::Int(SEED)),
            ("attempt", Value::Int(1)),
            ("cores", Value::Int(1)),
        ])
    }

    /// Makes a call; what is wrong is the error.
    fn call(
        &self,
        child: &mut ServeChild,
        kind: &str,
        fields: Vec<(String, Value)>,
    ) -> Result<Result<Value, String>, String> {
        let limits = Limits::new(Some(self.timeout), None);
        match child.call(kind, &[&fields], &limits) {
            Ok(CallEnd::Answer(answer)) => Ok(answer),
            Ok(CallEnd::Cancelled(why)) => Ok(Err(why)),
            Err(error) => Err(why(child, error)),
        }
    }

    /// The task, with more fields.
    fn with(&self, child: &mut ServeChild, more: Vec<(String, Value)>) -> TrialOutcome {
        let mut fields = self.fields();
        fields.extend(more);
        match self.call(child, "task", fields) {
            Ok(answer) => TrialOutcome::Good(in_words(&answer)),
            Err(why) => TrialOutcome::Wrong(why),
        }
    }

    fn task(&self, child: &mut ServeChild) -> TrialOutcome {
        match self.call(child, "task", self.fields()) {
            Ok(Ok(value)) if value.as_f64().is_none() && !matches!(value, Value::Record(_)) => {
                TrialOutcome::Without(format!(
                    "{} is neither a number nor a record, so it has no score: no reduction can compare or average it",
                    in_words(&Ok(value))
                ))
            }
            Ok(Ok(value)) => TrialOutcome::Good(in_words(&Ok(value))),
            Ok(Err(error)) => TrialOutcome::Without(format!(
                "it answers with an error, which fails the run: {error}; --points gives points that it knows"
            )),
            Err(why) => TrialOutcome::Wrong(why),
        }
    }

    fn unknown(&self, child: &mut ServeChild) -> TrialOutcome {
        if let Err(error) = child.tell("unknown", record([("why", "to be ignored".into())])) {
            return TrialOutcome::Wrong(why(child, error));
        }
        self.with(child, record([("unknown", "é ∀ 😀 \" \\ \n".into())]))
    }

    fn numbers(&self, child: &mut ServeChild) -> TrialOutcome {
        let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1, -0.0, 5e-324, 1e22];
        let list = numbers.map(Value::Float).to_vec();
        self.with(child, record([("unknown", Value::List(list))]))
    }

    fn long_line(&self, child: &mut ServeChild) -> TrialOutcome {
        self.with(child, record([("unknown", Value::Text("x".repeat(LONG)))]))
    }

    /// A task that no worker knows: it may fail, but another one comes after it.
    fn impossible(&self, child: &mut ServeChild) -> TrialOutcome {
        let mut fields = self.fields();
        let points = record([("gridmpi_knows_no_such_loop", Value::Null)]);
        fields[1].1 = Value::Record(points);
        match self.call(child, "task", fields) {
            Ok(answer) => match self.call(child, "task", self.fields()) {
                Ok(_) => TrialOutcome::Good(in_words(&answer)),
                Err(why) => TrialOutcome::Wrong(format!("after it: {why}")),
            },
            Err(why) => TrialOutcome::Wrong(format!("it is to answer with an error: {why}")),
        }
    }

    fn again(&self, child: &mut ServeChild) -> TrialOutcome {
        let mut answers = Vec::new();
        for _ in 0..2 {
            match self.call(child, "task", self.fields()) {
                Ok(answer) => answers.push(in_words(&answer)),
                Err(why) => return TrialOutcome::Wrong(why),
            }
        }
        match answers[0] == answers[1] {
            true => TrialOutcome::Good("the same answer".to_string()),
            false => TrialOutcome::Wrong(format!(
                "{}, and then {}: a result depends on its task and seed alone",
                answers[0], answers[1]
            )),
        }
    }

    fn loaded(&self, child: &mut ServeChild) -> TrialOutcome {
        let Some(loop_name) = &self.load else {
            return TrialOutcome::Without("not tried: --load LOOP does".to_string());
        };
        let Some(point) = field(&self.points, loop_name) else {
            return TrialOutcome::Wrong(format!("--points has no loop '{loop_name}'"));
        };
        let mut dropped = Vec::new();
        for number in 1..=2 {
            let fields = record([
                ("data", Value::Int(number)),
                ("loop", loop_name.as_str().into()),
                ("point", point.clone()),
                ("drop", Value::List(std::mem::take(&mut dropped))),
                ("seed", Value::Int(SEED)),
            ]);
            match self.call(child, "load", fields) {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return TrialOutcome::Wrong(format!("it cannot load: {error}")),
                Err(why) => return TrialOutcome::Wrong(why),
            }
            let mut fields = self.fields();
            fields.push(("data".to_string(), Value::Int(number)));
            match self.call(child, "task", fields) {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    return TrialOutcome::Wrong(format!(
                        "a task with data {number} fails: {error}"
                    ));
                }
                Err(why) => return TrialOutcome::Wrong(why),
            }
            dropped.push(Value::Int(number));
        }
        TrialOutcome::Good("two data sets, the first one dropped".to_string())
    }

    fn cancelled(&self, child: &mut ServeChild) -> TrialOutcome {
        if !child.cancels() {
            let why = "its hello has no cancel = true: it is killed and started again when a call is cancelled";
            return TrialOutcome::Without(why.to_string());
        }
        let short = Limits::new(Some(BEFORE_CANCEL), None);
        match child.call("task", &[&self.fields()], &short) {
            Ok(CallEnd::Answer(_)) => TrialOutcome::Without(
                "the task ends before it can be cancelled: try a longer one".to_string(),
            ),
            Ok(CallEnd::Cancelled(_)) => match self.call(child, "task", self.fields()) {
                Ok(_) => TrialOutcome::Good("it ends the call, and goes on".to_string()),
                Err(why) => TrialOutcome::Wrong(format!("after it: {why}")),
            },
            Err(error) => TrialOutcome::Wrong(format!(
                "it has said that it can cancel, and has not answered 5 s after a cancel: {}",
                why(child, error)
            )),
        }
    }
}

fn ends(child: &mut ServeChild, says: bool) -> TrialOutcome {
    match child.say_bye(says) {
        true => TrialOutcome::Good("it ends".to_string()),
        false => TrialOutcome::Wrong("it has not ended 5 s later, so it is killed".to_string()),
    }
}

/// Why a child is of no use any more.
fn why(child: &mut ServeChild, error: Error) -> String {
    let why = child.give_up(&error);
    match error.kind() {
        ErrorKind::TimedOut => format!("no answer: {why}"),
        _ => why,
    }
}

fn in_words(answer: &Result<Value, String>) -> String {
    let (what, text) = match answer {
        Ok(value) => ("result", crate::model::short(value)),
        Err(error) => ("error", error.lines().next().unwrap_or_default().to_string()),
    };
    format!("{what} {text}")
}
