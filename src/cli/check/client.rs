//! The worker's line to rank 0 in a check, where there is no rank 0.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::util::error::Result;
use crate::util::signals;
use crate::wire::requests::{MasterClient, Reply, Request};

#[derive(Default)]
pub(super) struct CheckClient {
    /// The files that calls have imported: reuse counts them.
    imported: Mutex<BTreeSet<String>>,
}

impl CheckClient {
    pub(super) fn imported(&self) -> Vec<String> {
        self.imported.lock().iter().cloned().collect()
    }
}

impl MasterClient for CheckClient {
    fn ask(&self, request: Request) -> Result<Reply> {
        Ok(match request {
            Request::Imported(files) => {
                self.imported.lock().extend(files.into_iter().map(|(name, _)| name));
                Reply::Value(None)
            }
            Request::Environment(_) => Reply::Ready(true),
            _ => Reply::Refused("a check has no rank 0 to ask".to_string()),
        })
    }

    fn is_cancelled(&self) -> bool {
        signals::asked().is_some()
    }

    /// No task goes to another worker.
    fn claim(&self, until: u64) -> u64 {
        until
    }
}
