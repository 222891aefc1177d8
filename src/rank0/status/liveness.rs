//! Tells whether a run that claims to be running still is: by its process and its lock on this machine, by
//! the age of its status file on another. Nothing is written, and no lock is kept.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process};

use crate::rank0::status::Status;
use crate::store::Folder;
use crate::util::clock::since_1970;
use crate::util::error::Result;
use crate::util::machine::host;

/// Rank 0 writes its file every second or two. If the file is older than FRESH, the lock decides on the
/// same machine. On another machine the run counts as dead once the file is older than DEAD: a shared file
/// system may show an old file for a while.
const FRESH: Duration = Duration::from_secs(5);
const DEAD: Duration = Duration::from_secs(40);

/// The free space that a status file needs. (bytes)
const ROOM: u64 = 1 << 16;

/// How long to wait for the file to change.
const LISTEN: Duration = Duration::from_secs(3);

/// Whether a run is alive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Life {
    Alive,
    /// The file has not changed for a while. (seconds)
    Silent(f64),
    /// It has ended and recorded how.
    Ended,
    /// It has died without recording that; how this was found.
    Died(String),
}

/// Follows one status file. Clocks of two machines may differ, so the time since the last change is
/// measured by this one's.
pub(crate) struct Liveness {
    folder: PathBuf,
    host: String,
    /// The last time stamp in the file, and when it was first seen.
    last: Option<(f64, Instant)>,
    /// Whether the file was seen to change.
    beats: bool,
}

impl Liveness {
    pub(crate) fn of(folder: &Path) -> Liveness {
        Liveness { folder: folder.to_path_buf(), host: host(), last: None, beats: false }
    }

    /// Reads the file again.
    pub(crate) fn check(&mut self) -> Result<Option<(Status, Life)>> {
        let Some(mut status) = Status::read(&self.folder)? else { return Ok(None) };
        let life = self.life(&status);
        if matches!(life, Life::Silent(_)) && self.is_stifled() {
            let words = "its disk is full: it cannot write its status, and waits for space";
            status.words = Some(words.to_string());
        }
        Ok(Some((status, life)))
    }

    /// Reads the file; if the run seems silent, waits a moment for the file to change.
    pub(crate) fn check_twice(&mut self) -> Result<Option<(Status, Life)>> {
        let begin = Instant::now();
        loop {
            let seen = self.check()?;
            let doubtful = match &seen {
                Some((status, Life::Died(_))) => status.host != self.host,
                Some((_, Life::Silent(_))) => true,
                _ => false,
            };
            if !doubtful || begin.elapsed() > LISTEN {
                return Ok(seen);
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Whether a run is alive that has no status file, by its claim on the folder.
    pub(crate) fn claimed(&mut self, status: &Status) -> Life {
        match Folder::is_free(&self.folder) {
            Some(false) => Life::Alive,
            _ if status.host.is_empty() => Life::Died("no process holds the folder".to_string()),
            _ if status.written == 0.0 => Life::Died(format!(
                "rank 0 (process {} on {}) has recorded no run, and no process holds the folder",
                status.process, status.host
            )),
            _ => self.life(status),
        }
    }

    /// Whether the disk is too full to write the status.
    fn is_stifled(&self) -> bool {
        let disk = rustix::fs::statvfs(&self.folder);
        disk.is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM)
    }

    fn life(&mut self, status: &Status) -> Life {
        match self.last {
            Some((written, _)) if written == status.written => {}
            last => {
                self.beats = last.is_some();
                self.last = Some((status.written, Instant::now()));
            }
        }
        if status.state.is_end() {
            return Life::Ended;
        }
        let unchanged = self.last.map_or(Duration::ZERO, |(_, first)| first.elapsed());
        // By the writer's clock if the file was never seen to change.
        let by_clock = (since_1970() - status.written).max(0.0);
        let age = match self.beats {
            true => unchanged.as_secs_f64(),
            false => by_clock.max(unchanged.as_secs_f64()),
        };
        let rank_0 = format!("rank 0 (process {} on {})", status.process, status.host);
        if status.host == self.host {
            if is_process(status.process) && age < FRESH.as_secs_f64() {
                return Life::Alive;
            }
            // A process in another container is not visible, but its lock is.
            return match Folder::is_free(&self.folder) {
                Some(true) => Life::Died(format!("{rank_0} has ended")),
                _ if age < FRESH.as_secs_f64() => Life::Alive,
                Some(false) => Life::Silent(age),
                None if is_process(status.process) => Life::Silent(age),
                None => Life::Died(format!("{rank_0} has ended")),
            };
        }
        match age {
            age if age < FRESH.as_secs_f64() => Life::Alive,
            age if age < DEAD.as_secs_f64() || self.is_stifled() => Life::Silent(age),
            _ => Life::Died(format!(
                "{rank_0} has written nothing for {age:.0} s; it writes every second while it lives"
            )),
        }
    }
}

fn is_process(number: u32) -> bool {
    let Some(pid) = i32::try_from(number).ok().and_then(Pid::from_raw) else { return false };
    !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}
