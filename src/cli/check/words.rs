//! The outcome of a check in words.

use std::fmt::Write;

use crate::cli::check::differences::{ComparedSide, Difference};
use crate::cli::check::verdict::{Cause, Finding};
use crate::cli::check::{CORES, CheckReport};
use crate::job::lookup;
use crate::model::stop_of;
use crate::report::text::words::{count, seconds, things};
use crate::util::error::Exit;
use crate::util::text::beginning;

/// The most tasks or files of one kind that are named.
const MOST: usize = 10;

/// The most characters of a value.
const WIDEST: usize = 60;

pub(super) fn text(report: &CheckReport) -> String {
    let CheckReport { job, verdict, .. } = report;
    let mut text = format!(
        "{}: {} of {} checked in {} runs, which took {}\n",
        job.name,
        count(report.tasks.len() as u64),
        things(job.nest.tasks(), "task"),
        count(verdict.calls),
        seconds(report.seconds)
    );
    failures(report, &mut text);
    let alone = "when they run alone, in fresh processes, by chance or time, or by what a call before left in a \
                 file or elsewhere";
    findings(report, &verdict.alone, alone, &mut text);
    let shared = "in a worker that runs other tasks too";
    findings(report, &verdict.shared, shared, &mut text);
    fields(report, &mut text);
    cores(report, &mut text);
    files(report, &mut text);
    stops(report, &mut text);
    let has_notes = text.contains("\n\n");
    text += match report.exit() {
        Exit::Complete if has_notes => "\nNothing else was found.\n",
        Exit::Complete => "\nNothing was found: each task gave the same result in all runs.\n",
        Exit::SomeFailed => "\nNothing else was found, but tasks fail.\n",
        _ => "\nDo not believe results of this job yet: see above.\n",
    };
    text
}

/// What stopping points early adds.
fn stops(report: &CheckReport, text: &mut String) {
    let Some((level, rule)) = stop_of(&report.job.nest) else { return };
    let name = &report.job.nest.loops()[level].name;
    let _ = write!(
        text,
        "\nPoints of loop '{name}' are stopped early ({}): where a result depends on more than its task, so does which points are stopped.\n",
        rule.text()
    );
}

fn coordinates(report: &CheckReport, task: u64) -> String {
    let words = lookup::words(&report.job.nest, task).join(" ");
    format!("task {task} ({})", beginning(&words, 100))
}

/// Writes the first few of a list, and how many more there are.
fn listed<T>(all: &[T], text: &mut String, mut line: impl FnMut(&T) -> String) {
    for each in all.iter().take(MOST) {
        let _ = writeln!(text, "  {}", line(each));
    }
    if all.len() > MOST {
        let _ = writeln!(text, "  and {} more (--format json has all)", all.len() - MOST);
    }
}

fn failures(report: &CheckReport, text: &mut String) {
    let failed: Vec<_> = report.verdict.failed.iter().collect();
    if failed.is_empty() {
        return;
    }
    let tasks = things(failed.len() as u64, "task");
    let _ = writeln!(text, "\nFailed: {tasks}, of which nothing else is known. Mend that first.");
    listed(&failed, text, |(task, why)| {
        let last = why.trim_end().lines().next_back().unwrap_or_default();
        format!("{}: {}", coordinates(report, **task), beginning(last, 200))
    });
}

fn findings(report: &CheckReport, all: &[Finding], when: &str, text: &mut String) {
    if all.is_empty() {
        return;
    }
    let tasks = all.len() as u64;
    let verb = if tasks == 1 { "gives another result" } else { "give other results" };
    let when =
        if tasks == 1 { when.replace("they run alone", "it runs alone") } else { when.into() };
    let _ = writeln!(text, "\n{} {verb} {when}:", things(tasks, "task"));
    listed(all, text, |finding| line(report, finding));
}

/// A finding: both values, what it depends on, and where the second value was seen.
fn line(report: &CheckReport, finding: &Finding) -> String {
    let Finding { cause, differences, call, pass } = finding;
    let then = match cause {
        Cause::Chance => ", then",
        Cause::Cores => " and",
        _ => " alone, but",
    };
    let mut line = coordinates(report, call.task);
    if let Some(first) = differences.first() {
        let _ = write!(line, ": {}", both(first, then));
    }
    if let more @ 1.. = differences.len().saturating_sub(1) {
        let _ = write!(line, " (and {})", things(more as u64, "other field"));
    }
    let _ = match cause {
        Cause::Chance => write!(line, ", {pass}"),
        Cause::Cores => Ok(()),
        Cause::Worker => write!(
            line,
            "; it depends on the worker (here rank {}, thread {})",
            call.place.rank, call.place.thread
        ),
        Cause::Neighbours => write!(
            line,
            "; it depends on what runs at the same time (here on {})",
            things(call.workers as u64, "worker")
        ),
        Cause::Before => {
            let before: Vec<String> = call.before.iter().map(u64::to_string).collect();
            let after = match call.position {
                0 => "before it, in other processes".to_string(),
                1 => format!("before it in its worker (here task {})", before.join(", ")),
                all if all == before.len() => {
                    format!("before it in its worker (here tasks {})", before.join(", "))
                }
                all => format!(
                    "before it in its worker (here {all} tasks, the last ones {})",
                    before.join(", ")
                ),
            };
            write!(line, "; it depends on what ran {after}: {pass}")
        }
    };
    line
}

fn both(difference: &Difference, then: &str) -> String {
    let field = match difference.field.as_str() {
        "" => "",
        field => &format!("{field} "),
    };
    let (one, other) = (side(&difference.one), side(&difference.other));
    match difference.size() {
        Some(size) if size < 1e-3 => {
            format!("{field}{one}{then} {other} (they differ by {size:.1e} of the value)")
        }
        _ => format!("{field}{one}{then} {other}"),
    }
}

fn side(side: &ComparedSide) -> String {
    match side {
        ComparedSide::Value(value) => beginning(&value.to_string(), WIDEST),
        ComparedSide::Absent => "nothing".to_string(),
        ComparedSide::Failed(why) => {
            let last = why.trim_end().lines().next_back().unwrap_or_default();
            format!("a failure ({})", beginning(last, 2 * WIDEST))
        }
    }
}

fn fields(report: &CheckReport, text: &mut String) {
    for (name, field) in &report.verdict.fields {
        let _ = writeln!(
            text,
            "\nNote: {name} differs from run to run by itself, in {}: {} in {}. It was not compared further; --ignore {name} leaves it out.",
            things(field.tasks as u64, "task"),
            both(&field.difference, ", then").trim_start_matches(&format!("{name} ")),
            coordinates(report, field.task),
        );
    }
}

fn cores(report: &CheckReport, text: &mut String) {
    let all = &report.verdict.cores;
    let Some(other) = report.other_cores else {
        let _ = writeln!(
            text,
            "\nNote: other numbers of cores were not tried, because {CORES} is set in the environment."
        );
        return;
    };
    if all.is_empty() {
        return;
    }
    let sizes = all.iter().flat_map(|finding| &finding.differences).filter_map(Difference::size);
    let largest = sizes.fold(0.0, f64::max);
    let _ = writeln!(
        text,
        "\nOn {other} cores instead of {} ({CORES}), {} differ, by up to {largest:.1e} of the value. \
         Runs with equal numbers of cores per worker agree:",
        report.cores,
        things(all.len() as u64, "task"),
    );
    listed(all, text, |finding| line(report, finding));
}

fn files(report: &CheckReport, text: &mut String) {
    let files = &report.files;
    if !files.uncounted.is_empty() {
        text.push_str(
            "\nOpened, but not counted when runs are reused: if one changes, old results stay. Name those that \
             crunch reads in inputs of [crunch], and others in ignore:\n",
        );
        listed(&files.uncounted, text, String::clone);
    }
    if !files.changed.is_empty() {
        text.push_str(
            "\nChanged during the check, though crunch consists of them or reads them:\n",
        );
        listed(&files.changed, text, String::clone);
    }
    if !files.inherited.is_empty() {
        text.push_str(
            "\nRead after another task has written it, so that results depend on what ran before (if that is \
             harmless, name the file in ignore of [crunch]):\n",
        );
        listed(&files.inherited, text, |(name, reader, writer)| {
            format!("{name}: task {reader} read what task {writer} wrote")
        });
    }
    if !files.shared.is_empty() {
        text.push_str(
            "\nNote: several tasks write the same file. If one reads it back, it may get what another wrote:\n",
        );
        listed(&files.shared, text, |(name, tasks)| {
            let tasks: Vec<String> = tasks.iter().map(u64::to_string).collect();
            format!("{name}: tasks {}", beginning(&tasks.join(", "), WIDEST))
        });
    }
    if !files.gaps.is_empty() {
        text.push_str("\nNote: not all files that crunch opens were seen:\n");
        listed(&files.gaps, text, String::clone);
    }
}
