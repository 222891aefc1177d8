//! A plan as text.

use std::fmt::Write;

use crate::cli::plan::PlanReport;
use crate::cli::plan::prediction::{NEAR, Prediction, Range, Time};
use crate::cli::plan::slurm_request;
use crate::job::{CrunchSpec, Job};
use crate::model::{Loop, Order, Reduce, stop_of};
use crate::report::text::words::{count, percent, seconds, size, things};
use crate::report::{Lines, beginning, in_words};
use crate::util::duration;
use crate::util::stats::extent;
use crate::util::text::visible;

/// Maximum printed width of a point. (characters)
const WIDEST: usize = 40;

pub(super) fn text(outlook: &PlanReport) -> String {
    let mut text = head(outlook);
    text += &loops(&outlook.job);
    text += &rounded(&outlook.job);
    text.push('\n');
    let mut say = |line: String| {
        text += &line;
        text.push('\n');
    };
    say(shape(&outlook.job));
    stopping(outlook).into_iter().for_each(&mut say);
    say(order(&outlook.job));
    say(reading(outlook));
    outlook.kept.iter().for_each(|kept| say(kept.text()));
    outlook.memory.iter().for_each(|memory| say(memory.text()));
    say(there(outlook));
    say(String::new());
    match &outlook.prediction {
        Some(prediction) => {
            say(known(outlook, prediction));
            unseen(outlook).into_iter().for_each(&mut say);
            say(format!("\n{}", times(prediction, outlook.here)));
            say(advice(outlook, prediction));
        }
        None if outlook.durations.left() == 0 => {
            say("Nothing is left to do. --fresh plans as if nothing were done.".to_string());
        }
        None => say(unknown(outlook)),
    }
    text
}

fn head(outlook: &PlanReport) -> String {
    let from = match &outlook.file {
        Some(file) => file.display().to_string(),
        None => "the built-in demonstration".to_string(),
    };
    let crunch = match &outlook.job.crunch {
        CrunchSpec::Multiply { .. } => "builtin multiply".to_string(),
        CrunchSpec::Ridge(_) => "builtin ridge".to_string(),
        CrunchSpec::Python(python) => {
            format!("python {}:{}", python.function.file, python.function.function)
        }
        CrunchSpec::Command(words) => format!("command {words}"),
        CrunchSpec::Shell(line) => format!("shell {line}"),
        CrunchSpec::Serve(serve) => format!("serve {}", serve.words),
        CrunchSpec::R(r) => format!("r {}:{}", r.function.file, r.function.function),
        CrunchSpec::Native(_) => "Rust".to_string(),
    };
    let by = match &outlook.job.crunch {
        CrunchSpec::Shell(line) if line.shell == "bash" => ", by bash with pipefail".to_string(),
        CrunchSpec::Shell(line) => format!(", by {}, without pipefail", line.shell),
        _ => String::new(),
    };
    let crunch = beginning(&crunch, 2 * WIDEST);
    visible(&format!("{} ({from}), crunch: {crunch}{by}", outlook.job.name)) + "\n\n"
}

fn loops(job: &Job) -> String {
    let columns = [("loop", false), ("from", false), ("points", true), ("first", false)];
    let columns = columns.into_iter().chain([("last", false), ("reduce", false)]);
    let mut lines = Lines::new(columns.map(|(name, right)| (name.to_string(), right)));
    let mut text = String::new();
    for l in job.nest.loops() {
        let point = |i| beginning(&in_words(&l.shown(i)), WIDEST);
        let last = l.points.len() - 1;
        text += &lines.row(vec![
            l.name.clone(),
            job.source(&l.name).to_string(),
            count(l.points.len()),
            point(0),
            if last > 0 { point(last) } else { String::new() },
            l.reduce.as_ref().map_or(String::new(), Reduce::in_words),
        ]);
    }
    text + &lines.rest()
}

/// How many points rounding has left.
fn rounded(job: &Job) -> String {
    let all = job.nest.loops().iter().flat_map(|l| {
        l.points.rounded().into_iter().map(move |(field, asked, left)| (l, field, asked, left))
    });
    let line = |(l, field, asked, left): (&Loop, Option<&str>, u64, u64)| {
        let name = field.map_or(l.name.clone(), |field| format!("{}.{field}", l.name));
        let (asked, left) = (count(asked), things(left, "whole number"));
        format!("{name}: of {asked} points, {left} are left, as equal neighbours count once.\n")
    };
    all.filter(|(_, _, asked, left)| left < asked).map(line).collect()
}

/// The numbers of tasks and groups.
fn shape(job: &Job) -> String {
    let nest = &job.nest;
    let mut parts = vec![things(nest.tasks(), "task")];
    for level in nest.group_levels().rev() {
        let l = &nest.loops()[level];
        let reduce = l.reduce.as_ref().map_or(String::new(), Reduce::in_words);
        let groups = things(nest.keys(level), "group");
        let size = match nest.group_sizes(level) {
            (least, most) if least == most => count(most),
            (least, most) => format!("{} to {}", count(least), count(most)),
        };
        parts.push(format!("{groups} of {size} ({reduce} over {})", l.name));
    }
    let rows = things(nest.keys(nest.outer()), "row");
    let mut text = format!("{}; the result has {rows}.", parts.join(", "));
    for line in nest.left_out_in_words() {
        text += &format!("\n{line}.");
    }
    text
}

/// That points are stopped early, so that what follows is the most.
fn stopping(outlook: &PlanReport) -> Option<String> {
    let (level, rule) = stop_of(&outlook.job.nest)?;
    let name = &outlook.job.nest.loops()[level].name;
    let most = match outlook.durations.left() {
        0 => "",
        _ => ": what is left to do, and how long that takes, is the most",
    };
    let runs = runs_made(outlook, name);
    Some(format!("Points of loop {name} are stopped early ({}){most}.{runs}", rule.text()))
}

/// How many runs are made in all, and what that stands on.
fn runs_made(outlook: &PlanReport, name: &str) -> String {
    let Some(groups) = outlook.durations.decided(&outlook.job) else { return String::new() };
    let nest = &outlook.job.nest;
    let Some(made) = groups.made(nest) else {
        if !groups.by_score {
            return format!(
                "\nHow many runs that saves is not known: it is judged by scores alone, and loop {name} compares a field."
            );
        }
        return format!(
            "\nHow many runs that saves is not known: no group over {name} is decided by runs that are there. Some whole groups tell: start the job with fewer of them, or interrupt it."
        );
    };
    let (runs, tasks) = (count(made.runs), things(nest.tasks(), "run"));
    let folder = outlook
        .out
        .as_ref()
        .map_or(String::new(), |out| visible(&format!(" in {}", out.display())));
    let decided = format!(
        "{} of {} over {name} that {} decided{folder}",
        count(groups.decided),
        things(groups.groups, "group"),
        if groups.decided == 1 { "is" } else { "are" },
    );
    let mut text = match (made.is_exact, groups.decided == groups.groups) {
        (true, true) => format!("\nIn all {runs} of {tasks} are made: all groups are decided."),
        (true, false) => format!("\nIn all {runs} of {tasks} are made, whatever the scores."),
        (false, _) if groups.is_outdated => format!(
            "\nIn all about {runs} of {tasks} are made, judged by {decided} by runs that a start would not use."
        ),
        (false, _) if groups.decided == 1 => format!(
            "\nIn all about {runs} of {tasks} are made, judged by {decided}; one tells nothing of how they differ."
        ),
        (false, _) => format!(
            "\nIn all about {runs} of {tasks} are made ({} to {}), judged by {decided}.",
            count(made.least),
            count(made.most)
        ),
    };
    let left = outlook.durations.left();
    let to_do = groups.to_do(nest, made.runs, outlook.durations.done()).min(left);
    if let Some(prediction) = outlook.prediction.as_ref().filter(|_| to_do < left) {
        let part = to_do as f64 / left as f64;
        let (takes, all) = (prediction.total.middle * part, prediction.total.middle);
        let _ = write!(
            text,
            " So about {} of the {} that may be left would be made, {} of {} one after another if those skipped take as long as others; the times below, the number of workers and the limit for Slurm are for all of them, to be safe.",
            count(to_do),
            things(left, "task"),
            seconds(takes),
            seconds(all),
        );
    }
    text
}

fn order(job: &Job) -> String {
    let data = job.data_level().map(|level| job.nest.loops()[level].name.as_str());
    match (job.policy.order, data) {
        (Order::Grid, Some(data)) => format!(
            "Order: as nested loops would, each worker on one {data} as long as there is work of it."
        ),
        (Order::Grid, None) => "Order: as nested loops would.".to_string(),
        (Order::LongestFirst, _) => {
            "Order: those first that are expected to take longest.".to_string()
        }
        (Order::Random(seed), _) => format!("Order: random, by the seed {seed}."),
    }
}

fn reading(outlook: &PlanReport) -> String {
    let reading = &outlook.reading;
    if reading.files == 0 {
        return "No point names a file that is there: workers get all they need from rank 0."
            .to_string();
    }
    let files = things(reading.files, "file");
    let most = match reading.data_set {
        Some(largest) => format!("the largest data set, held at a time, has {}", size(largest)),
        None => format!("a task reads {} at most", size(reading.of_a_task)),
    };
    format!("A worker reads at most {files}, {}; {most}.", size(reading.bytes))
}

/// The runs that are done already.
fn there(outlook: &PlanReport) -> String {
    let (durations, tasks) = (&outlook.durations, outlook.job.nest.tasks());
    let Some(out) = &outlook.out else {
        return "Nothing is kept of the demonstration, unless --out names a folder.".to_string();
    };
    let folder = out.display();
    if let (Some(why), false) = (durations.refused(), outlook.fresh) {
        return visible(&format!("A start would be refused: {why}."));
    }
    let mut text = match outlook.pilot {
        Some((done, 0)) => format!("The pilot did {}. ", things(done, "task")),
        Some((done, failed)) => {
            format!("The pilot did {}; {} failed. ", things(done, "task"), count(failed))
        }
        None => String::new(),
    };
    let failed = match durations.failed() {
        0 => String::new(),
        failed => format!(", {} that failed would be tried again", things(failed, "run")),
    };
    let skipped = match durations.skipped() {
        0 => String::new(),
        skipped => format!(", {} are not needed", count(skipped)),
    };
    let is_most = stop_of(&outlook.job.nest).is_some() && durations.left() > 0;
    let most = if is_most { "at most " } else { "" };
    let _ = match (durations.done(), outlook.fresh) {
        (_, true) => write!(text, "{folder}: taken as if nothing were done."),
        (0, _) if failed.is_empty() => write!(text, "{folder}: nothing is done yet."),
        (done, _) => write!(
            text,
            "{folder}: {} of {} runs are there and would be reused{failed}{skipped}; {most}{} would be done.",
            count(done),
            count(tasks),
            things(durations.left(), "task")
        ),
    };
    if durations.read_again() > 0 && !outlook.fresh {
        let results = things(durations.read_again(), "run");
        let _ = write!(
            text,
            " result has changed: the results of {results} would be read again from kept files."
        );
    }
    text
}

fn range(range: Range) -> String {
    let [low, middle, high] = [range.low, range.middle, range.high].map(seconds);
    if low == high { middle } else { format!("{middle} ({low} .. {high})") }
}

/// The data behind the prediction.
fn known(outlook: &PlanReport, prediction: &Prediction) -> String {
    let durations = &outlook.durations;
    let (shortest, longest) = extent(durations.kept().iter().map(|(_, seconds)| *seconds));
    let spread = match durations.recorded() {
        1 => "; one tells nothing of how they differ".to_string(),
        _ => format!(", {} to {}", seconds(shortest), seconds(longest)),
    };
    let most = if stop_of(&outlook.job.nest).is_some() { "at most " } else { "" };
    let mut text = format!(
        "By {}{spread}: the {} to do take {most}{} one after another, the longest {}.",
        things(durations.recorded(), "recorded duration"),
        things(durations.left(), "task"),
        range(prediction.total),
        range(prediction.longest),
    );
    if prediction.played < durations.left() {
        let _ = write!(
            text,
            " Played with {} tasks that stand for them: what all share is total / workers, what is lost at the end is theirs.",
            count(prediction.played)
        );
    }
    text
}

/// The loops of which some points have no recorded duration.
fn unseen(outlook: &PlanReport) -> Vec<String> {
    let costs = outlook.durations.costs();
    let loops = outlook.job.nest.loops().iter().enumerate();
    let part = loops.filter_map(|(level, l)| {
        let (seen, all) = (costs.seen(level)?, l.points.len());
        (seen < all).then(|| {
            format!(
                "How long a task takes depends on {}; durations are known for {} of its {} points, the others are taken to be like all.",
                l.name,
                count(seen),
                count(all)
            )
        })
    });
    part.collect()
}

fn times(prediction: &Prediction, here: u64) -> String {
    let columns = ["workers", "time", "from", "to", "busy", "at least", "limit for Slurm"];
    let mut lines = Lines::new(columns.map(|name| (name.to_string(), true)));
    let mut text = String::new();
    for Time { workers, seconds: range, utilisation, bound } in prediction.times.iter().copied() {
        let mark = if workers == here { "here: " } else { "" };
        text += &lines.row(vec![
            format!("{mark}{}", count(workers)),
            seconds(range.middle),
            seconds(range.low),
            seconds(range.high),
            percent(utilisation),
            seconds(bound),
            duration::limit(slurm_request::limit(range.high, prediction.longest.high)),
        ]);
    }
    text + &lines.rest()
}

fn advice(outlook: &PlanReport, prediction: &Prediction) -> String {
    let near = percent(NEAR - 1.0);
    let near = near.trim_end_matches(".0%").trim_end_matches('%');
    let mut text = format!(
        "From..to holds nine times out of ten; at least: the greater of total / workers and the longest task.\nMore than {} are waste: with so many it takes at most {near}% more than the longest task, and no number takes less.",
        things(prediction.enough, "worker"),
    );
    if let Some(time) = prediction.times.iter().find(|time| time.workers == prediction.suggested) {
        let limit =
            duration::limit(slurm_request::limit(time.seconds.high, prediction.longest.high));
        let why = match prediction.suggested {
            n if n == prediction.enough => "the most that help".to_string(),
            _ => "for an hour or less".to_string(),
        };
        let _ = write!(
            text,
            "\nSuggested: {} ({why}), {}; ask Slurm for --time={limit}.",
            things(prediction.suggested, "worker"),
            range(time.seconds),
        );
    }
    if outlook.durations.refused().is_some() || outlook.fresh {
        text += "\nWhat is recorded is taken to take as long again.";
    }
    text
}

/// How to get a prediction if there is none.
fn unknown(outlook: &PlanReport) -> String {
    let job = outlook.file.as_ref().map_or(String::new(), |file| format!(" {}", file.display()));
    let tasks = outlook.job.nest.tasks();
    let pilot = (tasks / 10).clamp(8, 100).min(tasks);
    format!(
        "How long it takes is not known: no run is recorded. gridmpi plan{job} --pilot {pilot} does {} here, spread over the grid, and predicts by them; the run goes on from there. --out names a folder that has runs of it.",
        things(pilot, "task")
    )
}
