//! The built-in demonstration: 10 data sets x 3 parameters, and a text about its results.

use std::fmt::Write;
use std::path::Path;

use crate::job::{CrunchSpec, Job, Sleep};
use crate::report::text::words::{seconds, things};
use crate::store::Results;
use crate::util::error::Result;

const DEMO: &str = include_str!("demo.toml");

/// How long a task sleeps with --quick. (seconds)
const QUICK: f64 = 0.01;

/// The demonstration's job, and its job file.
pub(super) fn job(quick: bool) -> Result<(Job, String)> {
    let mut job = Job::parse(DEMO, Path::new("demo.toml"))?;
    if quick {
        job.crunch = CrunchSpec::Multiply { sleep: Sleep::Seconds(QUICK) };
    }
    Ok((job, DEMO.to_string()))
}

/// Says what this is before it takes its time.
pub(super) fn announce(quick: bool) {
    log::info!(
        "no job is named, and there is no ./gridmpi.toml, so this is the demonstration: the product of each of 10 data sets with each of 3 parameters, {} a task, and the greatest for each data set",
        seconds(if quick { QUICK } else { 1.0 })
    );
    let faster = if quick { "" } else { "gridmpi --quick is 100 times as fast, " };
    log::info!(
        "{faster}gridmpi init writes a job file to start from, gridmpi --help lists what else there is"
    );
}

/// Each data set's runs and summary, the runs per worker, and the time that a serial run would take.
pub(super) fn text(results: &Results, elapsed: f64) -> Result<String> {
    let nest = results.nest();
    let mut text = String::from("dataset  all_runs                        summary (max, index)\n");
    results.summaries(nest.outer(), |summary| {
        let mut runs = Vec::new();
        results.runs(nest.tasks_below(summary.key), |run| {
            let score = run.result.ok().and_then(|scored| scored.score);
            runs.push(score.map_or("failed".to_string(), |score| format!("{score:.4}")));
            Ok(())
        })?;
        let best = summary.result.as_ref().ok();
        let (score, index) = best
            .and_then(|scored| Some((scored.score?, scored.best.first()?.slot)))
            .unwrap_or((f64::NAN, 0));
        let runs = format!("[{}]", runs.join(", "));
        let _ = writeln!(text, "{:<7}  {runs:<30}  ({score:.4}, {index})", summary.key.index);
        Ok(())
    })?;
    let mut serial = 0.0;
    let _ = writeln!(text);
    for share in results.shares()? {
        serial += share.seconds;
        let _ = writeln!(
            text,
            "rank {} on {} ran {}",
            share.rank,
            share.host,
            things(share.runs, "task")
        );
    }
    let _ = writeln!(
        text,
        "\n{} tasks took {}; one after another they would have taken {}",
        nest.tasks(),
        seconds(elapsed),
        seconds(serial)
    );
    Ok(text)
}
