//! Copies of the caller's private files on a host that does not see them. One worker of the host gets them from rank 0; the
//! others wait for that, and all of them map the same copy.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;

use crate::job::Carried;
use crate::util::machine;
use crate::wire::requests::{Reply, Request};
use crate::worker::connection::Connection;
use crate::worker::host_folder::{HostFolder, try_lock};

/// In memory, where files are mapped without a disk. All processes of a host see it, whatever their temporary folder is.
const IN_MEMORY: &str = "/dev/shm";

/// What has to stay free beside a copy, for the host's other needs. (bytes)
const MARGIN: u64 = 64 << 20;

/// How often to look whether a copy is there that another worker makes.
const PAUSE: Duration = Duration::from_millis(50);

// In the folder where the workers of a host meet: the lock of the one that makes the copy, and where the copy is.
const TURN: &str = "turn";
const WHOLE: &str = "whole";

/// In the folder of the copy: it, before and after it is whole.
const UNFINISHED: &str = "unfinished";
const FILES: &str = "files";

/// The copy of this host, which is there as long as a worker has this.
pub(super) struct HostCopy {
    pub(super) files: PathBuf,
    _folders: Vec<HostFolder>,
}

impl HostCopy {
    /// Waits for the copy, or makes it.
    pub(super) fn get(carried: &Carried, connection: &Connection) -> Result<HostCopy, String> {
        let places = [PathBuf::from(IN_MEMORY), std::env::temp_dir()];
        places.iter().for_each(|place| HostFolder::clean(place));
        let joined = places.each_ref().map(|place| HostFolder::join(place, &carried.id));
        let whys: Vec<String> = places.iter().zip(&joined).filter_map(told).collect();
        let meeting = joined.into_iter().find_map(Result::ok).ok_or_else(|| {
            format!(
                "{}, which are not seen here, cannot be copied: {}",
                carried.words(),
                whys.join("; ")
            )
        })?;
        let failed = |error: std::io::Error| format!("{}: {error}", meeting.path().display());
        let turn = private(&meeting.path().join(TURN)).map_err(failed)?;
        loop {
            if let Some(found) = found(&meeting, &carried.id) {
                return Ok(found.with(meeting));
            }
            if try_lock(&turn, FlockOperation::NonBlockingLockExclusive).map_err(failed)? {
                break;
            }
            if connection.is_over() {
                return Err("the run is over".to_string());
            }
            std::thread::sleep(PAUSE);
        }
        // The one before may have been done just then, or have ended.
        if let Some(found) = found(&meeting, &carried.id) {
            return Ok(found.with(meeting));
        }
        let _ = fs::remove_dir_all(meeting.path().join(UNFINISHED));
        let place = with_room(&places, carried)?;
        let home = HostFolder::join(place, &carried.id)
            .map_err(|error| format!("{}: {error}", place.display()))?;
        let (unfinished, files) = (home.path().join(UNFINISHED), home.path().join(FILES));
        log::info!(
            "host {} does not see {}: {} MiB are copied from rank 0 to {}",
            machine::host(),
            carried.words(),
            carried.size().div_ceil(1 << 20),
            home.path().display()
        );
        let made = copy(carried, connection, &unfinished);
        let made = made.and_then(|()| {
            let whole = meeting.path().join(WHOLE);
            let mut named = private(&whole.with_extension(UNFINISHED)).map_err(failed)?;
            fs::rename(&unfinished, &files).map_err(failed)?;
            named.write_all(place.as_os_str().as_bytes()).map_err(failed)?;
            fs::rename(whole.with_extension(UNFINISHED), whole).map_err(failed)
        });
        if let Err(why) = made {
            let _ = fs::remove_dir_all(&unfinished);
            return Err(why);
        }
        Ok(HostCopy { files, _folders: vec![home] }.with(meeting))
    }

    fn with(mut self, meeting: HostFolder) -> HostCopy {
        self._folders.push(meeting);
        self
    }
}

/// Why a place is of no use.
fn told<T>((place, joined): (&PathBuf, &std::io::Result<T>)) -> Option<String> {
    joined.as_ref().err().map(|error| format!("{}: {error}", place.display()))
}

/// The copy that another worker has made.
fn found(meeting: &HostFolder, id: &str) -> Option<HostCopy> {
    let place = std::ffi::OsString::from_vec(fs::read(meeting.path().join(WHOLE)).ok()?);
    let home = HostFolder::join(Path::new(&place), id).ok()?;
    let files = home.path().join(FILES);
    files.is_dir().then(|| HostCopy { files, _folders: vec![home] })
}

/// The first place that has room for a copy.
fn with_room<'a>(places: &'a [PathBuf], carried: &Carried) -> Result<&'a Path, String> {
    let needed = carried.size() + MARGIN;
    let free = |place: &Path| {
        rustix::fs::statvfs(place).map_or(0, |at| at.f_bavail.saturating_mul(at.f_frsize))
    };
    places.iter().map(PathBuf::as_path).find(|place| free(place) >= needed).ok_or_else(|| {
        let words = places
            .iter()
            .map(|place| format!("{} has {} MiB free", place.display(), free(place) >> 20));
        format!(
            "{}, which are not seen here, take {} MiB to be copied: {}",
            carried.words(),
            needed.div_ceil(1 << 20),
            words.collect::<Vec<_>>().join(", and ")
        )
    })
}

/// Gets all files from rank 0 into a new folder.
fn copy(carried: &Carried, connection: &Connection, to: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", to.display());
    let make = |path: &Path| DirBuilder::new().mode(0o700).create(path).map_err(failed);
    make(to)?;
    carried.copied_folders().try_for_each(|folder| make(&to.join(folder)))?;
    for (number, (path, file)) in carried.copied().enumerate() {
        let parts: Vec<_> = Path::new(&file.name).components().collect();
        if !matches!(parts[..], [Component::Normal(_)]) {
            return Err(format!("rank 0 has a file with the name {:?}", file.name));
        }
        let mut out = private(&to.join(path)).map_err(failed)?;
        let mut offset = 0;
        while offset < file.state.size {
            if connection.is_over() {
                return Err("the run is over".to_string());
            }
            let reply = connection.ask(0, Request::Carried { file: number, offset });
            let piece = match reply.map_err(|error| error.to_string())? {
                Reply::Piece(piece, digest) if *blake3::hash(&piece).as_bytes() == digest => piece,
                Reply::Refused(why) => return Err(why),
                _ => return Err(format!("a piece of {} is not what rank 0 has sent", file.name)),
            };
            out.write_all(&piece).map_err(failed)?;
            offset += piece.len() as u64;
            if piece.is_empty() || offset > file.state.size {
                return Err(format!("{} has another length than rank 0 has said", file.name));
            }
        }
    }
    Ok(())
}

/// A file for this user alone.
fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}
