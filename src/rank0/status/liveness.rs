//! Whether a run that says it goes on does: by its process and its lock where that is on this machine, by
//! the age of its file elsewhere. Nothing is written, and nothing is held that rank 0 could want.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process};

use crate::rank0::status::Status;
use crate::store::Folder;
use crate::util::clock::since_1970;
use crate::util::error::Result;
use crate::util::machine::host;

/// Rank 0 writes every second or two. How old its file may be on the same machine before its lock is
/// looked at, and on another one, where a shared file system may show an old one for a while, before it
/// counts as dead.
const FRESH: Duration = Duration::from_secs(5);
const DEAD: Duration = Duration::from_secs(40);

/// What a status file needs at the very least. (bytes)
const ROOM: u64 = 1 << 16;

/// How long to wait for a sign of life.
const LISTEN: Duration = Duration::from_secs(3);

/// Whether a run goes on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Life {
    /// It does.
    Alive,
    /// Nothing was heard of it for a while. (seconds)
    Silent(f64),
    /// It has ended, and has said how.
    Ended,
    /// It has died without a word; why that is believed.
    Died(String),
}

/// Follows one status file. Clocks of two machines may differ: that a file changes is told by this one's.
pub(crate) struct Liveness {
    folder: PathBuf,
    host: String,
    /// What was written last, and when that was seen first.
    last: Option<(f64, Instant)>,
    /// Whether it has changed under our eyes.
    beats: bool,
}

impl Liveness {
    pub(crate) fn of(folder: &Path) -> Liveness {
        Liveness { folder: folder.to_path_buf(), host: host(), last: None, beats: false }
    }

    /// Reads the file once more.
    pub(crate) fn check(&mut self) -> Result<Option<(Status, Life)>> {
        let Some(mut status) = Status::read(&self.folder)? else { return Ok(None) };
        let life = self.life(&status);
        if matches!(life, Life::Silent(_)) && self.is_stifled() {
            let words = "its disk is full: it cannot write its status, and waits for space";
            status.words = Some(words.to_string());
        }
        Ok(Some((status, life)))
    }

    /// Reads the file, and if it seems to be silent waits a moment for a sign of life.
    pub(crate) fn look_twice(&mut self) -> Result<Option<(Status, Life)>> {
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

    /// Whether a run lives of which only its store and its claim on the folder are known.
    pub(crate) fn claimed(&mut self, status: &Status) -> Life {
        match Folder::is_free(&self.folder) {
            Some(false) => Life::Alive,
            _ if status.host.is_empty() => Life::Died("no process holds the folder".to_string()),
            _ => self.life(status),
        }
    }

    /// Whether there is no room left for a sign of life.
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
        // By its own clock where it was never seen to change.
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
            // A process in another container is not to be seen, but its lock is.
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
