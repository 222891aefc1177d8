//! What an attempt has printed, as readers see it.

use crate::model::{KeptLogs, RunLog};
use crate::store::{AttemptRow, StoreReader, logs, storing};
use crate::util::error::{Error, Result};

impl StoreReader {
    /// What is kept of the output of an attempt.
    pub(crate) fn log(&self, attempt: &AttemptRow) -> Result<Option<RunLog>> {
        let Some(times) = attempt.times() else { return Ok(None) };
        let found = logs::get(self.results.connection(), times);
        let found = found.map_err(|error| storing(self.path(), &error))?;
        found.transpose().map_err(|why| {
            Error::unexpected(format!(
                "{}: the log of a run is damaged: {why}",
                self.path().display()
            ))
        })
    }

    /// Whether there is any; it is not read.
    pub(crate) fn has_log(&self, attempt: &AttemptRow) -> Result<bool> {
        let Some(times) = attempt.times() else { return Ok(false) };
        let has = logs::has(self.results.connection(), times);
        has.map_err(|error| storing(self.path(), &error))
    }

    /// What the start that made an attempt has kept of the output of runs; nothing if it did not know of logs.
    pub(crate) fn logs_of(&self, attempt: &AttemptRow) -> Result<Option<KeptLogs>> {
        let Some(session) = attempt.session else { return Ok(None) };
        let kept = logs::kept_by(self.results.connection(), session);
        kept.map_err(|error| storing(self.path(), &error))
    }
}
