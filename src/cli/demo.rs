//! The built-in demonstration: 10 data sets x 3 parameters, and a text about its results.

use std::fmt::Write;
use std::path::Path;

use crate::job::{CrunchSpec, Job, Sleep};
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
        let _ = writeln!(text, "rank {} on {} ran {} tasks", share.rank, share.host, share.runs);
    }
    let _ = writeln!(
        text,
        "\n{} tasks took {elapsed:.2} s; one after another they would have taken {serial:.2} s",
        nest.tasks()
    );
    Ok(text)
}
