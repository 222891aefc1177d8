//! Copies runs from one store into another, and merges several stores into one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::job::STORE_FILE;
use crate::model::Reduce;
use crate::store::file::{create, existing, finish};
use crate::store::mapping::Mapping;
#[cfg(all(feature = "cli", feature = "jobs"))]
use crate::store::parts::has_parts;
use crate::store::place::PlaceIndex;
use crate::store::rescore::rescore;
use crate::store::row_keys::RowKeys;
#[cfg(all(feature = "cli", feature = "jobs"))]
use crate::store::row_reader::GROUP;
use crate::store::row_reader::{RUN, Reader, UNPLACED};
use crate::store::rows::StoredRun;
use crate::store::starts::{SEEDING, StoredIdentity, note};
use crate::store::store_points::StorePoints;
use crate::store::view::put_view;
use crate::store::{
    Folder, Layout, finals, invocations, logs, memory, rows, schema, starts, storing, workdirs,
};
use crate::util::error::{Error, Result};

/// A store, its layout, and its results folder.
type Side<'a> = (&'a Connection, &'a Layout, &'a Path);

/// The result of copying runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CopyReport {
    /// Runs that were copied.
    pub(crate) runs: u64,
    /// Runs that both stores have with different results; the existing ones stay.
    pub(crate) disagree: u64,
}

/// Copies all workers, all starts, and all runs that are missing there. A success replaces a failure. A run
/// without a task in the new layout is kept under its place, and one that was kept so gets its task.
pub(crate) fn take_runs(new: Side, old: Side) -> Result<CopyReport> {
    take(new, old, |_| Ok(Ok(())))
}

/// The same for a part of the job, whose layout is the same: its summaries too. Both are noted in one step.
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) fn take_part(new: Side, old: Side, note: (&str, &str)) -> Result<CopyReport> {
    take(new, old, |batch| {
        starts::put_note(batch, note.0, note.1)?;
        if new.1.is(old.1) { copy_summaries((batch, new.2), (old.0, old.2)) } else { Ok(Ok(())) }
    })
}

/// `also` is done in the same transaction.
fn take(
    new: Side,
    old: Side,
    also: impl FnOnce(&Connection) -> Result<Result<()>, rusqlite::Error>,
) -> Result<CopyReport> {
    let path = old.2.join(STORE_FILE);
    let known = StorePoints::of_store(old.0, &path)?;
    let mapping = Mapping::new(&known, new.1)?;
    copy(new, old, (&known, &mapping), also).unwrap_or_else(|error| {
        let between = format!("{} to {}", old.2.display(), new.2.display());
        Err(Error::unexpected(format!("runs cannot be copied from {between}: {error}")))
    })
}

fn copy(
    (new, layout, results): Side,
    (old, before, folder): Side,
    (known, mapping): (&StorePoints, &Mapping),
    also: impl FnOnce(&Connection) -> Result<Result<()>, rusqlite::Error>,
) -> Result<Result<CopyReport>, rusqlite::Error> {
    let batch = new.unchecked_transaction()?;
    let first = copy_starts(&batch, old)?;
    let keys = RowKeys::of_store(&batch, &layout.nest)?;
    let own = RowKeys::of_store(old, &before.nest)?;
    let taken = CopyReport::default();
    let mut target = CopyTarget { store: &batch, keys: &keys, results, first, taken };
    // Read as the user's Rust, so that the exact form of any value is copied unchanged.
    let reader = Reader { results: folder, keys: Some(&own), native: true, loads_large: true };
    let mut runs = old.prepare(&format!("SELECT {RUN}, worker FROM runs ORDER BY rowid"))?;
    let mut found = runs.query([])?;
    while let Some(row) = found.next()? {
        let run = match reader.run(row)? {
            Ok(run) => run,
            Err(damaged) => return Ok(Err(damaged)),
        };
        let points = own.points(run.key);
        let put = match mapping.task(&points) {
            Some(task) => target.put(row.get(9)?, task, &run)?,
            None => {
                let place = serde_json::json!(known.place(&points)).to_string();
                target.put_aside(row.get(9)?, &place, &run)?
            }
        };
        if let Err(error) = put {
            return Ok(Err(error));
        }
    }
    if starts::has_table(old, "unplaced")?
        && let Err(error) = copy_unplaced(&mut target, layout, old, reader)?
    {
        return Ok(Err(error));
    }
    copy_failures((&batch, &keys), (old, &own), mapping, first)?;
    logs::copy(&batch, old, first)?;
    if let Err(error) = finals::copy((&batch, results), (old, folder), first)? {
        return Ok(Err(error));
    }
    if let Err(error) = workdirs::copy((&batch, results), (old, folder), first)? {
        return Ok(Err(error));
    }
    memory::copy(&batch, old, first)?;
    if let Err(error) = also(&batch)? {
        return Ok(Err(error));
    }
    let taken = target.taken;
    batch.commit()?;
    Ok(Ok(taken))
}

/// Gives runs that had no task in their store their task in the new one, if they have one there.
fn copy_unplaced(
    target: &mut CopyTarget,
    layout: &Layout,
    old: &Connection,
    reader: Reader,
) -> Result<Result<()>, rusqlite::Error> {
    let mut index = None; // made for the first run: most stores have none
    let mut runs =
        old.prepare(&format!("SELECT {UNPLACED}, worker FROM unplaced ORDER BY rowid"))?;
    let mut found = runs.query([])?;
    while let Some(row) = found.next()? {
        let (place, run) = match reader.unplaced(row)? {
            Ok(found) => found,
            Err(damaged) => return Ok(Err(damaged)),
        };
        let index = index.get_or_insert_with(|| PlaceIndex::new(layout));
        let put = match target.free_task(index, &place) {
            Some(task) => target.put(row.get(9)?, task, &run)?,
            None => target.put_aside(row.get(9)?, &place, &run)?,
        };
        if let Err(error) = put {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// The same within one store, whose layout is new. Returns how many runs have got a task.
pub(crate) fn place_again((store, layout, results): Side) -> Result<Result<u64>, rusqlite::Error> {
    let keys = RowKeys::of_store(store, &layout.nest)?;
    let taken = CopyReport::default();
    let mut target = CopyTarget { store, keys: &keys, results, first: 0, taken };
    let reader = Reader { results, keys: Some(&keys), native: true, loads_large: true };
    let (mut index, mut placed) = (None, 0);
    let mut sql = store.prepare("SELECT rowid, place FROM unplaced ORDER BY rowid")?;
    let place = |row: &Row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
    let places = sql.query_map([], place)?.collect::<Result<Vec<_>, _>>()?;
    for (rowid, place) in places {
        let index = index.get_or_insert_with(|| PlaceIndex::new(layout));
        let Some(task) = target.free_task(index, &place) else { continue };
        let sql = format!("SELECT {UNPLACED}, worker FROM unplaced WHERE rowid = ?1");
        let found = store.prepare_cached(&sql)?.query_row(params![rowid], |row| {
            Ok((reader.unplaced(row)?, row.get::<_, Option<i64>>(9)?))
        })?;
        let put = match found {
            (Ok((_, run)), worker) => target.put(worker, task, &run)?,
            (Err(damaged), _) => Err(damaged),
        };
        if let Err(error) = put {
            return Ok(Err(error));
        }
        let mut sql = store.prepare_cached("DELETE FROM unplaced WHERE rowid = ?1")?;
        sql.execute(params![rowid])?;
        placed += 1;
    }
    Ok(Ok(placed))
}

/// The store that runs are copied into.
struct CopyTarget<'a> {
    store: &'a Connection,
    keys: &'a RowKeys,
    results: &'a Path,
    /// What is added to the numbers of workers.
    first: i64,
    taken: CopyReport,
}

impl CopyTarget<'_> {
    /// The task of a place, if there is one; of several equal ones, the first without a run.
    fn free_task(&self, index: &PlaceIndex, place: &str) -> Option<u64> {
        let tasks = index.tasks(&serde_json::from_str(place).ok()?);
        let is_free = |task: &&u64| self.has(**task).is_ok_and(|has| !has);
        tasks.iter().find(is_free).or(tasks.first()).copied()
    }

    fn has(&self, task: u64) -> Result<bool, rusqlite::Error> {
        let mut sql = self.store.prepare_cached("SELECT 1 FROM runs WHERE key = ?1")?;
        sql.exists(params![self.keys.key(task)])
    }

    /// Adds a run of a task, unless a better one is there.
    fn put(
        &mut self,
        worker: Option<i64>,
        task: u64,
        run: &StoredRun,
    ) -> Result<Result<()>, rusqlite::Error> {
        let own = Reader {
            results: self.results,
            keys: Some(self.keys),
            native: true,
            loads_large: true,
        };
        let mut same =
            self.store.prepare_cached(&format!("SELECT {RUN} FROM runs WHERE key = ?1"))?;
        let key = self.keys.key(task);
        let there = same.query_row(params![key], |row| own.run(row)).optional()?;
        match there {
            Some(Err(damaged)) => return Ok(Err(damaged)),
            Some(Ok(there)) => {
                let both = there.result.is_ok() && run.result.is_ok();
                self.taken.disagree += u64::from(both && there.result != run.result);
                if there.result.is_ok() || run.result.is_err() {
                    return Ok(Ok(()));
                }
            }
            None => {}
        }
        let worker = worker.map(|worker| self.first + worker);
        let (which, when) = ((key, run.attempt), (run.started, run.seconds));
        match rows::put_run(self.store, self.results, worker, which, when, &run.result) {
            Ok(put) => self.taken.runs += put? as u64,
            Err(error) => return Ok(Err(error)),
        }
        Ok(Ok(()))
    }

    /// Keeps a run that has no task here.
    fn put_aside(
        &mut self,
        worker: Option<i64>,
        place: &str,
        run: &StoredRun,
    ) -> Result<Result<()>, rusqlite::Error> {
        let worker = worker.map(|worker| self.first + worker);
        match rows::put_unplaced(self.store, self.results, worker, place, run) {
            Ok(put) => drop(put?),
            Err(error) => return Ok(Err(error)),
        }
        Ok(Ok(()))
    }
}

/// Copies workers, starts and their crunches, with numbers after those that are there; returns what was
/// added to the numbers of workers.
fn copy_starts(new: &Connection, old: &Connection) -> Result<i64, rusqlite::Error> {
    let highest = |table: &str, column: &str| {
        let sql = format!("SELECT coalesce(max({column}), 0) FROM {table}");
        new.query_row(&sql, [], |row| row.get::<_, i64>(0))
    };
    let (first, session) = (highest("workers", "worker")?, highest("workers", "session")?);
    let session = session.max(highest("starts", "session")?);
    let mut workers = old.prepare("SELECT worker, session, rank, host, thread FROM workers")?;
    let mut found = workers.query([])?;
    while let Some(row) = found.next()? {
        let (worker, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (rank, host, thread): (i64, Option<String>, i64) =
            (row.get(2)?, row.get(3)?, row.get(4)?);
        let sql = "INSERT INTO workers (worker, session, rank, host, thread)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        new.execute(sql, params![first + worker, session + at, rank, host, thread])?;
    }
    if starts::has_table(old, "starts")? {
        // Starts with the same crunch have the same number, also if they are of different stores.
        let mut numbers = BTreeMap::new();
        for (number, identity) in starts::crunches(old)? {
            let own = starts::number_of(new, &identity)?;
            starts::put_crunch(new, own, &identity)?;
            numbers.insert(number, own);
        }
        let own = |number: i64| numbers.get(&number).copied().unwrap_or(number);
        for (table, _) in starts::LATE {
            if !starts::has_table(old, table)? {
                continue;
            }
            let mut modules = old.prepare(&format!("SELECT crunch, name, digest FROM {table}"))?;
            let mut found = modules.query([])?;
            while let Some(row) = found.next()? {
                let (name, digest): (String, String) = (row.get(1)?, row.get(2)?);
                let row = params![own(row.get(0)?), name, digest];
                let put = format!("INSERT OR IGNORE INTO {table} VALUES (?1, ?2, ?3)");
                new.execute(&put, row)?;
            }
        }
        let mut starts = old.prepare("SELECT session, crunch, environment FROM starts")?;
        let mut found = starts.query([])?;
        while let Some(row) = found.next()? {
            let (at, environment): (i64, Option<String>) = (row.get(0)?, row.get(2)?);
            let row = params![session + at, own(row.get(1)?), environment];
            new.execute("INSERT INTO starts VALUES (?1, ?2, ?3)", row)?;
        }
    }
    invocations::copy(new, old, session)?;
    logs::copy_starts(new, old, session)?;
    Ok(first)
}

/// Copies the errors of attempts whose task is in the new layout.
fn copy_failures(
    (new, keys): (&Connection, &RowKeys),
    (old, own): (&Connection, &RowKeys),
    mapping: &Mapping,
    first: i64,
) -> Result<(), rusqlite::Error> {
    let key = schema::key_column(old)?;
    let sql = format!("SELECT {key}, attempt, error, seconds, started, worker FROM failures");
    let mut failures = old.prepare(&sql)?;
    let mut found = failures.query([])?;
    while let Some(row) = found.next()? {
        let Some(task) = mapping.task(&own.points(row.get(0)?)) else { continue };
        let (attempt, error): (i64, Option<String>) = (row.get(1)?, row.get(2)?);
        let (seconds, started): (Option<f64>, Option<f64>) = (row.get(3)?, row.get(4)?);
        let worker = row.get::<_, Option<i64>>(5)?.map(|worker| first + worker);
        let sql = "INSERT INTO failures VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let row = params![keys.key(task), attempt, error, seconds, started, worker];
        new.prepare_cached(sql)?.execute(row)?;
    }
    Ok(())
}

/// Copies the summaries of groups whose runs have all succeeded.
#[cfg(all(feature = "cli", feature = "jobs"))]
fn copy_summaries(
    (new, results): (&Connection, &Path),
    (old, folder): (&Connection, &Path),
) -> Result<Result<()>, rusqlite::Error> {
    let reader = Reader { results: folder, keys: None, native: true, loads_large: true };
    let mut sql = old.prepare(&format!("SELECT {GROUP}, level FROM groups WHERE failed = 0"))?;
    let mut found = sql.query([])?;
    while let Some(row) = found.next()? {
        let level: i64 = row.get(9)?;
        let put = match reader.summary(row, level as usize)? {
            Ok(summary) if summary.result.is_ok() => rows::put_summary(new, results, &summary),
            Ok(_) => continue,
            Err(damaged) => Err(damaged),
        };
        match put {
            Ok(put) => drop(put?),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(()))
}

/// Makes a store in `out` with the points and the runs of all these results folders, which must have the
/// same crunch. Summaries are left to the next run of the job.
pub(crate) fn merge(folders: &[PathBuf], out: &Folder) -> Result<(CopyReport, u64)> {
    let path = out.store();
    if path.exists() {
        return Err(Error::input(format!(
            "results folder {}: holds runs already; give one that does not with --out",
            out.path().display()
        )));
    }
    let mut sources: Vec<(Folder, Connection, Layout, StoredIdentity)> = Vec::new();
    let mut union: Option<Layout> = None;
    for (i, folder) in folders.iter().enumerate() {
        let place = format!("results folder {}", folder.display());
        let own = folder.canonicalize().ok();
        let twice = |other: &&PathBuf| own.is_some() && other.canonicalize().ok() == own;
        if let Some(other) = folders[..i].iter().find(twice) {
            let why = format!("{place}: it is the same folder as {}", other.display());
            return Err(Error::input(format!("{why}; name each folder once")));
        }
        if !folder.join("runs.sqlite").is_file() {
            return Err(Error::input(format!("{place}: there is no runs.sqlite in it")));
        }
        #[cfg(all(feature = "cli", feature = "jobs"))]
        if has_parts(folder) {
            return Err(Error::input(format!(
                "{place}: runs of its parts are not in it: start its job without --parts first, which takes them over"
            )));
        }
        let claimed = Folder::claim(folder, false)?;
        let failed = |error| storing(&claimed.store(), &error);
        let store = existing(&claimed.store())?;
        let before = StoredIdentity::read(&store).map_err(failed)?;
        let layout = Layout::of_store(&store, &claimed.store())?;
        if let Some((first, _, _, other)) = sources.first()
            && let mut own = before.identity.clone()
            && let Some(changes) = other.identity.changes(&mut own).refusal()
        {
            let first = first.path().display();
            return Err(Error::input(format!("{place}: not of one job with {first}: {changes}")));
        }
        union = Some(match union {
            Some(union) => union.union(&layout).map_err(|error| error.within(&place))?,
            None => layout.clone(),
        });
        sources.push((claimed, store, layout, before));
    }
    let (Some((_, first, _, before)), Some(union)) = (sources.first(), union) else {
        return Err(Error::input("there is nothing to merge"));
    };
    let tasks = union.nest.tasks();
    let failed = |error| storing(&path, &error);
    let mut notes = vec![("state", "merged".to_string()), ("tasks", tasks.to_string())];
    for key in ["name", "file", SEEDING] {
        notes.extend(note(first, key).map_err(failed)?.map(|text| (key, text)));
    }
    notes.extend(before.identity.notes());
    let new = create(out, &union, &notes).map_err(failed)?;
    let mut all = CopyReport::default();
    for (folder, store, layout, _) in &sources {
        let taken = take_runs((&new, &union, out.path()), (store, layout, folder.path()))?;
        all.runs += taken.runs;
        all.disagree += taken.disagree;
    }
    let score = &before.identity.score;
    if sources.iter().any(|(_, _, _, other)| other.identity.score != *score) {
        let needed = union.nest.run_reduction().is_some_and(Reduce::needs_score);
        rescore(&new, out.path(), score, needed).map_err(failed)??;
    }
    let keys = RowKeys::of_store(&new, &union.nest).map_err(failed)?;
    put_view(&new, &keys).map_err(failed)?; // it has the folders of runs, if there are any
    schema::checkpoint_wal(&new).map_err(failed)?;
    drop(new);
    schema::leave_wal_mode(&existing(&finish(out)?)?);
    Ok((all, tasks))
}
