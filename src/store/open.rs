//! Opens the store of a results folder: a new one, or the runs of earlier starts, matched to the job as it
//! is now. Runs that the job no longer has stay in the folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use crate::job::{Identity, Job};
use crate::model::{AttemptResult, Key, Scored};
use crate::store::copy::take_runs;
use crate::store::file::{StoredIdentity, create, existing, finish};
use crate::store::layout::Mapping;
use crate::store::rows::{GROUP, RUN, Reader};
use crate::store::{Folder, Layout, Store, schema, storing};
use crate::util::clock;
use crate::util::error::{Error, Result};

/// Prefix of the folders for replaced stores. Their runs have been copied into the current store, if the
/// job still has them.
const SUPERSEDED: &str = "superseded-";

/// The job that a store is opened for.
pub(crate) struct OpenOptions<'a> {
    pub(crate) job: &'a Job,
    pub(crate) layout: &'a Layout,
    pub(crate) identity: &'a Identity,
    /// The text of the job file, stored with the runs.
    pub(crate) text: &'a str,
    /// Whether runs are reused although crunch has changed.
    pub(crate) keep: bool,
}

/// An open store, before the writer is started.
pub(crate) struct OpenStore {
    path: PathBuf,
    connection: Connection,
    session: i64,
    native: bool,
    keeps_runs: bool,
    /// Levels with a reduction by the user that has not changed, so that summaries can be reused.
    reusable: Vec<usize>,
}

impl OpenStore {
    /// Opens the folder's store, or makes a new one. Fails if its runs cannot be this job's.
    pub(crate) fn open(folder: &Folder, plan: &OpenOptions) -> Result<OpenStore> {
        let path = folder.store();
        let failed = |error| storing(&path, &error);
        if !path.exists() {
            let connection = create(folder, plan.layout, &notes(plan)).map_err(failed)?;
            schema::checkpoint_wal(&connection).map_err(failed)?;
            drop(connection);
            let connection = existing(&finish(folder)?)?;
            return Ok(OpenStore {
                reusable: Vec::new(),
                session: 1,
                ..opened(path, connection, plan)
            });
        }
        let connection = existing(&path)?;
        let before = StoredIdentity::read(&connection).map_err(failed)?;
        if let (false, Some(changes)) = (plan.keep, before.identity.changes(plan.identity)) {
            return Err(Error::input(refusal(folder.path(), &changes)));
        }
        let layout = Layout::of_store(&connection, &path)?;
        let connection = if layout.is(plan.layout) {
            connection
        } else {
            in_folder(folder, rebuild(folder, connection, &layout, plan))?
        };
        schema::prepare(&connection).map_err(failed)?;
        let reusable = (0..plan.job.nest.depth())
            .filter(|level| {
                plan.job.nest.loops()[*level].reduce.as_ref().is_some_and(|r| r.is_outside())
            })
            .filter(|level| {
                before.identity.reduces.get(*level) == plan.identity.reduces.get(*level)
            })
            .collect();
        for (key, value) in notes(plan) {
            let sql = "INSERT OR REPLACE INTO job (key, value) VALUES (?1, ?2)";
            connection.execute(sql, params![key, value]).map_err(failed)?;
        }
        Ok(OpenStore { reusable, session: before.sessions + 1, ..opened(path, connection, plan) })
    }

    /// A store in memory, without runs.
    pub(crate) fn in_memory(folder: &Folder, plan: &OpenOptions) -> Result<OpenStore> {
        let path = folder.store();
        let made = Connection::open_in_memory()
            .and_then(|store| schema::create(&store, plan.layout, &notes(plan)).map(|()| store));
        let connection = made.map_err(|error| storing(&path, &error))?;
        Ok(OpenStore { keeps_runs: false, ..opened(path, connection, plan) })
    }

    /// Calls `each` with every run, in grid order. A damaged run is an error.
    pub(crate) fn runs(&self, mut each: impl FnMut(AttemptResult)) -> Result<()> {
        let sql = format!("SELECT {RUN} FROM runs ORDER BY task");
        let failed = |error: rusqlite::Error| storing(&self.path, &error);
        let mut statement = self.connection.prepare(&sql).map_err(failed)?;
        let mut found = statement.query([]).map_err(failed)?;
        while let Some(row) = found.next().map_err(failed)? {
            each(self.reader().run(row).map_err(failed)??);
        }
        Ok(())
    }

    /// Reusable summaries of the user's functions, for groups whose runs are all there. All other
    /// summaries are deleted.
    pub(crate) fn summaries(&self) -> Result<BTreeMap<Key, Scored>> {
        let failed = |error: rusqlite::Error| storing(&self.path, &error);
        let mut known = BTreeMap::new();
        for level in &self.reusable {
            let sql = format!("SELECT {GROUP} FROM groups WHERE level = ?1 AND failed = 0");
            let mut statement = self.connection.prepare(&sql).map_err(failed)?;
            let mut found = statement.query(params![*level as i64]).map_err(failed)?;
            while let Some(row) = found.next().map_err(failed)? {
                let summary = self.reader().summary(row, *level).map_err(failed)??;
                known.extend(summary.result.ok().map(|scored| (summary.key, scored)));
            }
        }
        let kept: Vec<String> = self.reusable.iter().map(usize::to_string).collect();
        let sql =
            format!("DELETE FROM groups WHERE failed > 0 OR level NOT IN ({})", kept.join(","));
        self.connection.execute(&sql, []).map_err(failed)?;
        Ok(known)
    }

    /// Starts the writer.
    pub(crate) fn start(self) -> Result<Store> {
        Store::start(&self.path, self.connection, self.session, self.keeps_runs)
    }

    fn reader(&self) -> Reader<'_> {
        Reader { results: self.path.parent().unwrap_or(Path::new(".")), native: self.native }
    }
}

/// The error message if a folder's runs are not the job's, with the options to proceed.
pub(crate) fn refusal(folder: &Path, changes: &str) -> String {
    format!(
        "results folder {}: {changes}; --keep uses the runs that are there all the same, --fresh moves them aside, --out names another folder",
        folder.display()
    )
}

fn opened(path: PathBuf, connection: Connection, plan: &OpenOptions) -> OpenStore {
    let native = plan.job.is_native();
    let reusable = Vec::new();
    OpenStore { path, connection, session: 1, native, keeps_runs: true, reusable }
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

/// Replaces the store by one for the job as it is now, with the runs of this store and of the ones before.
/// The old store is kept.
fn rebuild(
    folder: &Folder,
    present: Connection,
    layout: &Layout,
    plan: &OpenOptions,
) -> Result<Connection> {
    let path = folder.store();
    let failed = |error| storing(&path, &error);
    let new = create(folder, plan.layout, &notes(plan)).map_err(failed)?;
    take_runs((&new, plan.layout, folder.path()), (&present, layout, folder.path()))?;
    for earlier in superseded(folder.path()) {
        let own = earlier.join("runs.sqlite");
        let earlier = existing(&own)?;
        let before = StoredIdentity::read(&earlier).map_err(failed)?;
        let layout = Layout::of_store(&earlier, &own)?;
        let same_crunch = plan.keep || before.identity.changes(plan.identity).is_none();
        if same_crunch && Mapping::new(&layout, plan.layout).is_ok() {
            take_runs((&new, plan.layout, folder.path()), (&earlier, &layout, folder.path()))?;
        }
    }
    // From here on, either the old or the new store is in place, whatever happens.
    schema::checkpoint_wal(&new).map_err(failed)?;
    drop(new);
    schema::checkpoint_wal(&present).map_err(failed)?;
    drop(present);
    let io = |error: std::io::Error| {
        Error::unexpected(format!("results folder {}: {error}", folder.path().display()))
    };
    let aside = folder.next(SUPERSEDED);
    fs::create_dir(&aside).map_err(io)?;
    fs::hard_link(&path, aside.join("runs.sqlite"))
        .or_else(|_| fs::copy(&path, aside.join("runs.sqlite")).map(drop))
        .map_err(io)?;
    let path = finish(folder)?;
    log::info!("the job has changed; the store as it was is in {}", aside.display());
    existing(&path)
}

/// The folders of superseded stores, latest first.
pub(crate) fn superseded(folder: &Path) -> Vec<PathBuf> {
    let numbered = (1..).map(|n| folder.join(format!("{SUPERSEDED}{n}")));
    let mut found: Vec<PathBuf> = numbered.take_while(|path| path.exists()).collect();
    found.reverse();
    found
}
