//! Starts named threads, and threads that do something periodically.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::util::error::{Error, Result};

/// Starts a thread with this name.
pub(crate) fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    let started = Builder::new().name(name.to_string()).spawn(work);
    started.map_err(|error| Error::unexpected(format!("no thread for \"{name}\": {error}")))
}

/// A thread that does something periodically; joined when this is dropped.
pub(crate) struct Ticker {
    thread: Option<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
}

impl Ticker {
    /// Calls `tick` at once and then once per `period`, until it breaks or the ticker is dropped, which
    /// sets the flag.
    pub(crate) fn start(
        name: &str,
        period: Duration,
        mut tick: impl FnMut(&AtomicBool) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Ticker> {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = start(name, move || {
            while !over.load(Ordering::Relaxed) && tick(&over).is_continue() {
                std::thread::park_timeout(period);
            }
        })?;
        Ok(Ticker { thread: Some(thread), is_over })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
