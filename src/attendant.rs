//! The threads that attend to a worker's line while crunch keeps the worker's own threads busy. The
//! heartbeat has one of its own: the other may have a long message to send or to read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::line::Line;
use crate::signals;
use crate::transport::BEAT;

/// How often it looks for something to do.
const ATTEND: Duration = Duration::from_millis(50);

/// How long crunch may take to return once rank 0 has gone; then the process ends.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// They end with this.
pub(crate) struct Attendant {
    threads: Vec<JoinHandle<()>>,
    over: Arc<AtomicBool>,
}

impl Attendant {
    /// Attends to a line. With `is_process`, the worker is a process of its own, which signals can reach
    /// and rank 0 can leave behind.
    pub(crate) fn start(line: &Arc<Line>, is_process: bool) -> Result<Attendant> {
        if is_process {
            signals::heed(true);
        }
        let over = Arc::new(AtomicBool::new(false));
        let mut attendant = Attendant { threads: Vec::new(), over };
        let (of_line, is_over) = (line.clone(), attendant.over.clone());
        attendant.begin("attend", move || {
            while !is_over.load(Ordering::Relaxed) {
                match of_line.attend(is_process) {
                    Ok(()) => std::thread::park_timeout(ATTEND),
                    Err(error) if is_process => return leave(&of_line, &error, &is_over),
                    Err(_) => return, // rank 0 has gone, and with it this process
                }
            }
        })?;
        if is_process {
            let (line, is_over) = (line.clone(), attendant.over.clone());
            attendant.begin("beat", move || {
                std::thread::park_timeout(BEAT); // the first message is hello
                while !is_over.load(Ordering::Relaxed) {
                    line.beat();
                    std::thread::park_timeout(BEAT);
                }
            })?;
        }
        Ok(attendant)
    }

    fn begin(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = std::thread::Builder::new().name(name.to_string()).spawn(work);
        let failed = |error| Error::unexpected(format!("no thread to attend rank 0: {error}"));
        self.threads.push(thread.map_err(failed)?);
        Ok(())
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// There is no rank 0 to work for: has crunch come to its end, and if it does not, ends the process.
fn leave(line: &Line, error: &Error, is_over: &AtomicBool) {
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
