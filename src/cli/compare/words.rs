//! The comparison as text: a table, the wait cycle of a deadlock, and the gain from flattening.

use std::fmt::Write;

use crate::cli::compare::plays::{MeasuredRun, StrategyResult, StrategyResults, Which};
use crate::cli::compare::{Case, DurationSource};
use crate::master::Strategy;
use crate::master::virtual_time::maps::{Deadlock, Wait};
use crate::model::{Key, Order};
use crate::report::text::words;
use crate::report::{Lines, called};
use crate::util::stats::extent;

/// Maximum number of workers listed in a deadlock's description.
const MOST_WAITS: usize = 3;

/// A relative difference below this counts as none.
const SAME: f64 = 5e-3;

pub(super) fn text(case: &Case, lineup: &StrategyResults) -> String {
    let mut text = heading(case);
    text += &table(case, lineup);
    let mut notes = Vec::new();
    let why_not = case.stopping.as_ref().and_then(|stopping| stopping.why_not());
    notes.extend(why_not.map(|why| format!("Stopping is not compared: {why}\n")));
    let stopping = lineup.of(Which::Stopping).filter(|entry| entry.measured.is_some());
    if stopping.is_some_and(|entry| tasks_run(case, entry).is_none()) {
        notes.push("The number of runs of stopping is the measured one.\n".to_string());
    }
    let splits = &lineup.splits;
    if !splits.given && splits.tried > 1 {
        let tried = match splits.tried == splits.of {
            true => format!("all {} sizes", splits.of),
            false => format!("{} of {} sizes, spread evenly", splits.tried, splits.of),
        };
        notes.push(format!(
            "Split pools were tried in {tried}: the best and the worst are shown.\n"
        ));
    }
    for entry in &lineup.entries {
        notes.extend(entry.deadlock().map(|deadlock| waits(case, deadlock)));
        if let Some(MeasuredRun { failed: failed @ 1.., .. }) = entry.measured {
            let (failed, name) = (words::things(failed, "run"), entry.which.name());
            notes.push(format!("{failed} of the measured {name} failed.\n"));
        }
    }
    notes.push(conclusion(case, lineup) + "\n");
    for note in notes {
        text.push('\n');
        text += &note;
    }
    text
}

fn heading(case: &Case) -> String {
    let nest = &case.job.nest;
    let size = |level: usize| match nest.sizes(level) {
        (least, most) if least == most => most.to_string(),
        (least, most) => format!("({least} to {most})"),
    };
    let loops = nest.loops().iter().enumerate();
    let loops: Vec<String> =
        loops.map(|(level, l)| format!("{} {}", size(level), l.name)).collect();
    let tasks = words::things(case.seconds.len() as u64, "task");
    let total: f64 = case.seconds.iter().sum();
    let (shortest, longest) = extent(case.seconds.iter().copied());
    let each = match longest - shortest <= SAME * longest {
        true => format!("{} each", words::seconds(longest)),
        false => format!(
            "{} to {}, {} in all",
            words::seconds(shortest),
            words::seconds(longest),
            words::seconds(total)
        ),
    };
    let source = match &case.source {
        DurationSource::Given => "as given".to_string(),
        DurationSource::Sleep => "as the job sleeps".to_string(),
        DurationSource::Recorded(recorded, out) => {
            let (recorded, all) = (*recorded, case.seconds.len() as u64);
            let others = if recorded < all { ", the others by those" } else { "" };
            format!("{} recorded in {}{others}", words::count(recorded), out.display())
        }
    };
    format!(
        "{}: {} = {tasks} on {}; {each} ({source})\n\n",
        case.job.name,
        loops.join(" x "),
        words::things(case.workers as u64, "worker")
    )
}

fn table(case: &Case, lineup: &StrategyResults) -> String {
    let is_real = lineup.entries.iter().any(|entry| entry.measured.is_some());
    let mut header = vec![("strategy", false)];
    header.extend(case.stopping.as_ref().map(|_| ("runs", true)));
    header.push(("makespan", true));
    header.extend(is_real.then_some(("measured", true)));
    header.extend([("utilisation", true), ("idle", true)]);
    header.extend([("first group", true), ("median group", true)]);
    let mut lines = Lines::new(header.into_iter().map(|(name, right)| (name.to_string(), right)));
    let mut text = String::new();
    for entry in &lineup.entries {
        let mut cells = vec![entry.which.name()];
        let runs = || tasks_run(case, entry).or(entry.measured.map(|measured| measured.runs));
        let shown = || runs().map_or("-".to_string(), words::count);
        cells.extend(case.stopping.as_ref().map(|_| shown()));
        let played = entry.played();
        let time = |time: Option<f64>| time.map_or("-".to_string(), words::seconds);
        let makespan = played.map(|played| played.makespan);
        cells.push(match entry.deadlock() {
            Some(_) => "deadlock".to_string(),
            None => time(makespan),
        });
        cells.extend(is_real.then(|| time(entry.measured.map(|measured| measured.seconds))));
        let part = played.map(|played| words::percent(played.utilisation(case.workers)));
        cells.push(part.unwrap_or("-".to_string()));
        cells.push(time(played.map(|played| played.idle(case.workers))));
        cells.push(time(played.and_then(|played| played.closed.first().copied())));
        cells.push(time(played.and_then(|played| median(&played.closed))));
        text += &lines.row(cells);
    }
    text + &lines.rest()
}

/// How many tasks a strategy runs, if that is known without running them.
pub(super) fn tasks_run(case: &Case, entry: &StrategyResult) -> Option<u64> {
    let stopping = case.stopping.as_ref().filter(|_| entry.which == Which::Stopping);
    let played = entry.played().map(|played| played.tasks);
    played.or(stopping.and_then(|stopping| stopping.made))
}

/// The median of sorted times; the later of the two middle ones.
pub(super) fn median(closed: &[f64]) -> Option<f64> {
    closed.get(closed.len() / 2).copied()
}

/// The gain from flattening, in a sentence or two, and that from stopping.
pub(super) fn conclusion(case: &Case, lineup: &StrategyResults) -> String {
    let takes =
        |entry: &StrategyResult| entry.played().map_or(f64::INFINITY, |played| played.makespan);
    let least = |flattened: bool| {
        let those = lineup.of_all_tasks().filter(|entry| entry.which.is_flattened() == flattened);
        those.min_by(|a, b| takes(a).total_cmp(&takes(b)))
    };
    let Some((flattened, other)) = least(true).zip(least(false)) else { return String::new() };
    let (ours, theirs) = (takes(flattened), takes(other));
    let name = match flattened.which.name().as_str() {
        "longest-first" => "flattened, longest first,",
        _ => "flattened",
    };
    let other = other.which.name();
    let time = words::seconds;
    let mut text = if theirs > ours * (1.0 + SAME) {
        let times = theirs / ours;
        format!(
            "The nest {name} takes {}; the best of the others ({other}) takes {}, {times:.2} times as long.",
            time(ours),
            time(theirs)
        )
    } else if theirs < ours * (1.0 - SAME) {
        format!(
            "Here {other} takes {}; the nest {name} takes {}, {:.2} times as long.",
            time(theirs),
            time(ours),
            ours / theirs
        )
    } else {
        format!("Flattening gains no time here: {other} takes {} too.", time(theirs))
    };
    let of_all = if case.stopping.is_some() { " of all runs" } else { "" };
    let _ = match ours <= lineup.bound * (1.0 + SAME) {
        true => write!(text, " No schedule{of_all} can take less."),
        false => write!(text, " No schedule{of_all} can take less than {}.", time(lineup.bound)),
    };
    text + &saved(case, lineup).unwrap_or_default()
}

/// How many runs are made where points are stopped, and what that gains; `None` if it was not played.
fn saved(case: &Case, lineup: &StrategyResults) -> Option<String> {
    let name = &case.stopping.as_ref()?.name;
    let stopping = lineup.of(Which::Stopping)?.played()?;
    let all = lineup.of(Which::Strategy(Strategy::Flattened, Order::Grid))?.played()?;
    let (ours, theirs) = (stopping.makespan, all.makespan);
    let gain = if theirs > ours * (1.0 + SAME) {
        format!("{:.2} times as fast as flattened", theirs / ours)
    } else if theirs < ours * (1.0 - SAME) {
        format!("{:.2} times as long as flattened", ours / theirs)
    } else {
        "as long as flattened".to_string()
    };
    Some(format!(
        " Stopping early in loop '{name}' makes {} of {} in {}, {gain}.",
        words::count(stopping.tasks),
        words::things(case.job.nest.tasks(), "run"),
        words::seconds(ours),
    ))
}

/// Which workers wait for which in a deadlock.
fn waits(case: &Case, deadlock: &Deadlock) -> String {
    let nest = &case.job.nest;
    let named = |key: Key| {
        let coordinates = nest.shown_applying(key);
        let each = coordinates.iter().map(|(name, value)| format!("{name} {}", called(value)));
        each.collect::<Vec<_>>().join(", ")
    };
    let first = named(deadlock.first);
    let mut text = format!(
        "The nested maps deadlock: {}.\n",
        match deadlock.done {
            0 => "nothing is ever crunched".to_string(),
            done => format!(
                "after {} and {} nothing goes on",
                words::seconds(deadlock.at),
                words::things(done, "task")
            ),
        }
    );
    for Wait { worker, holds, queued, behind, held } in deadlock.waits.iter().take(MOST_WAITS) {
        let inner = &nest.loops()[holds.level].name;
        let all = words::things(nest.slots(*holds), inner);
        let _ = write!(text, "  worker {worker} holds {} and waits for its {all}", named(*holds));
        let holders = match held[..] {
            [one] => format!("worker {one} holds one of them, and waits too"),
            _ => format!("{} hold {} of them, and wait too", several(held), held.len()),
        };
        let queue = match behind {
            0 => "first in the queue".to_string(),
            1 => format!("queued behind {first}"),
            n => format!("queued behind {first} and {} more", words::count(n - 1)),
        };
        let _ = match (held.is_empty(), *queued) {
            (true, _) => writeln!(text, ", which are {queue}"),
            (false, 0) => writeln!(text, ": {holders}"),
            (false, n) => writeln!(text, ": {holders}; {n} are {queue}"),
        };
    }
    let _ = match deadlock.waits.get(MOST_WAITS..).unwrap_or_default() {
        [] => Ok(()),
        [one] => writeln!(text, "  worker {} waits likewise", one.worker),
        more => writeln!(text, "  the other {} workers wait likewise", more.len()),
    };
    let _ = writeln!(text, "  no worker is left to begin {first}, nor will one ever be");
    text
}

/// A list of worker numbers, shortened if it is long.
fn several(workers: &[usize]) -> String {
    let number = |workers: &[usize]| {
        let numbers: Vec<String> = workers.iter().map(usize::to_string).collect();
        numbers.join(", ")
    };
    match workers {
        [first @ .., last] if workers.len() <= MOST_WAITS => {
            format!("workers {} and {last}", number(first))
        }
        many => {
            let (first, rest) = many.split_at(many.len().min(MOST_WAITS));
            format!("workers {} and {} more", number(first), rest.len())
        }
    }
}
