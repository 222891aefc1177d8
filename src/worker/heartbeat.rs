//! The service thread and the heartbeat thread of a connection; both are joined on drop. The heartbeat has
//! its own thread, because the service thread may be sending or reading a long message.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::util::error::{Error, Result};
use crate::util::signals;
use crate::util::thread::Ticker;
use crate::wire::transport::HEARTBEAT_PERIOD;
use crate::worker::connection::Connection;

/// Polling interval of the service thread.
const ATTEND: Duration = Duration::from_millis(50);

/// How long crunch may take to return once rank 0 is lost; then the process exits.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Starts the threads; they end when the returned handles are dropped. With `is_process`, the worker is a
/// process of its own, which can receive signals and can lose rank 0.
pub(crate) fn start(connection: &Arc<Connection>, is_process: bool) -> Result<Vec<Ticker>> {
    let served = connection.clone();
    let mut threads = vec![Ticker::start("connection", ATTEND, move |is_over| {
        match served.service(is_process) {
            Ok(()) => return Continue(()),
            Err(error) if is_process => leave(&served, &error, is_over),
            Err(_) => {} // rank 0 runs in this process, which ends with it
        }
        Break(())
    })?];
    if is_process {
        signals::set_consumed(true);
        let (connection, mut has_said_hello) = (connection.clone(), false);
        threads.push(Ticker::start("heartbeat", HEARTBEAT_PERIOD, move |_| {
            if std::mem::replace(&mut has_said_hello, true) {
                connection.send_heartbeat();
            }
            Continue(())
        })?);
    }
    Ok(threads)
}

/// Rank 0 is lost: cancels crunch, and exits the process if crunch does not return.
fn leave(connection: &Connection, error: &Error, is_over: &AtomicBool) {
    connection.close(error);
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
