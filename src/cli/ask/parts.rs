//! The state of a job whose parts are computed in allocations of their own: that of each part, and of all of
//! them together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cli::ask::standing::{PartStanding, Standing};
use crate::model::JobPart;
use crate::rank0::status::{Life, Liveness, RunState, Status};
use crate::store::{Folder, StoreReader, part_folder, parts_in};
use crate::util::error::Result;

/// Follows the status files of the parts, and that of the whole job.
#[derive(Default)]
pub(super) struct PartsLiveness(BTreeMap<PathBuf, Liveness>);

/// A line for each of these parts of the job in a folder.
pub(in crate::cli) fn part_lines(folder: &Path, parts: &[JobPart]) -> Vec<String> {
    let line = |part: &JobPart| {
        let folder = part_folder(folder, *part);
        let liveness = &mut Liveness::of(&folder);
        PartStanding::of(*part, &folder, liveness, false).line()
    };
    parts.iter().map(line).collect()
}

/// The state of a job with parts that are not merged; nothing if it has none.
pub(super) fn stand(
    folder: &Path,
    known: &mut PartsLiveness,
    patient: bool,
) -> Result<Option<Standing>> {
    let there = parts_in(folder);
    let Some((any, _)) = there.last() else { return Ok(None) };
    // A start of the whole job, for which a part waits.
    let whole = known.0.entry(folder.to_path_buf()).or_insert_with(|| Liveness::of(folder));
    if matches!(whole.check(), Ok(Some((_, Life::Alive | Life::Silent(_))))) {
        return Ok(None);
    }
    let others = there.iter().map(|(part, _)| *part).filter(|part| part.of != any.of);
    let parts: Vec<PartStanding> = others
        .chain(any.all())
        .map(|part| {
            let folder = part_folder(folder, part);
            let liveness =
                known.0.entry(folder.clone()).or_insert_with_key(|folder| Liveness::of(folder));
            PartStanding::of(part, &folder, liveness, patient)
        })
        .collect();
    if parts.iter().all(|part| part.standing.is_none()) {
        return Ok(None); // what is known is in the job's folder
    }
    let whole = Status::of_store(&StoreReader::into(folder)?)?;
    Ok(Some(together(whole, parts, Folder::is_free(folder) == Some(false))))
}

/// The state of the whole job, by that of its store and of its parts. `merging` says whether a process has the
/// job's folder.
fn together(whole: Status, parts: Vec<PartStanding>, merging: bool) -> Standing {
    let standings = || parts.iter().filter_map(|part| part.standing.as_ref());
    let going = || standings().filter(|standing| standing.is_going());
    let sum =
        |of: fn(&Status) -> u64| standings().map(|standing| of(&standing.status)).sum::<u64>();
    let number = |is: fn(&PartStanding) -> bool| parts.iter().filter(|part| is(part)).count();
    let (complete, running) = (number(PartStanding::is_complete), number(PartStanding::is_going));
    let earlier = whole.done - whole.failed;
    let mut all = Status {
        done: (earlier + sum(|part| part.done)).min(whole.tasks),
        failed: sum(|part| part.failed),
        reused: earlier + sum(|part| part.reused),
        running: going().map(|part| part.status.running).sum(),
        retried: sum(|part| part.retried),
        written: standings().map(|part| part.status.written).fold(whole.written, f64::max),
        exit_code: None,
        ..whole
    };
    let rate: f64 = going().filter_map(|part| part.status.rate).sum();
    all.rate = Some(rate).filter(|rate| *rate > 0.0);
    // As long as the slowest part; not known if one of the others is not under way.
    if complete + running == parts.len() && running > 0 {
        let left = going().map(|part| part.status.seconds_left);
        all.seconds_left =
            left.collect::<Option<Vec<_>>>().map(|l| l.into_iter().fold(0.0, f64::max));
    }
    let has_groups = all.groups.all > 1; // one alone is in all parts, and closed in none
    for Standing { status, .. } in standings().filter(|_| has_groups) {
        all.groups.closed += status.groups.closed;
        all.groups.incomplete += status.groups.incomplete;
        all.groups.open.extend(status.groups.open.iter().cloned());
        all.groups.latest.extend(status.groups.latest.iter().cloned());
    }
    for Standing { status, .. } in going() {
        let (workers, more) = (&mut all.workers, &status.workers);
        for (number, add) in [
            (&mut workers.all, more.all),
            (&mut workers.busy, more.busy),
            (&mut workers.idle, more.idle),
            (&mut workers.away, more.away),
            (&mut workers.lost, more.lost),
            (&mut workers.sick, more.sick),
            (&mut workers.gone, more.gone),
            (&mut workers.left_out, more.left_out),
        ] {
            *number += add;
        }
        workers.list.extend(more.list.iter().cloned());
        all.stragglers.extend(status.stragglers.iter().cloned());
    }
    let words = |number: usize, what: &str| (number > 0).then(|| format!("{number} {what}"));
    let begun = number(|part| part.standing.is_some() || part.trouble.is_some());
    let counted = [
        words(complete, "complete"),
        words(running, "under way"),
        words(begun - complete - running, "ended before they were complete"),
        words(parts.len() - begun, "not begun"),
    ];
    let counted: Vec<String> = counted.into_iter().flatten().collect();
    let mut why = format!("{} parts: {}", parts.len(), counted.join(", "));
    all.state = if running > 0 { RunState::Running } else { RunState::Interrupted };
    if running == 0 {
        why += match (complete == parts.len(), merging) {
            (true, true) => "; they are being merged",
            (true, false) => "; not merged: start the job without --parts to merge them",
            _ => "; a start of the job without --parts takes over what they have and does the rest",
        };
    }
    all.words = Some(why);
    let life = if running > 0 { Life::Alive } else { Life::Ended };
    Standing { status: all, life, stored: None, kept: None, parts }
}
