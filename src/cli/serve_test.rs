//! `gridmpi serve-test`: tells the author of a worker what it does wrong.

use std::time::Duration;

use clap::Args;

use crate::cli::options::seconds_option;
use crate::cli::say;
use crate::executor::serve::trial::{Trial, TrialCheck, TrialOutcome};
use crate::model::Value;
use crate::report::text::words::things;
use crate::util::error::{Error, Exit, Result};

/// The width of the names of checks. (characters)
const WIDTH: usize = 27;

#[derive(Args)]
#[command(after_help = "\
Examples:
  gridmpi serve-test python3 worker.py
  gridmpi serve-test --load dataset --points '{\"dataset\": \"a.csv\"}' ./worker

The worker is started here, as serve = [\"python3\", \"worker.py\"] would start it, and gets the messages that a job \
sends, and some that it has to ignore. Each check is a line: ok, - for what the worker does without, or WRONG. \
docs/writing-a-worker.md describes the protocol. Exit code 0: nothing is wrong; 100: something is; 2: it cannot be \
started.")]
pub(super) struct ServeTestArgs {
    /// The points of the task that is sent, as a JSON object
    #[arg(long, value_name = "JSON", default_value = "{\"x\": 1}", value_parser = points)]
    points: TrialPoints,
    /// The loop whose point is to be loaded, as with load = true in [crunch]
    #[arg(long, value_name = "LOOP")]
    load: Option<String>,
    /// Seconds that the worker may take to say hello, and to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds_option)]
    timeout: f64,
    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<String>,
}

#[derive(Clone)]
struct TrialPoints(Vec<(String, Value)>);

fn points(text: &str) -> Result<TrialPoints, String> {
    match Value::parse(text)? {
        Value::Record(points) => Ok(TrialPoints(points)),
        other => Err(format!("expected an object such as {{\"x\": 1}}, found {other}")),
    }
}

pub(super) fn serve_test(arguments: &ServeTestArgs) -> Result<Exit> {
    let trial = Trial {
        words: arguments.command.clone(),
        folder: std::env::current_dir().map_err(|error| Error::input(format!(".: {error}")))?,
        points: arguments.points.0.clone(),
        load: arguments.load.clone(),
        timeout: Duration::from_secs_f64(arguments.timeout),
    };
    let (mut wrong, mut said) = (0, Ok(Exit::Complete));
    let each = |TrialCheck { name, found }: TrialCheck| {
        let (mark, text) = match found {
            TrialOutcome::Good(text) => ("ok", text),
            TrialOutcome::Without(text) => ("-", text),
            TrialOutcome::Wrong(text) => {
                wrong += 1;
                ("WRONG", text)
            }
        };
        let text = text.replace('\n', "\n        ");
        let line = say(&format!("{mark:5}  {name:WIDTH$}  {text}\n"));
        if said.is_ok() {
            said = line;
        }
    };
    trial.run(each).map_err(Error::input)?;
    said?;
    if wrong > 0 {
        say(&format!(
            "{} of the worker wrong: docs/writing-a-worker.md says what is expected\n",
            things(wrong, "thing")
        ))?;
        return Ok(Exit::SomeFailed);
    }
    Ok(Exit::Complete)
}
