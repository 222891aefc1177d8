//! The history of one task in a store: its result and all its attempts.

use rusqlite::{Row, params};

use crate::model::{GroupSummary, Key, Scored};
use crate::store::grid_order::tally;
use crate::store::{StoreReader, storing};
use crate::util::error::Result;

/// One attempt at a task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AttemptRow {
    pub(crate) attempt: i64,
    pub(crate) failed: bool,
    pub(crate) error: Option<String>,
    pub(crate) seconds: Option<f64>,
    /// When it began, as UTC text and in seconds since 1970.
    pub(crate) began: Option<String>,
    pub(crate) started: Option<f64>,
    pub(crate) rank: Option<i64>,
    pub(crate) host: Option<String>,
    pub(crate) thread: Option<i64>,
    /// The number of its worker in the store, and of the start.
    pub(crate) worker: Option<i64>,
    pub(crate) session: Option<i64>,
}

impl AttemptRow {
    /// By what its log is found: its worker, when it began and how long it took; nothing if it was lost.
    #[cfg(feature = "jobs")]
    pub(super) fn times(&self) -> Option<(i64, f64, f64)> {
        Some((self.worker?, self.started?, self.seconds?))
    }
}

/// The history of a task.
#[derive(Debug)]
pub(crate) struct History {
    /// The result, if there is one.
    pub(crate) result: Option<Result<Scored, String>>,
    /// All attempts, latest last.
    pub(crate) attempts: Vec<AttemptRow>,
    /// Its groups, from the innermost outwards, with the summary of each closed one.
    pub(crate) groups: Vec<(Key, Option<GroupSummary>)>,
}

impl History {
    /// The last attempt that was not lost: those that were have no time.
    #[cfg(feature = "jobs")]
    pub(crate) fn last_timed(&self) -> Option<&AttemptRow> {
        self.attempts.iter().rfind(|attempt| attempt.started.is_some())
    }
}

impl StoreReader {
    /// The history of a task.
    pub(crate) fn history(&self, task: u64) -> Result<History> {
        let mut result = None;
        self.results.runs(task..task + 1, |run| {
            result = Some(run.result);
            Ok(())
        })?;
        let column = self.failure_key()?;
        let sql = format!(
            "SELECT a.attempt, a.failed, a.error, a.seconds,
                          strftime('%Y-%m-%d %H:%M:%S', a.started, 'unixepoch'), a.started,
                          w.rank, w.host, w.thread, a.worker, w.session
                   FROM (SELECT attempt, failed, error, seconds, started, worker FROM runs WHERE rowid = ?1
                         UNION
                         SELECT attempt, 1, error, seconds, started, worker FROM failures WHERE {column} = ?1) a
                   LEFT JOIN workers w ON w.worker = a.worker
                   ORDER BY a.started IS NULL, a.started, a.attempt"
        );
        let read = |row: &Row| {
            Ok(AttemptRow {
                attempt: row.get(0)?,
                failed: row.get(1)?,
                error: row.get(2)?,
                seconds: row.get(3)?,
                began: row.get(4)?,
                started: row.get(5)?,
                rank: row.get(6)?,
                host: row.get(7)?,
                thread: row.get(8)?,
                worker: row.get(9)?,
                session: row.get(10)?,
            })
        };
        let mut attempts = Vec::new();
        let key = self.results.keys.key(task);
        self.each(&sql, params![key], read, |attempt| attempts.push(attempt))?;
        let mut groups = Vec::new();
        let mut key = self.nest().task(task);
        while let Some((group, _)) = self.nest().group(key) {
            groups.push((group, self.group(group)?));
            key = group;
        }
        Ok(History { result, attempts, groups })
    }

    /// The summary of a group, if it is closed.
    pub(crate) fn group(&self, key: Key) -> Result<Option<GroupSummary>> {
        let mut found = None;
        self.results.summary(key, |summary| found = Some(summary))?;
        Ok(found)
    }

    /// Number of runs below a key, and of failed ones among them.
    pub(crate) fn below(&self, key: Key) -> Result<(u64, u64)> {
        self.tally_of(self.nest().tasks_below(key))
    }

    /// The same for a range of tasks.
    pub(crate) fn tally_of(&self, tasks: std::ops::Range<u64>) -> Result<(u64, u64)> {
        let from = (self.results.connection(), &self.results.keys);
        tally(from, tasks).map_err(|error| storing(self.path(), &error))
    }
}
