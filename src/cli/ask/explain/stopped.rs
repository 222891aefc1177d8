//! What is said of points that were stopped, of groups that have some, and of tasks that were skipped.

use serde_json::{Value as Json, json};

use crate::cli::ask::explain::place;
use crate::job::named_json;
use crate::model::{GroupSummary, Key, LoopNest, StoppedPoint};
use crate::report::stopped_early;
use crate::report::text::words::{count, things};
use crate::store::StoppedPoints;

/// Whether the value of a group can be used; `stopped` where it has none for that reason.
pub(super) fn group_state(
    stopped: &StoppedPoints,
    key: Key,
    group: &Option<GroupSummary>,
) -> &'static str {
    match group {
        Some(group) => group.state(),
        None if stopped.around(key).is_some() => "stopped",
        None => "open",
    }
}

/// Why a task was skipped, and how to have it computed.
pub(super) fn why_skipped(nest: &LoopNest, point: &StoppedPoint, is_stored: bool) -> String {
    let stored = match is_stored {
        true => "\nan earlier start has made it all the same; its result counts nowhere",
        false => "",
    };
    format!(
        "{} was stopped: {}\n{}{stored}\nto have all of them, take stop out of the job and start it again; run --only computes one, and stores nothing",
        place(nest, point.key),
        point.words(nest),
        needed(nest, point)
    )
}

fn needed(nest: &LoopNest, point: &StoppedPoint) -> String {
    let were = if point.asked == 1 { "was" } else { "were" };
    let all = things(nest.task_count(point.key), "run");
    format!("{} of its {all} {were} needed", count(point.asked))
}

/// What is said behind the state of a group: that it is a stopped point or in one, or has some.
pub(super) fn of_group(nest: &LoopNest, stopped: &StoppedPoints, key: Key) -> String {
    match (stopped.around(key), counts(nest, stopped, key)) {
        (Some(point), _) if point.key == key => {
            format!(", {}: {}", point.words(nest), needed(nest, point))
        }
        (Some(point), _) => format!(", in {}, which was stopped", place(nest, point.key)),
        (None, Some((skipped, points))) => {
            format!(", {} skipped, {} stopped early", count(skipped), things(points, "point"))
        }
        (None, None) => String::new(),
    }
}

/// How many runs of a group are not made, and how many of its points were stopped; nothing if none, or if it is such a
/// point or in one.
pub(super) fn counts(nest: &LoopNest, stopped: &StoppedPoints, key: Key) -> Option<(u64, u64)> {
    let has_some = !stopped.at(key).is_empty() && stopped.around(key).is_none();
    has_some.then(|| (stopped.skipped(key), stopped_early(nest, stopped, key)))
}

pub(super) fn json(nest: &LoopNest, point: &StoppedPoint) -> Json {
    json!({
        "coordinates": named_json(&nest.coordinates(point.key)),
        "reason": point.words(nest),
        "asked": point.asked,
        "runs": nest.task_count(point.key),
    })
}
