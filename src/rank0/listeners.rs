//! The thread that calls the user's listeners, so that they never block the event loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::job::Job;
use crate::model::GroupSummary;
use crate::rank0::requests::{self, RequestBroker};
use crate::rank0::types::Listener;
use crate::util::error::{Error, Result};
use crate::util::panic::caught;
use crate::util::signals::{self, SignalRequest};
use crate::util::thread;

/// How often to look whether listeners have handled everything.
const LOOK: Duration = Duration::from_millis(2);

/// The thread that calls listeners.
pub(super) struct Listeners {
    pub(super) levels: Vec<usize>,
    summaries: Sender<GroupSummary>,
    /// Number of summaries sent and not yet handled by the thread.
    waiting: Arc<AtomicUsize>,
    pub(super) errors: Receiver<String>,
    thread: std::thread::JoinHandle<()>,
}

impl Listeners {
    pub(super) fn start(
        job: &Arc<Job>,
        mut listeners: Vec<(usize, Listener)>,
    ) -> Result<Listeners> {
        let levels = listeners.iter().map(|(level, _)| *level).collect();
        let (summaries, closed) = channel::<GroupSummary>();
        let (failed, errors) = channel();
        let job = job.clone();
        let waiting = Arc::new(AtomicUsize::new(0));
        let unheard = waiting.clone();
        let work = move || {
            while let Ok(summary) = closed.recv() {
                for (level, listen) in &mut listeners {
                    if *level != summary.key.level {
                        continue;
                    }
                    if let Err(why) = caught("on_summary", || listen(&job.nest, &summary)) {
                        let _ = failed.send(format!("the study was stopped: {why}"));
                        return;
                    }
                }
                unheard.fetch_sub(1, Ordering::AcqRel);
            }
        };
        let thread = thread::start("listen", work)?;
        Ok(Listeners { levels, summaries, waiting, errors, thread })
    }

    pub(super) fn notify(&self, summary: GroupSummary) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let _ = self.summaries.send(summary); // the thread ends early only after an error
    }

    /// Number of summaries not yet handled by the listener thread.
    pub(super) fn unheard(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Waits until the listeners have handled everything; returns the error of one that failed. They may
    /// still put and take dictionary values. If there is no progress for too long, the dictionary is
    /// closed, so that no listener waits for ever for a value that nobody puts.
    fn finish(self, requests: &RequestBroker) -> Option<Error> {
        let Listeners { summaries, waiting, errors, thread, .. } = self;
        drop(summaries);
        let before = signals::asked();
        let mut last = (waiting.load(Ordering::Acquire), Instant::now());
        while !thread.is_finished() {
            std::thread::sleep(LOOK);
            let unheard = waiting.load(Ordering::Acquire);
            if unheard != last.0 {
                last = (unheard, Instant::now());
            } else if last.1.elapsed() > requests::PATIENCE && requests.is_waited_for() {
                requests.close();
            }
            let asked = signals::asked();
            if let (true, Some(SignalRequest { name, .. })) = (asked != before, asked) {
                let still =
                    "on_summary is still running; every run is stored; start again to go on";
                return Some(Error::interrupted(format!("{name}: {still}")));
            }
        }
        errors.try_recv().ok().map(Error::unexpected)
    }
}

/// Listeners that may still have summaries to handle.
pub(crate) struct PendingListeners {
    pub(super) requests: RequestBroker,
    pub(super) listeners: Option<Listeners>,
    pub(super) stopped: Option<Error>,
}

impl PendingListeners {
    /// Waits for the listeners; returns the error with which one of them stopped the study.
    pub(crate) fn finish(self) -> Option<Error> {
        let late = self.listeners.and_then(|listeners| listeners.finish(&self.requests));
        self.requests.close();
        self.stopped.or(late)
    }
}
