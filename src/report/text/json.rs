//! summary.json: each group with its coordinates, value, winner and counts. Written one group per line as it
//! is read, so memory does not grow with size.

use std::io::Write;

use serde_json::{Value as Json, json};

use crate::job::named_json;
use crate::model::{GroupSummary, json_object};
use crate::report::status;
use crate::store::Results;
use crate::util::error::{Error, Result};

/// Writes the groups of every level, outermost first, in grid order. With two loops, each data set's group
/// also lists its `all_runs`.
pub(crate) fn write_json(name: &str, results: &Results, mut out: impl Write) -> Result<()> {
    let failed = |e: std::io::Error| Error::unexpected(format!("JSON cannot be written: {e}"));
    let nest = results.nest();
    let loops = nest.loops().iter().map(|l| {
        json!({
            "name": l.name,
            "points": l.points.len(),
            "reduce": l.reduce.as_ref().map(|reduce| reduce.name()),
        })
    });
    let head = [("name", json!(name)), ("tasks", json!(nest.tasks())), ("loops", loops.collect())];
    writeln!(out, "{{").map_err(failed)?;
    for (key, value) in head {
        writeln!(out, "\"{key}\": {value},").map_err(failed)?;
    }
    if let Some(kept) = results.kept()? {
        writeln!(out, "\"kept\": {},", json!(kept)).map_err(failed)?;
    }
    let left_out = results.left_out()?;
    if !left_out.is_empty() {
        writeln!(out, "\"left_out\": {},", json!(left_out)).map_err(failed)?;
    }
    write!(out, "\"groups\": [").map_err(failed)?;
    // Without reductions, the result is the runs.
    let deepest = if nest.outer() == nest.depth() { nest.depth() } else { nest.depth() - 1 };
    let mut first = true;
    for level in nest.outer()..=deepest {
        results.summaries(level, |summary| {
            let mut entry = entry(results, &summary);
            let kept = results.kept_runs(nest.tasks_below(summary.key))?;
            if kept > 0 {
                entry["kept"] = json!(kept);
            }
            if level == 1 && nest.depth() == 2 {
                entry["all_runs"] = all_runs(results, &summary)?;
            }
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            write!(out, "{comma}\n{entry}").map_err(failed)
        })?;
    }
    writeln!(out, "\n]\n}}").map_err(failed)?;
    out.flush().map_err(failed)
}

fn entry(results: &Results, summary: &GroupSummary) -> Json {
    let nest = results.nest();
    let mut fields = vec![
        ("coordinates", named_json(&nest.coordinates(summary.key))),
        ("over", json!(nest.loops().get(summary.key.level).map(|l| &l.name))),
        ("runs", json!(summary.runs)),
        ("failed", json!(summary.failed)),
        ("status", json!(status(results, summary))),
    ];
    match &summary.result {
        Ok(scored) => {
            let score =
                scored.score.map(|score| crate::model::value::Value::Float(score).to_json());
            let best = nest.winners(summary.key, &scored.best);
            let indices = scored
                .best
                .iter()
                .map(|w| (nest.loops()[w.level].name.as_str(), json!(w.slot)))
                .filter(|(name, _)| best.iter().any(|(applies, _)| applies == name));
            fields.push((
                "summary",
                json!({
                    "value": scored.value.to_json(),
                    "score": score,
                    "best": named_json(&best),
                    "best_index": json_object(indices),
                }),
            ));
        }
        Err(why) => {
            fields.push(("summary", Json::Null));
            fields.push(("error", json!(why)));
        }
    }
    json_object(fields)
}

/// The values of a group's runs in grid order; null for failed runs.
fn all_runs(results: &Results, summary: &GroupSummary) -> Result<Json> {
    let mut values = Vec::new();
    results.runs(results.nest().tasks_below(summary.key), |run| {
        values.push(run.result.map_or(Json::Null, |scored| scored.value.to_json()));
        Ok(())
    })?;
    Ok(Json::Array(values))
}
