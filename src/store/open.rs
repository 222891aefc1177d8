//! Opens the store of a results folder: a new one, or the runs of earlier starts, matched to the job as it
//! is now. Runs that the job no longer has stay in the folder.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row};

use crate::job::{DigestedFile, Digests, FileDigests, Identity, Job, KeptResults, environment};
use crate::model::{AttemptResult, Loop, LoopNest, Reduce, stop_of};
use crate::store::file::{create, existing, finish};
use crate::store::finals::KnownFinal;
use crate::store::grid_order::in_grid_order;
use crate::store::rebuild::{Goal, change, upgrade};
use crate::store::reread::{KeptRuns, ReadAgain};
use crate::store::rescore::rescore;
use crate::store::row_keys::RowKeys;
use crate::store::row_reader::{RUN, Reader};
use crate::store::rows::StoredRun;
use crate::store::starts::{LABELS, LEFT_OUT, SEEDING, StoredIdentity};
use crate::store::view::put_view;
use crate::store::{
    Folder, Layout, RunFolders, Store, cut_off, finals, invocations, labels, logs, memory, schema,
    starts, storing, workdirs,
};
use crate::util::clock;
use crate::util::error::{Error, Result};
use crate::util::text::{count, things};

/// The job that a store is opened for.
#[derive(Clone)]
pub(crate) struct OpenOptions<'a> {
    pub(crate) job: &'a Job,
    pub(crate) layout: Layout,
    pub(crate) identity: Identity,
    /// The digests of the job's files.
    pub(crate) files: &'a FileDigests,
    /// The text of the job file, stored with the runs.
    pub(crate) text: &'a str,
    /// Whether runs are reused although crunch has changed.
    pub(crate) keep: bool,
    /// Reads results again where another `result` is all that has changed.
    pub(crate) kept_results: Option<&'a dyn KeptResults>,
}

/// What is in a results folder before a start: nothing, or the store of earlier starts.
pub(crate) struct FoundStore {
    path: PathBuf,
    pub(super) store: Option<(Connection, StoredIdentity)>,
}

impl FoundStore {
    pub(crate) fn in_folder(folder: &Folder) -> Result<FoundStore> {
        let path = folder.store();
        if !path.exists() {
            return Ok(FoundStore { path, store: None });
        }
        let connection = existing(&path)?;
        let before = StoredIdentity::read(&connection).map_err(|error| storing(&path, &error))?;
        Ok(FoundStore { path, store: Some((connection, before)) })
    }

    /// The identity of the last start's crunch.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.store.as_ref().map(|(_, before)| &before.identity)
    }

    /// The digests that earlier starts have taken.
    pub(crate) fn known_files(&self) -> BTreeMap<PathBuf, DigestedFile> {
        self.store.as_ref().map_or(BTreeMap::new(), |(store, _)| starts::known_files(store))
    }
}

/// An open store, before the writer is started.
pub(crate) struct OpenStore {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    keys: RowKeys,
    pub(crate) session: i64,
    native: bool,
    keeps_runs: bool,
    /// Whether this start has another score, or needs one where the last start did not.
    pub(crate) is_rescored: bool,
    /// When the runs began that this start has read again and that have no result any more.
    lacking: HashSet<u64>,
    /// Levels with a reduction by the user whose summaries can be reused.
    pub(super) reusable: Vec<usize>,
    /// The files of crunch that count, and the digests of those of points that do.
    pub(crate) crunch_files: BTreeSet<PathBuf>,
    pub(crate) digests: Digests,
}

impl OpenStore {
    /// Opens the store that was found, or makes a new one. Fails if its runs cannot be this job's.
    pub(crate) fn open(
        folder: &Folder,
        found: FoundStore,
        mut plan: OpenOptions,
    ) -> Result<OpenStore> {
        let path = found.path;
        let failed = |error| storing(&path, &error);
        let environment = environment();
        let Some((connection, mut before)) = found.store else {
            let connection = create(folder, &plan.layout, &notes(&plan)).map_err(failed)?;
            starts::record(&connection, 1, 1, &plan.identity, &environment)
                .and_then(|()| invocations::put(&connection, 1, plan.job))
                .and_then(|()| logs::put_start(&connection, 1, plan.job.policy.logs))
                .and_then(|()| starts::keep_files(&connection, plan.files))
                .and_then(|()| finals::open(&connection, folder.path(), plan.job.finally.is_some()))
                .and_then(|()| open_tables(&connection, folder.path(), &plan))
                .and_then(|()| schema::checkpoint_wal(&connection))
                .map_err(failed)?;
            drop(connection);
            let connection = existing(&finish(folder)?)?;
            let keys = RowKeys::fresh(&plan.layout.nest);
            return Ok(opened(path, connection, keys, &plan));
        };
        let mut changes = before.identity.changes(&mut plan.identity);
        changes.refused.extend(plan.layout.refuse_was(&connection, &path, &before.identity)?);
        let mut lacking = HashSet::new();
        if let (false, Some(why), Some(kept)) = (plan.keep, changes.of_result(), plan.kept_results)
        {
            lacking = read_again(folder, &connection, (&mut before, &plan), (kept, why))?;
            changes.refused.clear();
        }
        if let (false, Some(changes)) = (plan.keep, changes.refusal()) {
            return Err(Error::input(refusal(folder.path(), &changes)));
        }
        for remark in &changes.remarks {
            log::warn!("results folder {}: {remark}", folder.path().display());
        }
        for name in differences(before.environment.as_ref(), &environment) {
            log::info!("{name} is not what it was when this job was started before");
        }
        let layout = Layout::of_store(&connection, &path)?;
        let connection = in_folder(folder, upgrade(folder, connection, &layout))?;
        plan.layout = plan.layout.without_new_files(&layout);
        let is_same = layout.is(&plan.layout);
        let (connection, has_more) = match is_same {
            true => (connection, false),
            false => {
                let is_same = |before: &StoredIdentity| {
                    before.identity.changes(&mut plan.identity.clone()).refusal().is_none()
                };
                let can_use = |before: &StoredIdentity| plan.keep || is_same(before);
                let goal = Goal { layout: &plan.layout, notes: &notes(&plan), can_use: &can_use };
                in_folder(folder, change(folder, connection, &layout, &goal))?
            }
        };
        schema::prepare(&connection).map_err(failed)?;
        connection.execute_batch(starts::TABLES).map_err(failed)?;
        connection.execute_batch(invocations::TABLE).map_err(failed)?;
        connection.execute_batch(logs::TABLES).map_err(failed)?;
        finals::open(&connection, folder.path(), plan.job.finally.is_some()).map_err(failed)?;
        open_tables(&connection, folder.path(), &plan).map_err(failed)?;
        if !before.identity.same_late_modules(&plan.identity) {
            finals::forget_all(&connection).map_err(failed)?;
        }
        let keys = RowKeys::of_store(&connection, &plan.layout.nest).map_err(failed)?;
        let unplaced: i64 = connection
            .query_row("SELECT count(*) FROM unplaced", [], |row| row.get(0))
            .map_err(failed)?;
        let unused = unplaced as u64 + keys.left_over();
        if unused > 0 {
            let (have, they) = if unused == 1 { ("has", "it is") } else { ("have", "they are") };
            log::info!(
                "{} {have} no place in the job any more{}; {they} kept, and used again if the points come back",
                things(unused, "run"),
                moved(&layout, &plan.layout)
            );
        }
        let session = starts::sessions(&connection).map_err(failed)? + 1; // a put-aside store may have added some
        let this = (session, !changes.refused.is_empty());
        record(&connection, &plan, &before, this, &keys).map_err(failed)?;
        let (was, is) = (&before.identity, &plan.identity);
        let needed = |nest: &LoopNest| nest.run_reduction().is_some_and(Reduce::needs_score);
        let now = needed(&plan.layout.nest);
        // A study's runs have the scores that they were returned with.
        let is_rescored =
            !plan.job.is_native() && (was.score != is.score || needed(&layout.nest) != now);
        // A run that has got its task back may have been scored long ago.
        let may_differ = is_rescored || has_more;
        if !plan.job.is_native() && may_differ {
            let batch = connection.unchecked_transaction().map_err(failed)?;
            let changed = rescore(&batch, folder.path(), &is.score, now).map_err(failed)??;
            batch.commit().map_err(failed)?;
            if was.score != is.score || changed > 0 {
                log::info!(
                    "the score is \"{}\" now, another one for {}",
                    is.score,
                    things(changed, "run")
                );
            }
        }
        let is_outside = |level: &usize| {
            let reduce = plan.job.nest.loops()[*level].reduce.as_ref();
            reduce.is_some_and(|reduce| reduce.is_outside())
                && before.identity.same_summaries(&plan.identity, *level)
        };
        // Which points of a group are stopped follows from runs that are read one after another.
        let stops = stop_of(&plan.job.nest).is_some();
        let is_reusable = |level: &usize| !stops && is_outside(level);
        let reusable = (0..plan.job.nest.depth()).filter(is_reusable).collect();
        let opened = opened(path, connection, keys, &plan);
        Ok(OpenStore { reusable, session, is_rescored, lacking, ..opened })
    }

    /// A store in memory, without runs.
    pub(crate) fn in_memory(folder: &Folder, plan: OpenOptions) -> Result<OpenStore> {
        let path = folder.store();
        let made = Connection::open_in_memory()
            .and_then(|store| schema::create(&store, &plan.layout, &notes(&plan)).map(|()| store));
        let connection = made.map_err(|error| storing(&path, &error))?;
        let keys = RowKeys::fresh(&plan.layout.nest);
        Ok(OpenStore { keeps_runs: false, ..opened(path, connection, keys, &plan) })
    }

    /// Calls `each` with every run, in grid order. A damaged run is an error.
    pub(crate) fn runs(&self, mut each: impl FnMut(AttemptResult) -> Result<()>) -> Result<()> {
        let read = |row: &Row| self.reader().run(row);
        in_grid_order(
            (&self.connection, &self.keys),
            RUN,
            0..self.keys.tasks(),
            read,
            |task, run| {
                let StoredRun { attempt, started, seconds, result, .. } = run;
                each(AttemptResult { task, attempt, started, seconds, result })
            },
        )
        .map_err(|error| storing(&self.path, &error))?
    }

    /// Whether this start has looked for the result of the run that began then in its files, and found none.
    pub(crate) fn lacks_result(&self, started: f64) -> bool {
        self.lacking.contains(&started.to_bits())
    }

    /// Tasks without a result that were cut off in earlier starts, and how long they had run, in seconds.
    pub(crate) fn cut_off(&self) -> Result<Vec<(u64, f64)>> {
        cut_off::longest(&self.connection, &self.keys).map_err(|error| storing(&self.path, &error))
    }

    /// What is known of final calls, by the keys of rows.
    pub(crate) fn known_finals(&self) -> Result<BTreeMap<String, KnownFinal>> {
        finals::known(&self.connection).map_err(|error| storing(&self.path, &error))
    }

    /// Notes something of this start.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn note(&self, key: &str, value: &str) -> Result<()> {
        let put = starts::put_note(&self.connection, key, value);
        put.map_err(|error| storing(&self.path, &error))
    }

    /// Starts the writer. `folders` are those that runs leave.
    pub(crate) fn start(self, folders: Option<RunFolders>) -> Result<Store> {
        let of_start = (self.session, folders);
        Store::start(&self.path, (self.connection, self.keys), of_start, self.keeps_runs)
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader {
            results: self.path.parent().unwrap_or(Path::new(".")),
            keys: Some(&self.keys),
            native: self.native,
            loads_large: true,
        }
    }
}

/// The tables of what runs leave and of the memory that they take; the view shows it from then on.
fn open_tables(
    store: &Connection,
    results: &Path,
    plan: &OpenOptions,
) -> Result<(), rusqlite::Error> {
    let is_new = workdirs::open(store, results, plan.job.workdir.is_some())?;
    match memory::open(store, plan.job.crunch.has_processes())? || is_new {
        true => put_view(store, &RowKeys::of_store(store, &plan.layout.nest)?),
        false => Ok(()),
    }
}

/// Reads the results of all runs again from the files that they have left. Returns when those began that have none.
fn read_again(
    folder: &Folder,
    store: &Connection,
    (before, plan): (&mut StoredIdentity, &OpenOptions),
    (kept, changes): (&dyn KeptResults, &str),
) -> Result<HashSet<u64>> {
    let own = Layout::of_store(store, &folder.store())?;
    let layout = &plan.layout.clone().without_new_files(&own);
    let runs = KeptRuns { store, results: folder.path(), own: &own, layout, kept };
    let ReadAgain { runs, failed } = runs.read_again(before.crunch, &plan.identity, changes)?;
    before.identity = plan.identity.clone();
    let lacking = match failed.len() as u64 {
        0 => String::new(),
        lacking => {
            let have = if lacking == 1 { "has" } else { "have" };
            format!("; {} {have} none there, which the next start computes again", count(lacking))
        }
    };
    log::info!(
        "results folder {}: result has changed; read the results of {} again from their kept files{lacking}",
        folder.path().display(),
        things(runs, "run")
    );
    Ok(failed)
}

/// Says which loops have other points altogether because of how they are spread.
fn moved(before: &Layout, now: &Layout) -> String {
    let is_moved = |l: &&Loop| {
        let there = before.nest.loops().iter().find(|there| there.name == l.name);
        let is_same = |there: &Loop| {
            let first = |l: &Loop| l.points.get(0).to_exact();
            there.points.len() == l.points.len() && first(there) == first(l)
        };
        !l.points.begins_with_shorter() && there.is_some_and(|there| !is_same(there))
    };
    let names: Vec<String> =
        now.nest.loops().iter().filter(is_moved).map(|l| format!("'{}'", l.name)).collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!(
            ", because a Latin hypercube of which anything has changed has other points ({})",
            names.join(", ")
        ),
    }
}

/// The error message if a folder's runs are not the job's, with the options to proceed.
pub(crate) fn refusal(folder: &Path, changes: &str) -> String {
    format!(
        "results folder {}: {changes}; --keep uses the runs that are there all the same, --fresh moves them aside, --out names another folder; a file that runs write is left out with ignore in [crunch]",
        folder.display()
    )
}

fn opened(path: PathBuf, connection: Connection, keys: RowKeys, plan: &OpenOptions) -> OpenStore {
    let native = plan.job.is_native();
    let reusable = Vec::new();
    let crunch_files = plan.identity.crunch_paths();
    let Layout { digests: points, combined, .. } = plan.layout.clone();
    let digests = Digests { points, combined };
    OpenStore {
        path,
        connection,
        keys,
        session: 1,
        native,
        keeps_runs: true,
        is_rescored: false,
        lacking: HashSet::new(),
        reusable,
        crunch_files,
        digests,
    }
}

/// The store's table `job`.
fn notes(plan: &OpenOptions) -> Vec<(&'static str, String)> {
    let notes = [
        ("name", plan.job.name.clone()),
        ("file", plan.text.to_string()),
        ("path", path(plan.job)),
        ("tasks", plan.job.nest.tasks().to_string()),
        ("state", "running".to_string()),
        ("start", clock::process_stamp()),
        (LEFT_OUT, serde_json::json!(plan.job.nest.left_out_by_points()).to_string()),
        (LABELS, labels::note(&plan.job.nest)),
        (SEEDING, serde_json::json!(plan.job.seeding).to_string()),
    ];
    notes.into_iter().chain(plan.identity.notes()).collect()
}

/// The path of the job file or, for a study, of the program.
fn path(job: &Job) -> String {
    #[cfg(feature = "jobs")]
    if !job.is_native() {
        return job.file().display().to_string();
    }
    let program = std::env::current_exe().ok().filter(|_| job.is_native());
    program.map_or(String::new(), |program| program.display().to_string())
}

fn in_folder<T>(folder: &Folder, result: Result<T>) -> Result<T> {
    result.map_err(|error| error.within(&format!("results folder {}", folder.path().display())))
}

/// Records this start, and what the job is now.
fn record(
    store: &Connection,
    plan: &OpenOptions,
    before: &StoredIdentity,
    (session, has_changed): (i64, bool),
    keys: &RowKeys,
) -> Result<(), rusqlite::Error> {
    let batch = store.unchecked_transaction()?;
    for (key, value) in notes(plan) {
        starts::put_note(&batch, key, value)?;
    }
    batch.execute("DELETE FROM job WHERE key = 'part'", [])?; // a part notes itself at each start
    schema::put_reductions(&batch, &plan.layout.nest)?;
    put_view(&batch, keys)?;
    if before.identity.is_partial {
        let (identity, none) = (&before.identity, BTreeMap::new());
        starts::record(&batch, before.sessions, before.crunch, identity, &none)?;
    }
    // What an older store did not record is taken as unchanged.
    let is_same = !has_changed && before.identity.is_partial;
    let crunch = match is_same {
        true => before.crunch,
        false => starts::number_of(&batch, &plan.identity)?,
    };
    starts::record(&batch, session, crunch, &plan.identity, &environment())?;
    invocations::put(&batch, session, plan.job)?;
    logs::put_start(&batch, session, plan.job.policy.logs)?;
    batch.commit()?;
    starts::keep_files(store, plan.files)
}

/// The names of environment variables that differ.
fn differences<'a>(
    before: Option<&'a BTreeMap<String, String>>,
    now: &'a BTreeMap<String, String>,
) -> Vec<&'a str> {
    let Some(before) = before else { return Vec::new() };
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let differs = |name: &&String| before.get(*name) != now.get(*name);
    names.into_iter().filter(differs).map(String::as_str).collect()
}
