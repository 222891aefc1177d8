//! Waits for room on the disk of a results folder before anything is written there. A disk that is full later
//! pauses the run; one that is full from the beginning makes it wait in the same way.

use std::io::{Error as IoError, ErrorKind, Write};
use std::path::Path;
use std::time::SystemTime;

use crate::job::STORE_FILE;
use crate::store::writer::RETRY;
use crate::util::error::{Error, Result};
use crate::util::signals;

/// What a new store needs to begin, and one that is there. (bytes)
const NEW: usize = 256 << 10;
const AGAIN: usize = 64 << 10;

/// Waits until the folder's disk takes some bytes. `end` is when the run must have ended.
pub(crate) fn wait_for_room(folder: &Path, end: Option<SystemTime>) -> Result<()> {
    let place = folder.display();
    let mut waits = false;
    while let Err(error) = try_room(folder) {
        if let Some(asked) = signals::asked() {
            return Err(Error::interrupted(format!("{}: nothing was started yet", asked.name)));
        }
        if end.is_some_and(|end| SystemTime::now() >= end) {
            return Err(Error::interrupted(format!(
                "results folder {place}: {error}; the time is over before there was room"
            )));
        }
        if !std::mem::replace(&mut waits, true) {
            log::warn!(
                "results folder {place}: {error}; nothing is started until there is room; a signal ends it"
            );
        }
        std::thread::sleep(RETRY);
    }
    if waits {
        log::info!("results folder {place}: there is room now");
    }
    Ok(())
}

/// An error if the disk is full, or a quota is. Whatever else may be wrong is said when the folder is made.
fn try_room(folder: &Path) -> std::result::Result<(), IoError> {
    let Some(place) = folder.ancestors().find(|place| place.is_dir()) else { return Ok(()) };
    let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
    let room = if folder.join(STORE_FILE).exists() { AGAIN } else { NEW };
    // Without a name, nothing of it is left if this process is killed meanwhile.
    let written = tempfile::tempfile_in(place)
        .and_then(|mut file| file.write_all(&vec![1; room]).and_then(|()| file.sync_all()));
    match written {
        Err(error) if is_full(&error) => Err(error),
        _ => Ok(()),
    }
}

fn is_full(error: &IoError) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
