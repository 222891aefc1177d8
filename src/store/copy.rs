//! Copies runs from one store into another, and merges several stores into one.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use crate::model::AttemptResult;
use crate::store::file::{StoredIdentity, create, existing, finish};
use crate::store::layout::{Mapping, note};
use crate::store::rows::{RUN, Reader};
use crate::store::{Folder, Layout, rows, schema, storing};
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

/// Copies all workers, and the runs that belong to the new layout and are missing there. A success
/// replaces a failure.
pub(crate) fn take_runs(new: Side, old: Side) -> Result<CopyReport> {
    let mapping = Mapping::new(old.1, new.1)?;
    copy(new, old, &mapping).unwrap_or_else(|error| {
        let between = format!("{} to {}", old.2.display(), new.2.display());
        Err(Error::unexpected(format!("runs cannot be copied from {between}: {error}")))
    })
}

fn copy(
    (new, _, results): Side,
    (old, _, folder): Side,
    mapping: &Mapping,
) -> Result<Result<CopyReport>, rusqlite::Error> {
    let batch = new.unchecked_transaction()?;
    let highest = |column: &str| {
        let sql = format!("SELECT coalesce(max({column}), 0) FROM workers");
        batch.query_row(&sql, [], |row| row.get::<_, i64>(0))
    };
    let (first, session) = (highest("worker")?, highest("session")?);
    let mut workers = old.prepare("SELECT worker, session, rank, host, thread FROM workers")?;
    let mut found = workers.query([])?;
    while let Some(row) = found.next()? {
        let (worker, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (rank, host, thread): (i64, Option<String>, i64) =
            (row.get(2)?, row.get(3)?, row.get(4)?);
        let sql = "INSERT INTO workers (worker, session, rank, host, thread)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        batch.execute(sql, params![first + worker, session + at, rank, host, thread])?;
    }
    // Read as the user's Rust, so that the exact form of any value is copied unchanged.
    let (reader, own) =
        (Reader { results: folder, native: true }, Reader { results, native: true });
    let mut taken = CopyReport::default();
    let mut runs = old.prepare(&format!("SELECT {RUN}, worker FROM runs"))?;
    let mut found = runs.query([])?;
    while let Some(row) = found.next()? {
        let mut outcome = match reader.run(row)? {
            Ok(outcome) => outcome,
            Err(damaged) => return Ok(Err(damaged)),
        };
        let Some(task) = mapping.task(outcome.task) else { continue };
        outcome.task = task;
        let sql = format!("SELECT {RUN} FROM runs WHERE task = ?1");
        let mut same = batch.prepare_cached(&sql)?;
        let there = same.query_row(params![task as i64], |row| own.run(row)).optional()?;
        let better = match there {
            Some(Err(damaged)) => return Ok(Err(damaged)),
            Some(Ok(there)) => {
                let differ = there.result != outcome.result;
                let both = there.result.is_ok() && outcome.result.is_ok();
                taken.disagree += u64::from(differ && both);
                there.result.is_err() && outcome.result.is_ok()
            }
            None => true,
        };
        if better {
            let worker: Option<i64> = row.get(9)?;
            let worker = worker.map(|worker| first + worker);
            let AttemptResult { attempt, started, seconds, result, .. } = &outcome;
            let (which, when) = ((task, *attempt), (*started, *seconds));
            match rows::put_run(&batch, results, worker, which, when, result) {
                Ok(put) => taken.runs += put? as u64,
                Err(error) => return Ok(Err(error)),
            }
        }
    }
    batch.commit()?;
    Ok(Ok(taken))
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
    for folder in folders {
        let place = format!("results folder {}", folder.display());
        if !folder.join("runs.sqlite").is_file() {
            return Err(Error::input(format!("{place}: there is no runs.sqlite in it")));
        }
        let claimed = Folder::claim(folder, false)?;
        let failed = |error| storing(&claimed.store(), &error);
        let store = existing(&claimed.store())?;
        let before = StoredIdentity::read(&store).map_err(failed)?;
        let layout = Layout::of_store(&store, &claimed.store())?;
        if let Some((first, _, _, other)) = sources.first()
            && let Some(changes) = other.identity.changes(&before.identity)
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
    for key in ["name", "file"] {
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
    schema::checkpoint_wal(&new).map_err(failed)?;
    drop(new);
    schema::leave_wal_mode(&existing(&finish(out)?)?);
    Ok((all, tasks))
}
