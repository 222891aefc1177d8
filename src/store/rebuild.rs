//! Brings the store of earlier starts to the job as it is now, and to this format: where it is, if its rows can
//! keep their keys, or by a new store that has all its runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::job::STORE_FILE;
use crate::store::copy::{place_again, take_runs};
use crate::store::edit::Edit;
use crate::store::file::{create, existing, finish};
use crate::store::mapping::Mapping;
use crate::store::own_files::SUPERSEDED;
use crate::store::starts::{StoredIdentity, note};
use crate::store::store_points::StorePoints;
use crate::store::{Folder, Layout, invocations, schema, starts, storing};
use crate::util::error::Result;

/// The note with the names of superseded stores whose runs this store has.
const TAKEN: &str = "taken";

/// What a store is brought to.
pub(super) struct Goal<'a> {
    pub(super) layout: &'a Layout,
    /// The table `job` of a new store.
    pub(super) notes: &'a [(&'static str, String)],
    /// Whether runs of such a store can be used.
    pub(super) can_use: &'a dyn Fn(&StoredIdentity) -> bool,
}

/// Replaces a store of an older format by one of this format that has the same.
pub(super) fn upgrade(folder: &Folder, present: Connection, layout: &Layout) -> Result<Connection> {
    let path = folder.store();
    let failed = |error| storing(&path, &error);
    if schema::format(&present).map_err(failed)? == schema::FORMAT {
        return Ok(present);
    }
    log::info!("{}: is of an older gridmpi; its runs are taken over", path.display());
    let new = create(folder, layout, &[]).map_err(failed)?;
    let copied = || {
        let mut sql = present.prepare("SELECT key, value FROM job WHERE key <> 'gridmpi'")?;
        let mut notes = sql.query([])?;
        while let Some(row) = notes.next()? {
            let (key, value): (String, rusqlite::types::Value) = (row.get(0)?, row.get(1)?);
            starts::put_note(&new, &key, value)?;
        }
        Ok(())
    };
    copied().map_err(failed)?;
    take_runs((&new, layout, folder.path()), (&present, layout, folder.path()))?;
    replace(folder, present, new)
}

/// Puts a complete new store into the place of the present one. Either of them is in place, whatever happens.
fn replace(folder: &Folder, present: Connection, new: Connection) -> Result<Connection> {
    let path = folder.store();
    let failed = |error| storing(&path, &error);
    schema::checkpoint_wal(&new).map_err(failed)?;
    drop(new);
    schema::checkpoint_wal(&present).map_err(failed)?;
    drop(present);
    existing(&finish(folder)?)
}

/// Brings the store to the job as it is now: where it is, if its rows can keep their keys. Also returns whether
/// runs have come into its table that were elsewhere.
pub(super) fn change(
    folder: &Folder,
    present: Connection,
    layout: &Layout,
    goal: &Goal,
) -> Result<(Connection, bool)> {
    let path = folder.store();
    let failed = |error| storing(&path, &error);
    let known = StorePoints::of_store(&present, &path)?;
    let edit = Edit::new(&present, layout, known, goal.layout).map_err(failed)?;
    let taken = taken(&present).map_err(failed)?;
    let is_taken = |folder: &PathBuf| taken.contains(&folder_name(folder));
    let Some(edit) = edit.filter(|_| superseded(folder.path()).iter().all(is_taken)) else {
        return Ok((rebuild(folder, present, layout, goal)?, true));
    };
    schema::prepare(&present).map_err(failed)?;
    present.execute_batch(starts::TABLES).map_err(failed)?;
    present.execute_batch(invocations::TABLE).map_err(failed)?;
    let batch = present.unchecked_transaction().map_err(failed)?;
    edit.make(&batch, folder.path()).map_err(failed)??;
    let placed = place_again((&batch, goal.layout, folder.path())).map_err(failed)??;
    batch.commit().map_err(failed)?;
    Ok((present, placed > 0))
}

/// Replaces the store by one for the job as it is now, with all runs of this store: those that the job no
/// longer has are kept under their place.
fn rebuild(
    folder: &Folder,
    present: Connection,
    layout: &Layout,
    goal: &Goal,
) -> Result<Connection> {
    let path = folder.store();
    let failed = |error| storing(&path, &error);
    let new = create(folder, goal.layout, goal.notes).map_err(failed)?;
    let (target, own) = ((&new, goal.layout, folder.path()), folder.path());
    take_runs(target, (&present, layout, own))?;
    // Each such store is taken once, for good, so that its starts and workers are not added with each edit.
    let mut taken = taken(&present).map_err(failed)?;
    for earlier in superseded(own) {
        let name = folder_name(&earlier);
        if taken.contains(&name) {
            continue;
        }
        let store = earlier.join(STORE_FILE);
        let earlier = existing(&store)?;
        let before = StoredIdentity::read(&earlier).map_err(failed)?;
        let layout = Layout::of_store(&earlier, &store)?;
        let known = StorePoints::of_store(&earlier, &store)?;
        if (goal.can_use)(&before) && Mapping::new(&known, goal.layout).is_ok() {
            take_runs(target, (&earlier, &layout, own))?;
            taken.insert(name);
        }
    }
    let names = serde_json::json!(taken).to_string();
    starts::put_note(&new, TAKEN, names).map_err(failed)?;
    replace(folder, present, new)
}

/// The names of superseded stores whose runs a store has.
fn taken(store: &Connection) -> Result<BTreeSet<String>, rusqlite::Error> {
    let names = note(store, TAKEN)?;
    Ok(names.and_then(|names| serde_json::from_str(&names).ok()).unwrap_or_default())
}

fn folder_name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The folders of stores that an older gridmpi has kept when the job had changed, latest first.
pub(crate) fn superseded(folder: &Path) -> Vec<PathBuf> {
    let numbered = (1..).map(|n| folder.join(format!("{SUPERSEDED}{n}")));
    let mut found: Vec<PathBuf> = numbered.take_while(|path| path.exists()).collect();
    found.reverse();
    found
}
