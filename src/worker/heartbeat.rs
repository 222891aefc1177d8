//! The thread that attends to a worker's line while crunch keeps the worker's own threads busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::util::error::{Error, Result};
use crate::util::signals;
use crate::worker::connection::Connection;

/// How often it looks for something to do.
const ATTEND: Duration = Duration::from_millis(50);

/// How long crunch may take to return once rank 0 has gone; then the process ends.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Ends with this.
pub(crate) struct Heartbeat {
    thread: Option<JoinHandle<()>>,
    over: Arc<AtomicBool>,
}

impl Heartbeat {
    /// Attends to a line. With `is_process`, the worker is a process of its own, which signals can reach
    /// and rank 0 can leave behind.
    pub(crate) fn start(line: &Arc<Connection>, is_process: bool) -> Result<Heartbeat> {
        if is_process {
            signals::heed(true);
        }
        let over = Arc::new(AtomicBool::new(false));
        let (line, is_over) = (line.clone(), over.clone());
        let attend = move || {
            while !is_over.load(Ordering::Relaxed) {
                match line.attend(is_process) {
                    Ok(()) => std::thread::park_timeout(ATTEND),
                    Err(error) if is_process => return leave(&line, &error, &is_over),
                    Err(_) => return, // rank 0 has gone, and with it this process
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("attend".to_string())
            .spawn(attend)
            .map_err(|error| Error::unexpected(format!("no thread to attend rank 0: {error}")))?;
        Ok(Heartbeat { thread: Some(thread), over })
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// There is no rank 0 to work for: has crunch come to its end, and if it does not, ends the process.
fn leave(line: &Connection, error: &Error, is_over: &AtomicBool) {
    line.close(error);
    let begin = Instant::now();
    while begin.elapsed() < LAST_WORDS {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        std::thread::park_timeout(LAST_WORDS - begin.elapsed().min(LAST_WORDS));
    }
    error.print(); // crunch does not return
    std::process::exit(error.exit as i32);
}
