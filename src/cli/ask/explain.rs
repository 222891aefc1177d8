//! `gridmpi explain`: all facts about one task, and how to run it again by hand.

mod stopped;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};

use crate::cli::ask::explain::stopped::group_state;
use crate::cli::ask::{ListFormat, in_a_row};
use crate::cli::{print, say};
#[cfg(feature = "jobs")]
use crate::executor::CallByHand;
use crate::job::{SCORE, Seeding, lookup, named_json};
use crate::model::{GroupSummary, Key, LoopNest, Value};
use crate::rank0::status::{Life, Liveness};
use crate::report::text::words;
use crate::report::{in_words, score_heading};
use crate::store::{AttemptRow, FinalRow, History, RunFolder, SEEDING, StoppedPoints, StoreReader};
use crate::util::error::{Exit, Result};
use crate::util::text::shell_word;

#[derive(Args)]
#[command(after_help = "\
Examples:
  gridmpi explain results/NAME 7                        by the task's number
  gridmpi explain results/NAME dataset=crime alpha=0.1  by its coordinates

A file can be given without its folder and extension, and a number as tables print it (six digits). \
A field of a record is written LOOP.FIELD=VALUE.")]
pub(in crate::cli) struct Arguments {
    /// Results folder
    folder: PathBuf,
    /// Number of the task, or its coordinates
    #[arg(required = true, value_name = "TASK|LOOP=VALUE")]
    task: Vec<String>,
    /// What to print
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    format: ListFormat,
}

pub(super) fn explain(arguments: &Arguments) -> Result<Exit> {
    let reader = crate::cli::ask::reader(&arguments.folder)?;
    let task = lookup::task(reader.nest(), &arguments.task)?;
    let history = reader.history(task)?;
    let (now, seed) = (at_work(&arguments.folder, task), seed(&reader, task)?);
    let by_hand = by_hand(&reader, (task, seed), &history)?;
    let called = reader.results.score_name()?;
    let (finally, workdir) = (finally(&reader, task)?, reader.workdir(task)?);
    let reader = &reader;
    let log = log(reader, &history, (&arguments.folder, task))?;
    let memory = reader.memory(task)?;
    let stopped = reader.results.stopped()?;
    let facts = TaskFacts {
        reader,
        stopped,
        called,
        task,
        seed,
        history,
        finally,
        memory,
        workdir,
        log,
        now,
        by_hand,
    };
    match arguments.format {
        ListFormat::Json => print(format!("{:#}\n", as_json(&facts)).as_bytes()),
        ListFormat::Table => say(&text(&facts)),
    }
}

/// All facts about a task.
struct TaskFacts<'a> {
    reader: &'a StoreReader,
    stopped: StoppedPoints,
    /// What the score is called.
    called: String,
    task: u64,
    seed: u32,
    history: History,
    /// The final call of its row; an empty one if it is not made, nothing if the job has none.
    finally: Option<Option<FinalRow>>,
    /// The peak of the memory of its run's processes in MiB.
    memory: Option<u64>,
    /// The folder that its run has left.
    workdir: Option<RunFolder>,
    /// The command that prints its output, if that is kept.
    log: Option<String>,
    /// The worker that runs it now: its rank, its host, and for how long.
    now: Option<(u64, String, f64)>,
    by_hand: ByHand,
}

/// The command that prints the output of a task's last attempt, if that is kept.
#[cfg(feature = "jobs")]
fn log(
    reader: &StoreReader,
    history: &History,
    (folder, task): (&Path, u64),
) -> Result<Option<String>> {
    let is_kept = history.last_timed().map_or(Ok(false), |attempt| reader.has_log(attempt))?;
    let folder = shell_word(&folder.display().to_string());
    Ok(is_kept.then(|| format!("{} log {folder} {task}", shell_word(&program()))))
}

/// The user's Rust prints where it likes.
#[cfg(not(feature = "jobs"))]
fn log(_: &StoreReader, _: &History, _: (&Path, u64)) -> Result<Option<String>> {
    Ok(None)
}

/// The final call of a task's row.
fn finally(reader: &StoreReader, task: u64) -> Result<Option<Option<FinalRow>>> {
    if reader.results.final_tally()?.is_none() {
        return Ok(None);
    }
    let nest = reader.nest();
    let row = nest.ancestor(nest.task(task), nest.outer());
    Ok(Some(reader.results.finals()?.remove(&row.index)))
}

fn seed(reader: &StoreReader, task: u64) -> Result<u32> {
    let seed = reader.note("seed")?.and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let seeding: Option<Seeding> = match reader.note(SEEDING)? {
        Some(note) => serde_json::from_str(&note).ok(),
        None => None,
    };
    let nest = reader.nest();
    Ok(seeding.unwrap_or_default().seed_of(seed, nest, nest.task(task)))
}

/// The worker that runs the task now: its rank, its host, and for how long.
pub(super) fn at_work(folder: &Path, task: u64) -> Option<(u64, String, f64)> {
    let (status, life) = Liveness::of(folder).check().ok()??;
    let at = status.workers.list.into_iter().find(|worker| worker.task == Some(task))?;
    matches!(life, Life::Alive | Life::Silent(_))
        .then(|| (at.rank, at.host, at.seconds.unwrap_or(0.0)))
}

struct ByHand {
    /// The shell command.
    line: Option<String>,
    /// An explanation for the user.
    note: String,
}

fn by_hand(reader: &StoreReader, (task, seed): (u64, u32), history: &History) -> Result<ByHand> {
    let path = reader.note("path")?.unwrap_or_default();
    let text = reader.note("file")?.unwrap_or_default();
    let attempt = history.attempts.last().map_or(1, |past| past.attempt.max(1) as u32);
    if path.is_empty() {
        return Ok(ByHand { line: None, note: "the store does not say what ran".to_string() });
    }
    #[cfg(feature = "jobs")]
    if !reader.results.is_native() {
        let parsed = crate::job::Job::parse_again(&text, Path::new(&path), reader.nest());
        let coordinates = reader.nest().coordinates(reader.nest().task(task));
        match parsed.map(|job| crate::executor::by_hand(&job, &coordinates, (task, seed), attempt))
        {
            Ok(Some(Ok(CallByHand { line, note }))) => {
                return Ok(ByHand { line: Some(line), note });
            }
            Ok(Some(Err(why))) => return Ok(ByHand { line: None, note: why }),
            Ok(None) => {}
            Err(why) => {
                let note = format!("the job as it was cannot be read any more: {why}");
                return Ok(ByHand { line: None, note });
            }
        }
    }
    let _ = (attempt, seed, &text);
    let note = match std::fs::read_to_string(&path) {
        _ if reader.results.is_native() => "nothing is stored; the program must end in Study::main",
        Ok(now) if now == text => "what it gives goes to stdout; nothing is stored",
        Ok(_) => "the job file has changed since; nothing is stored",
        Err(_) => "the job file is not there any more; the store has it, in the table job",
    };
    let words = lookup::words(reader.nest(), task);
    let mut line = match reader.results.is_native() {
        true => shell_word(&path),
        false => format!("{} run {}", shell_word(&program()), shell_word(&path)),
    };
    for word in words {
        line += &format!(" --only {}", shell_word(&word));
    }
    Ok(ByHand { line: Some(line), note: note.to_string() })
}

/// The path of this program, valid in any directory.
fn program() -> String {
    let called = std::env::args().next().unwrap_or("gridmpi".to_string());
    match std::path::absolute(&called) {
        Ok(path) if called.contains('/') => path.display().to_string(),
        _ => called,
    }
}

fn state(facts: &TaskFacts) -> &'static str {
    match &facts.history.result {
        _ if facts.stopped.skips(facts.task).is_some() && facts.now.is_none() => "skipped",
        Some(Ok(_)) => "ok",
        Some(Err(_)) => "failed",
        None if facts.now.is_some() => "running",
        None => "not run yet",
    }
}

fn text(facts: &TaskFacts) -> String {
    let TaskFacts { reader, called, task, seed, history, finally, stopped, .. } = facts;
    let TaskFacts { memory, workdir, log, now, by_hand, .. } = facts;
    let mut lines = Vec::new();
    let mut say = |what: &str, text: String| {
        for (i, line) in text.trim_end().lines().enumerate() {
            lines.push(format!("{:<9} {line}", if i == 0 { what } else { "" }));
        }
    };
    let nest = reader.nest();
    let coordinates = in_a_row(&named_json(&nest.shown_applying(nest.task(*task))), &Json::Null);
    say("task", format!("{task} of {}: {coordinates}", words::count(reader.nest().tasks())));
    say("status", state(facts).to_string());
    if let Some(point) = stopped.skips(*task) {
        say("skipped", stopped::why_skipped(nest, point, history.result.is_some()));
    }
    if let Some((rank, host, seconds)) = now {
        say(
            "now",
            format!("rank {rank} on {host} has been running it for {}", words::seconds(*seconds)),
        );
    }
    if let Some(Ok(scored)) = &history.result {
        let score = scored.score.map(Value::Float);
        if let Some(score) = &score {
            let called = score_heading(nest, nest.depth(), called);
            say(
                "score",
                if called == SCORE { score.to_string() } else { format!("{called} {score}") },
            );
        }
        if score.as_ref() != Some(&*scored.value.get()) {
            say("value", scored.value.get().to_string());
        }
    }
    if let Some(Err(error)) = &history.result {
        say("error", error.clone());
    }
    if let (Some(last), true) = (history.attempts.last(), history.result.is_some()) {
        say("ran", ran(last));
    }
    if let Some(memory) = memory {
        say("memory", format!("{} MiB at most", words::count(*memory)));
    }
    if let Some(RunFolder { folder, files, bytes, missing }) = workdir {
        let gone = missing.as_ref().map_or(String::new(), |missing| format!("; {missing}"));
        let (files, size) = (words::things(*files as u64, "file"), words::size(*bytes as u64));
        say("workdir", format!("{folder} ({files}, {size}{gone})"));
    }
    if let Some(command) = log {
        say("log", command.clone());
    }
    let earlier = history.attempts.len().saturating_sub(1);
    for past in &history.attempts
        [..if history.result.is_some() { earlier } else { earlier + 1 }.min(history.attempts.len())]
    {
        say(
            "attempt",
            format!(
                "{} {}: {}",
                past.attempt,
                if past.failed { "failed" } else { "ok" },
                ran(past)
            ),
        );
        if let Some(error) = &past.error {
            say("", error.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"));
        }
    }
    say("seed", seed.to_string());
    // A loop that does not apply has no group of its own to speak of.
    for (key, group) in history.groups.iter().filter(|(key, _)| nest.applies_inside(*key)) {
        say("group", of_group(nest, called, (*key, group), stopped));
    }
    if let Some(made) = finally {
        say("final", of_row(made.as_ref()));
    }
    match &by_hand.line {
        Some(line) => say("by hand", format!("{line}\n({})", by_hand.note)),
        None => say("by hand", format!("not known: {}", by_hand.note)),
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The final call of a row in words.
fn of_row(made: Option<&FinalRow>) -> String {
    let Some(FinalRow { result, seconds, attempt, folder, .. }) = made else {
        return "not made yet".to_string();
    };
    let took = format!("in {}, attempt {attempt}", words::seconds(*seconds));
    match (result, folder) {
        (Ok(scored), Some(folder)) => {
            format!("ok {took}: {}; {folder}", in_words(&scored.value.get()))
        }
        (Ok(scored), None) => format!("ok {took}: {}", in_words(&scored.value.get())),
        (Err(why), _) => format!("failed {took}: {why}"),
    }
}

fn ran(past: &AttemptRow) -> String {
    let mut words = Vec::new();
    if let Some(rank) = past.rank {
        words.push(format!("rank {rank}"));
    }
    if let Some(thread) = past.thread.filter(|thread| *thread > 0) {
        words.push(format!("thread {thread}"));
    }
    if let Some(host) = &past.host {
        words.push(format!("on {host}"));
    }
    if let Some(began) = &past.began {
        words.push(format!("from {began} UTC"));
    }
    if let Some(seconds) = past.seconds {
        words.push(format!("for {}", words::seconds(seconds)));
    }
    let words = if words.is_empty() { "unknown worker".to_string() } else { words.join(" ") };
    format!("{words}, attempt {}", past.attempt)
}

/// A place in words.
fn place(nest: &LoopNest, key: Key) -> String {
    match in_a_row(&named_json(&nest.shown_applying(key)), &Json::Null) {
        none if none.is_empty() => "the whole job".to_string(),
        place => place,
    }
}

fn of_group(
    nest: &LoopNest,
    called: &str,
    (key, group): (Key, &Option<GroupSummary>),
    stopped: &StoppedPoints,
) -> String {
    let (place, over) = (place(nest, key), &nest.loops()[key.level].name);
    let state = group_state(stopped, key, group);
    let skipped = stopped::of_group(nest, stopped, key);
    match group {
        Some(GroupSummary { result: Ok(scored), runs, failed, .. }) => {
            let result = match scored.score {
                Some(score) => {
                    let called = score_heading(nest, key.level, called);
                    format!("{called} {}", in_words(&Value::Float(score)))
                }
                None => in_words(&scored.value.get()),
            };
            format!(
                "{place}, over {over}: {state}, {result} from {}, {failed} failed{skipped}",
                words::things(*runs, "run")
            )
        }
        Some(GroupSummary { result: Err(why), .. }) => {
            format!("{place}, over {over}: {state}, {why}{skipped}")
        }
        None => format!("{place}, over {over}: {state}{skipped}"),
    }
}

fn as_json(facts: &TaskFacts) -> Json {
    let TaskFacts { reader, task, seed, history, finally, memory, workdir, .. } = facts;
    let TaskFacts { now, by_hand, stopped, .. } = facts;
    let nest = reader.nest();
    let past = |past: &AttemptRow| {
        json!({
            "attempt": past.attempt,
            "status": if past.failed { "failed" } else { "ok" },
            "error": past.error,
            "seconds": past.seconds,
            "started": past.started,
            "rank": past.rank,
            "host": past.host,
            "thread": past.thread,
        })
    };
    let group = |(key, group): &(Key, Option<GroupSummary>)| {
        let scored = group.as_ref().and_then(|group| group.result.as_ref().ok());
        let mut json = json!({
            "coordinates": named_json(&reader.nest().coordinates(*key)),
            "over": reader.nest().loops()[key.level].name,
            "status": group_state(stopped, *key, group),
            "score": scored.and_then(|scored| scored.score),
            "runs": group.as_ref().map(|group| group.runs),
            "failed": group.as_ref().map(|group| group.failed),
        });
        if let Some((skipped, points)) = stopped::counts(nest, stopped, *key) {
            json["skipped"] = json!(skipped);
            json["stopped"] = json!(points);
        }
        json
    };
    let scored = history.result.as_ref().and_then(|result| result.as_ref().ok());
    let mut json = json!({
        "task": task,
        "coordinates": lookup::coordinates_json(reader.nest(), *task),
        "status": state(facts),
        "now": now.as_ref().map(|(rank, host, seconds)| json!({ "rank": rank, "host": host, "seconds": seconds })),
        "score": scored.and_then(|scored| scored.score).map(|score| Value::Float(score).to_json()),
        "value": scored.map(|scored| scored.value.get().to_json()),
        "error": history.result.as_ref().and_then(|result| result.as_ref().err()),
        "memory": memory,
        "workdir": workdir.as_ref().map(|at| &at.folder),
        "workdir_missing": workdir.as_ref().and_then(|at| at.missing.as_ref()),
        "seed": seed,
        "attempts": history.attempts.iter().map(past).collect::<Vec<_>>(),
        "groups": history.groups.iter().map(group).collect::<Vec<_>>(),
        "final": finally.as_ref().map(|made| made.as_ref().map_or_else(
            || json!({ "status": "not made yet" }),
            |made| json!({
                "status": if made.result.is_ok() { "ok" } else { "failed" },
                "value": made.result.as_ref().ok().map(|scored| scored.value.get().to_json()),
                "error": made.result.as_ref().err(),
                "seconds": made.seconds,
                "attempt": made.attempt,
                "folder": made.folder,
            }),
        )),
        "by_hand": by_hand.line,
        "by_hand_note": by_hand.note,
    });
    if let Some(point) = stopped.around(nest.task(*task)) {
        json["stopped"] = stopped::json(nest, point);
    }
    json
}
