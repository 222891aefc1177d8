//! A start of the whole job takes over what its parts have: their runs are copied into the job's store, and
//! only when all of them are there, the folders of the parts are removed. A start that is killed meanwhile
//! leaves the rest to the next one.

use std::path::PathBuf;

use rusqlite::{Connection, params};

use crate::job::PARTS_FOLDER;
use crate::model::JobPart;
use crate::store::copy::{CopyReport, take_part};
use crate::store::file::existing;
use crate::store::own_files;
use crate::store::parts::{mark, parts_in};
use crate::store::rebuild::upgrade;
use crate::store::starts::{StoredIdentity, note};
use crate::store::{Folder, Layout, schema, storing};
use crate::util::error::{Error, Result};
use crate::util::text::count;

/// The note in the job's store that it has the runs of a part, as of this start.
fn taken(part: JobPart) -> String {
    format!("taken {}", part.folder_name())
}

/// Takes over what the parts of the job in this folder have, if it has any. With `keep`, also if crunch has
/// changed between them.
pub(crate) fn take_parts(folder: &Folder, keep: bool) -> Result<()> {
    let place = format!("results folder {}", folder.path().display());
    let mut parts = Vec::new();
    for (part, path) in parts_in(folder.path()) {
        // No part may begin or go on meanwhile.
        let claimed = Folder::claim(&path, false).map_err(|error| {
            Error::input(format!(
                "{place}: {part} is under way: {error}; once it has ended, or scancel has ended it, a start of the whole job takes over what it has"
            ))
        })?;
        parts.push((part, claimed));
    }
    if parts.is_empty() {
        return Ok(());
    }
    let begun = parts.iter().filter(|(_, claimed)| claimed.store().is_file());
    let begun: Vec<&(JobPart, Folder)> = begun.collect();
    if let (Some((part, own)), false) = (begun.first(), folder.store().is_file()) {
        return Err(Error::input(format!(
            "{place}: runs.sqlite is gone, and {part} of the job is there: put it back, or join the parts with gridmpi merge {} ... --out FOLDER",
            own.path().display()
        )));
    }
    if !begun.is_empty() {
        let all = take(folder, &begun, keep)?;
        let parts = if begun.len() == 1 { "part" } else { "parts" };
        let number = count(begun.len() as u64);
        log::info!("{place}: {} runs of {number} {parts} were taken over", count(all.runs));
        if all.disagree > 0 {
            log::warn!(
                "{} runs have another result in a part than in the job's store; the latter's were kept",
                count(all.disagree)
            );
        }
    }
    remove(folder, parts)
}

fn take(folder: &Folder, parts: &[&(JobPart, Folder)], keep: bool) -> Result<CopyReport> {
    let (path, place) = (folder.store(), folder.path().display());
    let failed = |error| storing(&path, &error);
    let store = existing(&path)?;
    let layout = Layout::of_store(&store, &path)?;
    let store = upgrade(folder, store, &layout)?;
    schema::prepare(&store).map_err(failed)?;
    let mut all = CopyReport::default();
    for (part, own) in parts {
        let theirs = existing(&own.store())?;
        let failed = |error| storing(&own.store(), &error);
        let stamp = note(&theirs, "start").map_err(failed)?.unwrap_or_default();
        if note(&store, &taken(*part)).map_err(failed)?.as_ref() == Some(&stamp) {
            continue;
        }
        if let (false, Some(change)) = (keep, change(&store, &theirs).map_err(failed)?) {
            return Err(Error::input(format!(
                "results folder {place}: {part} was computed with another crunch than the rest: {change}; --keep uses its runs all the same, --fresh moves all aside"
            )));
        }
        let before = Layout::of_store(&theirs, &own.store())?;
        let (new, old) = ((&store, &layout, folder.path()), (&theirs, &before, own.path()));
        let report = take_part(new, old, (&taken(*part), &stamp))?;
        all.runs += report.runs;
        all.disagree += report.disagree;
    }
    schema::checkpoint_wal(&store).map_err(failed)?;
    Ok(all)
}

/// How the crunch of a part differs from that of the runs that are there. Modules that calls import may be
/// known of one of the two only.
fn change(store: &Connection, part: &Connection) -> Result<Option<String>, rusqlite::Error> {
    let was = StoredIdentity::read(store)?.identity;
    let mut is = StoredIdentity::read(part)?.identity;
    for (name, digest) in was.late_modules() {
        let role = was.files[&name].role;
        is.add_late_module(name, digest, role);
    }
    Ok(was.changes(&mut is).refusal())
}

/// Removes the folders of parts whose runs the job's store has, and then what it has noted of them.
fn remove(folder: &Folder, parts: Vec<(JobPart, Folder)>) -> Result<()> {
    let all: PathBuf = folder.file(PARTS_FOLDER);
    for (_, own) in &parts {
        own_files::remove(own.path()).map_err(|error| {
            let place = own.path().display();
            Error::unexpected(format!(
                "{place}: cannot be removed, though its runs are merged: {error}"
            ))
        })?;
    }
    let _ = std::fs::remove_dir(&all); // unless there is more in it
    let path = folder.store();
    if path.is_file() {
        let store = existing(&path)?;
        let clear = || {
            let batch = store.unchecked_transaction()?;
            for part in parts.iter().flat_map(|(part, _)| part.all()) {
                for key in [taken(part), mark(part)] {
                    batch.execute("DELETE FROM job WHERE key = ?1", params![key])?;
                }
            }
            batch.commit()
        };
        clear().map_err(|error| storing(&path, &error))?;
    }
    Ok(())
}
