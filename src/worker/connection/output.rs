//! What runs print: kept with their results, and sent to rank 0 while somebody follows it.

use crate::executor::{CallResult, OtherResult};
use crate::model::{KeptLogs, RunError, RunLog};
use crate::util::error::Result;
use crate::wire::messages::ToMaster;
use crate::worker::connection::Connection;

impl Connection {
    /// Ends the output of the run that a thread has made last: what is kept of it. Its result is `other`, or a plain
    /// number.
    pub(crate) fn end_output(
        &self,
        thread: u32,
        logs: KeptLogs,
        other: Option<&OtherResult>,
    ) -> Option<RunLog> {
        let mut gathered = self.batches()[thread as usize].output.take()?;
        let error = match other {
            Some(OtherResult { result: CallResult::Other(result), .. }) => {
                result.as_ref().as_ref().err()
            }
            _ => None,
        };
        while let Some(piece) = gathered.last_piece() {
            if self.send(&ToMaster::Output(piece)).is_err() {
                break; // the thread finds out with its next message
            }
        }
        match error {
            Some(RunError::FileChanged(_) | RunError::Unfit(_)) => None, // nothing of it is recorded
            error => gathered.log(logs.keeps(error.is_some())),
        }
    }

    /// Sends rank 0 what runs that are followed have printed since the last time.
    pub(super) fn send_output(&self) -> Result<()> {
        let pieces = self.batches().iter().filter_map(|batch| batch.output.next_piece());
        pieces.into_iter().try_for_each(|piece| self.send(&ToMaster::Output(piece)))
    }
}
