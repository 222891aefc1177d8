//! A part joins its job. The first one makes the job's store, without runs; the others must be of the same
//! job. The job's folder is claimed only for a moment, so that the parts do this one after another.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Row, params};

use crate::job::{DigestedFile, Identity, STORE_FILE};
use crate::model::{JobPart, LoopNest, add_point};
use crate::store::connect::seems_without_locks;
use crate::store::file::existing;
use crate::store::grid_order::{in_grid_order, tally};
use crate::store::parts::{begun, mark, part_folder};
use crate::store::row_keys::RowKeys;
use crate::store::starts::{StoredIdentity, note, put_note};
use crate::store::{
    Folder, FoundStore, Layout, OpenOptions, OpenStore, StoreReader, schema, storing,
};
use crate::util::error::{Error, Exit, Result};
use crate::util::signals;

/// How long to wait for other parts that join or end, or for a network file system that still has the lock of
/// a node that died.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(100);
const WORTH_SAYING: Duration = Duration::from_secs(5);

type KnownFiles = BTreeMap<PathBuf, DigestedFile>;

/// What a part is told when it joins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JoinedPart {
    pub(crate) part: JobPart,
    /// Its tasks, and the number of outermost groups that have some of them.
    pub(crate) tasks: Range<u64>,
    pub(crate) groups: u64,
    /// Tasks that need not be done: the job's store has their results. In grid order.
    pub(crate) done: Vec<Range<u64>>,
}

impl JoinedPart {
    /// All tasks that are left to others, in grid order.
    pub(crate) fn left_out(&self, all: u64) -> Vec<Range<u64>> {
        let Range { start, end } = self.tasks;
        let inside = |done: &Range<u64>| done.start.max(start)..done.end.min(end);
        let done = self.done.iter().map(inside);
        let ranges = std::iter::once(0..start).chain(done).chain(std::iter::once(end..all));
        ranges.filter(|range| !range.is_empty()).collect()
    }
}

/// What the store of the job knows: the identity of its crunch, and the digests of files. None before the first
/// part has joined.
pub(crate) fn known_of_job(out: &Path) -> Result<Option<(Identity, KnownFiles)>> {
    if !out.join(STORE_FILE).is_file() {
        return Ok(None);
    }
    let reader = StoreReader::into(out)?;
    Ok(Some((reader.identity()?, reader.known_files())))
}

/// Joins the job in this folder. `plan` is the job as it is for this part; its layout and its identity become
/// those of the whole job.
pub(crate) fn join_part(out: &Path, part: JobPart, plan: &mut OpenOptions) -> Result<JoinedPart> {
    let place = format!("results folder {}", out.display());
    plan.kept_results = None; // other parts may be under way
    let points = plan.job.nest.loops()[0].points.len();
    if points < u64::from(part.of) {
        return Err(Error::input(format!(
            "{place}: {} parts, and loop '{}' has {points} points, of which each part needs one; submit it again with fewer --parts",
            part.of,
            plan.job.nest.loops()[0].name,
        )));
    }
    let Some(folder) = claim_in_turn(out, || false)? else {
        return Err(Error::bug("a claim that nothing ends has ended"));
    };
    if seems_without_locks(out) {
        return Err(Error::input(format!(
            "{place}: its file system has no locks, by which the parts of a job take turns; submit the job without --parts, or with --out on another file system"
        )));
    }
    let path = folder.store();
    let failed = |error| storing(&path, &error);
    let found = FoundStore::in_folder(&folder)?;
    let others: Vec<JobPart> = begun(out).map(|(part, _)| part).collect();
    if let Some(other) = others.iter().find(|other| other.of != part.of) {
        return Err(Error::input(format!(
            "{place}: {other} was begun, and this is {part}: submit it again with --parts {}; or start the job without --parts, which takes over what its parts have and computes the rest",
            other.of
        )));
    }
    if others.is_empty() {
        drop(OpenStore::open(&folder, found, plan.clone())?);
    } else if let Some(change) = change(found, &folder, plan)? {
        return Err(Error::input(format!(
            "{place}: its parts were begun for another job than this one: {change}; put that back as it was, or start the job without --parts, which takes over what its parts have and computes the rest"
        )));
    }
    let store = existing(&path)?;
    let layout = Layout::of_store(&store, &path)?;
    let before = StoredIdentity::read(&store).map_err(failed)?;
    drop(before.identity.changes(&mut plan.identity)); // files that a run may have written do not count
    plan.layout = plan.layout.clone().without_new_files(&layout);
    let tasks = part.tasks(&plan.job.nest);
    let joined = || {
        let keys = RowKeys::of_store(&store, &layout.nest)?;
        let done = done((&store, &keys), &tasks)?;
        let batch = store.unchecked_transaction()?;
        // Marks without a store are of parts that were merged.
        let stale = part.all().filter(|other| *other == part || !others.contains(other));
        for other in stale {
            batch.execute("DELETE FROM job WHERE key = ?1", params![mark(other)])?;
        }
        let sql = "INSERT OR REPLACE INTO job (key, value)
                   VALUES ('state', 'interrupted'), ('exit_code', ?1), ('why', ?2)";
        batch.execute(sql, params![Exit::Interrupted as i64, "its parts are computed"])?;
        batch.commit()?;
        schema::checkpoint_wal(&store)?;
        Ok(done)
    };
    let done = joined().map_err(failed)?;
    schema::leave_wal_mode(&store);
    let groups = groups_of(&plan.job.nest, &tasks);
    Ok(JoinedPart { part, tasks, groups, done })
}

/// Claims the job's folder when nobody has it; nothing if this is `over` meanwhile.
fn claim_in_turn(out: &Path, over: impl Fn() -> bool) -> Result<Option<Folder>> {
    let (since, mut waits) = (Instant::now(), false);
    while !over() {
        match Folder::claim(out, false) {
            Err(_) if Folder::is_free(out) == Some(false) && since.elapsed() < PATIENCE => {
                if let Some(asked) = signals::asked() {
                    let why = "the folder of the job was in use until then";
                    return Err(Error::interrupted(format!("{}: {why}", asked.name)));
                }
                if since.elapsed() > WORTH_SAYING && !std::mem::replace(&mut waits, true) {
                    log::info!("results folder {}: waiting until it is free", out.display());
                }
                std::thread::sleep(LOOK);
            }
            claimed => return claimed.map(Some),
        }
    }
    Ok(None)
}

/// How the job differs from that of its parts, if it does.
fn change(found: FoundStore, folder: &Folder, plan: &OpenOptions) -> Result<Option<String>> {
    let Some((store, before)) = found.store else {
        return Ok(Some(format!("{} is gone", folder.store().display())));
    };
    let mut now = plan.identity.clone();
    if let Some(changes) = before.identity.changes(&mut now).refusal() {
        return Ok(Some(changes));
    }
    if before.identity.score != now.score {
        let (was, is) = (&before.identity.score, &now.score);
        return Ok(Some(format!("its score was \"{was}\" and is \"{is}\"")));
    }
    let layout = Layout::of_store(&store, &folder.store())?;
    Ok(layout.difference(&plan.layout.clone().without_new_files(&layout)))
}

fn groups_of(nest: &LoopNest, tasks: &Range<u64>) -> u64 {
    let group = |task| nest.ancestor(nest.task(task), nest.outer()).index;
    if tasks.is_empty() { 0 } else { group(tasks.end - 1) - group(tasks.start) + 1 }
}

/// The tasks of a range that have a result.
fn done(
    from: (&Connection, &RowKeys),
    tasks: &Range<u64>,
) -> Result<Vec<Range<u64>>, rusqlite::Error> {
    let mut done: Vec<Range<u64>> = Vec::new();
    let failed = |row: &Row| Ok(Ok(row.get::<_, bool>(1)?));
    let read = in_grid_order(from, "rowid, failed", tasks.clone(), failed, |task, failed| {
        if !failed {
            add_point(&mut done, task);
        }
        Ok(())
    })?;
    read.expect("noting a task fails never");
    Ok(done)
}

/// What is known when a part has finished.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PartEnd {
    /// All others have finished too, so the job can be completed.
    Last,
    /// These have not finished.
    Missing(Vec<JobPart>),
    /// A start of the whole job has taken it over.
    Taken,
    /// It has ended without being complete: too many of its runs failed.
    Stopped,
}

/// Marks a part as finished. Of parts that finish at the same time, one is the last.
pub(crate) fn finish_part(out: &Path, part: JobPart) -> Result<PartEnd> {
    let is_taken = || !begun(out).any(|(other, _)| other == part);
    let Some(folder) = claim_in_turn(out, is_taken)? else { return Ok(PartEnd::Taken) };
    let path = folder.store();
    if is_taken() {
        return Ok(PartEnd::Taken);
    }
    let own = part_folder(out, part).join(STORE_FILE);
    let state = existing(&own).map(|store| note(&store, "state"))?;
    if state.map_err(|error| storing(&own, &error))?.as_deref() != Some("complete") {
        return Ok(PartEnd::Stopped);
    }
    let store = existing(&path)?;
    let nest = Layout::of_store(&store, &path)?.nest;
    let put = || {
        put_note(&store, &mark(part), "yes")?;
        let keys = RowKeys::of_store(&store, &nest)?;
        let mut missing = Vec::new();
        for other in part.all() {
            // One that was merged already, or that earlier starts have done, needs no mark.
            let is_there = || {
                let tasks = other.tasks(&nest);
                let (runs, _) = tally((&store, &keys), tasks.clone())?;
                Ok::<_, rusqlite::Error>(runs == tasks.end - tasks.start)
            };
            if note(&store, &mark(other))?.is_none() && !is_there()? {
                missing.push(other);
            }
        }
        schema::checkpoint_wal(&store)?;
        Ok(missing)
    };
    let missing: Vec<JobPart> = put().map_err(|error| storing(&path, &error))?;
    schema::leave_wal_mode(&store);
    Ok(if missing.is_empty() { PartEnd::Last } else { PartEnd::Missing(missing) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_in_grid_order() {
        let part = JobPart { number: 2, of: 3 };
        let joined = |done: &[Range<u64>]| JoinedPart {
            part,
            tasks: 10..20,
            groups: 1,
            done: done.to_vec(),
        };
        assert_eq!(joined(&[]).left_out(30), [0..10, 20..30]);
        assert_eq!(joined(&[10..11, 15..20]).left_out(30), [0..10, 10..11, 15..20, 20..30]);
        assert_eq!(JoinedPart { tasks: 0..30, ..joined(&[]) }.left_out(30), []);
    }
}
