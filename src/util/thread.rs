//! Starts named threads, and threads that do something periodically.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use crate::util::error::{Error, Result};

/// The threads that are not started by crunch, by the system's number.
static KNOWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Notes that the threads which run now are not started by crunch.
pub(crate) fn know_all() {
    let running = running();
    KNOWN.lock().extend(running);
}

/// Notes the same of this thread.
pub(crate) fn know_this() {
    let this = std::fs::read_link("/proc/thread-self").ok();
    let number = this.and_then(|this| this.file_name()?.to_str()?.parse::<i32>().ok());
    KNOWN.lock().extend(number);
}

/// Whether there are threads that crunch may have started. Always false where the system does not tell.
pub(crate) fn are_unknown() -> bool {
    let known = KNOWN.lock();
    running().any(|thread| !known.contains(&thread))
}

/// The numbers of this process's threads.
fn running() -> impl Iterator<Item = i32> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok())
}

/// Starts a thread with this name.
pub(crate) fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    let work = || {
        know_this();
        work()
    };
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

    /// Logs what is `said` once per `period`, if it is anything new, until the ticker is dropped. What takes less
    /// than a period says nothing.
    pub(crate) fn reporting(
        name: &str,
        period: Duration,
        said: impl Fn() -> Option<String> + Send + 'static,
    ) -> Result<Ticker> {
        let (mut is_first, mut last) = (true, None);
        Ticker::start(name, period, move |over| {
            if std::mem::take(&mut is_first) {
                return ControlFlow::Continue(());
            }
            let said = said();
            if !over.load(Ordering::Relaxed) && said != last {
                said.iter().for_each(|said| log::info!("{said}"));
                last = said;
            }
            ControlFlow::Continue(())
        })
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
