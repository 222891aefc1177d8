//! Reads the results of stored runs again from the files that they have left, where the job looks for its results in
//! another way and nothing else of crunch has changed. All runs are read again, or none.

use std::collections::HashSet;
use std::path::Path;

use rusqlite::{Connection, Row, params};

use crate::job::{Identity, KeptResults, KeptRun, RUNS_FOLDER, ReadResult, STORE_FILE};
use crate::store::contents::Contents;
use crate::store::mapping::Mapping;
use crate::store::row_keys::RowKeys;
use crate::store::row_reader::{RUN, Reader};
use crate::store::rows::{self, StoredRun};
use crate::store::starts::has_table;
use crate::store::store_points::StorePoints;
use crate::store::workdirs::{has_state, missing, tidy};
use crate::store::{Layout, partial_groups, schema, starts, stopped_points, storing};
use crate::util::error::{Error, Result};
use crate::util::text::{count, things};

/// Runs per step: they are in memory at the same time.
const STEP: usize = 1000;

/// The runs of a store, and how to read their results again.
pub(super) struct KeptRuns<'a> {
    pub(super) store: &'a Connection,
    pub(super) results: &'a Path,
    /// What the store has, and what the job is now.
    pub(super) own: &'a Layout,
    pub(super) layout: &'a Layout,
    pub(super) kept: &'a dyn KeptResults,
}

/// Which runs can be read again.
#[derive(Debug, Default)]
pub(super) struct Rereading {
    pub(super) runs: u64,
    lacking: u64,
    /// Why the first one, or none at all, cannot be read again.
    why: Option<String>,
}

/// What has become of the runs that were read again.
pub(super) struct ReadAgain {
    pub(super) runs: u64,
    /// When those began that have no result in their files, as bits: this start does not try them again.
    pub(super) failed: HashSet<u64>,
}

impl Rereading {
    /// Why not all runs can be read again, if that is so.
    pub(super) fn refusal(&self, folder: &Path, changes: &str) -> Option<String> {
        let why = self.why.as_ref()?;
        let all = self.runs + self.lacking;
        let which = match all {
            0 => "the runs that are there cannot".to_string(),
            _ => format!("{} of {} cannot", count(self.lacking), things(all, "run")),
        };
        let example = if all == 0 { why.clone() } else { format!("the first: {why}") };
        Some(format!(
            "results folder {}: {changes}; that is result alone, but {which} be read again from kept files ({example}); put result back, or start with --fresh, which moves the runs aside and computes all anew, or with --keep, which uses their results as they are",
            folder.display()
        ))
    }

    fn lack(&mut self, runs: u64, why: impl FnOnce() -> String) {
        self.lacking += runs;
        self.why.get_or_insert_with(why);
    }
}

/// A run as it is looked at: its worker, and its folder with the number of files and their state.
struct KeptRunRow {
    run: StoredRun,
    worker: Option<i64>,
    folder: Option<(String, i64, Option<String>)>,
}

impl KeptRuns<'_> {
    /// Finds the files of all runs, and calls `each` with what reads a result. Failed runs are read again only if their
    /// program had ended well; those without files stay as they are, to be tried again.
    pub(super) fn look(
        &self,
        mut each: impl FnMut(&StoredRun, Option<i64>, ReadResult) -> Result<()>,
    ) -> Result<Rereading> {
        let path = self.results.join(STORE_FILE);
        let failed = |error: rusqlite::Error| storing(&path, &error);
        let mut seen = Rereading::default();
        if let Some(why) = self.kept.refusal() {
            seen.why = Some(why.to_string());
            return Ok(seen);
        }
        let unplaced = self.unplaced().map_err(failed)?;
        if unplaced > 0 {
            seen.lack(unplaced, || "its points have no place in the job any more".to_string());
        }
        let known = StorePoints::of_store(self.store, &path)?;
        let mapping = Mapping::new(&known, self.layout)?;
        let keys = RowKeys::of_store(self.store, &self.own.nest).map_err(failed)?;
        let (mut next, has_state) = (0, has_state(self.store).map_err(failed)?);
        loop {
            let found = self.step(&keys, next, has_state).map_err(failed)??;
            let Some(last) = found.last() else { return Ok(seen) };
            next = last.run.key + 1;
            for KeptRunRow { run, worker, folder } in found {
                let is_lacking = match &run.result {
                    Ok(_) => false,
                    Err(error) if self.kept.lacks_result(error) => true,
                    Err(_) => continue,
                };
                let task = mapping.task(&keys.points(run.key));
                match self.files((task, run.attempt), folder) {
                    Ok(read) => {
                        seen.runs += 1;
                        each(&run, worker, read)?;
                    }
                    Err(_) if is_lacking => {}
                    Err(why) => seen.lack(1, || match task {
                        Some(task) => format!("task {task}, {why}"),
                        None => format!("a run at points that the job has no more, {why}"),
                    }),
                }
            }
        }
    }

    fn unplaced(&self) -> Result<u64, rusqlite::Error> {
        if !has_table(self.store, "unplaced")? {
            return Ok(0);
        }
        let sql = "SELECT count(*) FROM unplaced WHERE failed = 0";
        self.store.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|runs| runs as u64)
    }

    /// The next runs, in the order of their keys.
    fn step(
        &self,
        keys: &RowKeys,
        next: i64,
        has_state: bool,
    ) -> Result<Result<Vec<KeptRunRow>>, rusqlite::Error> {
        let of_folder = |column: &str| match has_state {
            true => format!(
                "(SELECT d.{column} FROM workdirs d WHERE d.worker = runs.worker AND d.started = runs.started AND d.files IS NOT NULL)"
            ),
            false => "NULL".to_string(),
        };
        let sql = format!(
            "SELECT {RUN}, worker, {}, {}, {} FROM runs WHERE rowid >= ?1 ORDER BY rowid LIMIT {STEP}",
            of_folder("folder"),
            of_folder("files"),
            of_folder("state")
        );
        let reader =
            Reader { results: self.results, keys: Some(keys), native: false, loads_large: false };
        let mut sql = self.store.prepare_cached(&sql)?;
        let folder = |row: &Row| {
            let name = row.get::<_, Option<String>>(10)?;
            let about = (row.get::<_, Option<i64>>(11)?.unwrap_or(0), row.get(12)?);
            Ok::<_, rusqlite::Error>(name.map(|name| (name, about.0, about.1)))
        };
        let mut rows = sql.query(params![next])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            match reader.run(row)? {
                Ok(run) => all.push(KeptRunRow { run, worker: row.get(9)?, folder: folder(row)? }),
                Err(damaged) => return Ok(Err(damaged)),
            }
        }
        Ok(Ok(all))
    }

    /// The files of a run, if they are all there and as it has left them.
    fn files(
        &self,
        (task, attempt): (Option<u64>, u32),
        folder: Option<(String, i64, Option<String>)>,
    ) -> Result<ReadResult<'_>, String> {
        let (name, files, state) = folder.ok_or("of which no files were kept")?;
        let place = format!("{RUNS_FOLDER}/{name}");
        let Some(state) = state else {
            return Err(format!(
                "{place}: an earlier gridmpi has kept it, and did not note whether its files change"
            ));
        };
        let folder = self.results.join(&place);
        // There is none where not all of it can be read.
        let now = Contents::of(&folder).state;
        if now.is_empty() || now != state {
            return Err(missing(self.results, &name, files).unwrap_or_else(|| {
                format!("{place}: names, sizes or times of its files are not those that the run has left")
            }));
        }
        let run = KeptRun { task, attempt, folder: &folder };
        self.kept.of_run(&run).map_err(|why| format!("{place}: {why}"))
    }

    /// Puts the new results into the store, with the identity of the crunch that they have now; groups are closed
    /// again. All of it happens, or none.
    pub(super) fn read_again(
        &self,
        crunch: i64,
        identity: &Identity,
        changes: &str,
    ) -> Result<ReadAgain> {
        let path = self.results.join(STORE_FILE);
        let failed = |error: rusqlite::Error| storing(&path, &error);
        schema::prepare(self.store).map_err(failed)?;
        tidy(self.store, self.results).map_err(failed)?;
        let batch = self.store.unchecked_transaction().map_err(failed)?;
        let mut without = HashSet::new();
        let seen = self.look(|run, worker, read| {
            let result = read();
            if result.is_err() {
                without.insert(run.started.to_bits());
            }
            if result == run.result {
                return Ok(());
            }
            let (which, when) = ((run.key, run.attempt), (run.started, run.seconds));
            rows::put_run(&batch, self.results, worker, which, when, &result)?.map_err(failed)?;
            rows::replace_error(&batch, worker, which, when, result.as_ref().err()).map_err(failed)
        })?;
        if let Some(why) = seen.refusal(self.results, changes) {
            return Err(Error::input(why));
        }
        let closed = || {
            batch.execute("DELETE FROM groups", [])?;
            batch.execute_batch(partial_groups::TABLE)?;
            partial_groups::clear(&batch)?;
            stopped_points::clear(&batch)?;
            starts::unite(&batch, crunch, identity, |was| {
                let changes = was.changes(&mut identity.clone());
                changes.refusal().is_none() || changes.of_result().is_some()
            })
        };
        closed().map_err(failed)?;
        batch.commit().map_err(failed)?;
        Ok(ReadAgain { runs: seen.runs, failed: without })
    }
}
