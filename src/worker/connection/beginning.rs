//! How a worker begins: what crunch needs of this host is there, or it says why it cannot work.

use std::sync::atomic::Ordering;

use crate::model::{HostShare, SeenResources};
use crate::util::error::Result;
use crate::wire::messages::{ToMaster, ToWorker};
use crate::worker::connection::{Connection, POLL_PERIOD};
use crate::worker::unexpected_message;

impl Connection {
    /// Begins to work, if what crunch needs is there. Otherwise tells rank 0 why not, and waits for the
    /// dismissal. Returns whether there is work.
    pub(crate) fn begin(
        &self,
        prepared: Result<(), String>,
        began: impl Fn() -> Result<()>,
    ) -> Result<bool> {
        let why = match prepared {
            // What was cancelled says nothing about this worker: there is nothing left to do.
            Err(why) if !self.is_stopped() => why,
            _ => match began() {
                Ok(()) => return Ok(true),
                Err(error) if self.has_ended() => return Err(error),
                Err(error) => error.to_string(),
            },
        };
        self.be_sick(why).map(|()| false)
    }

    fn has_ended(&self) -> bool {
        self.state.lock().over.is_some()
    }

    /// Whether no work is to begin any more.
    pub(crate) fn is_over(&self) -> bool {
        self.poll();
        self.is_stopped() || self.has_ended() || self.is_dismissed()
    }

    pub(crate) fn is_dismissed(&self) -> bool {
        let state = self.state.lock();
        state.unclaimed.iter().any(|message| matches!(message, ToWorker::Dismiss { .. }))
    }

    fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Tells rank 0 why this worker cannot work, and waits for the dismissal. Needs no other thread.
    pub(crate) fn be_sick(&self, why: String) -> Result<()> {
        self.send(&ToMaster::Sick(why))?;
        self.await_dismissal()
    }

    /// Tells rank 0 what this worker sees of its host, and waits for its share of that. Nothing if the job is over
    /// instead.
    pub(crate) fn request_share(&self, seen: SeenResources) -> Result<Option<HostShare>> {
        let seen = Box::new(seen);
        self.post(&ToMaster::Seen(seen.clone()), |state| state.seen = Some(seen))?;
        let share = self.wait(|state| {
            if state.stopped {
                state.seen = None;
                return Some(Ok(None));
            }
            match state.unclaimed.pop_front()? {
                ToWorker::Share(share) => Some(Ok(Some(share))),
                dismissed @ ToWorker::Dismiss { .. } => {
                    state.seen = None;
                    state.unclaimed.push_front(dismissed);
                    Some(Ok(None))
                }
                other => Some(Err(unexpected_message(&other))),
            }
        })??;
        if let Some(share) = &share {
            self.threads.store(share.tasks.len().max(1), Ordering::Relaxed);
        }
        Ok(share)
    }

    /// Waits for the dismissal of a worker that does nothing. Needs no other thread.
    pub(crate) fn await_dismissal(&self) -> Result<()> {
        loop {
            {
                let mut state = self.state.lock();
                let is_process = state.is_process;
                state.unclaimed.retain(|message| matches!(message, ToWorker::Dismiss { .. }));
                if !state.unclaimed.is_empty() {
                    return Ok(());
                }
                if let Some(error) = &state.over {
                    return Err(error.clone());
                }
                drop(state);
                self.service(is_process)?;
            }
            std::thread::sleep(POLL_PERIOD);
        }
    }
}
