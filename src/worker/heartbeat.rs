//! The threads that look after a worker's connection while crunch keeps the worker's own threads busy.
//! The heartbeat has a thread of its own, because the other one may have a long message to send or read.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::util::error::{Error, Result};
use crate::util::signals;
use crate::util::thread::Ticker;
use crate::wire::transport::HEARTBEAT_PERIOD;
use crate::worker::connection::Connection;

/// How often it looks for something to do.
const ATTEND: Duration = Duration::from_millis(50);

/// How long crunch may take to return once rank 0 has gone; then the process ends.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Looks after a connection until what comes back is dropped. With `is_process`, the worker is a process of
/// its own, which signals can reach and rank 0 can leave behind.
pub(crate) fn start(connection: &Arc<Connection>, is_process: bool) -> Result<Vec<Ticker>> {
    let served = connection.clone();
    let mut threads = vec![Ticker::start("connection", ATTEND, move |is_over| {
        match served.service(is_process) {
            Ok(()) => return Continue(()),
            Err(error) if is_process => leave(&served, &error, is_over),
            Err(_) => {} // rank 0 has gone, and with it this process
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

/// There is no rank 0 to work for: has crunch come to its end, and if it does not, ends the process.
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
