//! The state of a run as its store tells it, from outside.

use std::path::{Path, PathBuf};

use rusqlite::OptionalExtension;
use rustix::process::{Pid, Signal, kill_process};

use crate::cli::launch::POLL_PERIOD;
use crate::store::{Folder, last_final, tally_of_all, to_read};
use crate::util::error::{Exit, Result};
use crate::util::{machine, signals};

/// Looks at the store of a run.
pub(super) struct Watch {
    pub(super) store: PathBuf,
    pub(super) tasks: u64,
}

/// What the store tells.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) runs: u64,
    /// The runs that have not failed.
    pub(super) good: u64,
    /// When the last good final call of a row began, in seconds since 1970.
    finals: f64,
    pub(super) state: String,
    /// Why it was interrupted, if it was.
    pub(super) why: String,
    /// The start that opened the store last.
    pub(super) start: String,
    pub(super) exit: Exit,
}

impl Seen {
    fn nothing() -> Seen {
        let (state, why, start) = (String::new(), String::new(), String::new());
        Seen { runs: 0, good: 0, finals: 0.0, state, why, start, exit: Exit::Unexpected }
    }

    /// Whether there is more than before: a new run, or a good one in place of one that had failed; a new final call.
    pub(super) fn has_more_than(&self, before: &Seen) -> bool {
        self.runs > before.runs || self.good > before.good || self.finals > before.finals
    }

    /// The state before a start that moves all these runs aside.
    pub(super) fn emptied(self) -> Seen {
        Seen { runs: 0, good: 0, finals: 0.0, ..self }
    }
}

impl Watch {
    /// Reads the store; if it is missing or unreadable at present, the state is empty.
    pub(super) fn observe(&self) -> Seen {
        self.read().ok().flatten().unwrap_or_else(Seen::nothing)
    }

    /// Reads the store once the results folder is unlocked: ranks whose launcher was killed may still
    /// continue, even to the end. A signal is passed on to rank 0; after a second one, nobody is waited for.
    pub(super) fn wait_until_free(&self, before: &Seen, out: &Path, told: usize) -> Seen {
        let (mut said, mut told) = (false, told);
        loop {
            let seen = self.observe();
            let over = seen.start != before.start && seen.state == "complete";
            if over || Folder::is_free(out) != Some(false) {
                return seen;
            }
            if !std::mem::replace(&mut said, true) {
                log::warn!("the launcher has ended, but its ranks go on; waiting for them");
            }
            if let Some(asked) = signals::asked().filter(|asked| asked.times > told) {
                told = asked.times;
                let here = Folder::holder(out).filter(|(_, host)| *host == machine::host());
                let rank0 = here.and_then(|(process, _)| Pid::from_raw(process.cast_signed()));
                let passed = rank0.is_some_and(|rank0| kill_process(rank0, Signal::USR2).is_ok());
                if asked.times > 1 || !passed {
                    log::warn!("{}: the ranks are left to themselves", asked.name);
                    return seen;
                }
            }
            std::thread::sleep(POLL_PERIOD);
        }
    }

    fn read(&self) -> Result<Option<Seen>, rusqlite::Error> {
        if !self.store.exists() {
            return Ok(None);
        }
        let store = to_read(&self.store)?;
        let ((runs, failed), finals) = (tally_of_all(&store)?, last_final(&store)?);
        let note = |key: &str| {
            let sql = "SELECT CAST(value AS TEXT) FROM job WHERE key = ?1";
            store.query_row(sql, [key], |row| row.get::<_, String>(0)).optional()
        };
        let exit = match note("exit_code")?.as_deref() {
            Some("0") => Exit::Complete,
            Some("75") => Exit::Interrupted,
            Some("100") => Exit::SomeFailed,
            _ => Exit::Unexpected,
        };
        let text = |key: &str| note(key).map(Option::unwrap_or_default);
        let (state, why, start) = (text("state")?, text("why")?, text("start")?);
        Ok(Some(Seen { runs, good: runs - failed, finals, state, why, start, exit }))
    }
}
