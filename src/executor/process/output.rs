//! What a child that serves many tasks prints: logged, and its end kept to say why the child died.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;

use crate::executor::process::tail::LastBytes;

/// How much of the end is kept. (bytes)
const KEPT: usize = 8 << 10;

/// How long to wait for the rest of what a dead child has printed.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(crate) struct ChildOutput {
    last: Arc<Mutex<LastBytes>>,
    /// Disconnected once the pipe is closed.
    listener: Receiver<()>,
}

impl ChildOutput {
    /// Reads a child's output, and logs it under this name (shown with -v).
    pub(crate) fn of(pipe: impl Read + Send + 'static, name: &'static str) -> ChildOutput {
        let last = Arc::new(Mutex::new(LastBytes::new(KEPT)));
        let (end, listener) = channel();
        let printed = last.clone();
        std::thread::spawn(move || {
            let _end: Sender<()> = end;
            let mut lines = BufReader::new(pipe);
            let mut line = Vec::new();
            while lines.by_ref().take(KEPT as u64).read_until(b'\n', &mut line).is_ok_and(|n| n > 0)
            {
                log::debug!("{name}: {}", String::from_utf8_lossy(&line).trim_end());
                printed.lock().push(&line);
                line.clear();
            }
        });
        ChildOutput { last, listener }
    }

    /// How a dead child has ended, with the last it printed.
    pub(crate) fn after(&self, how: String) -> String {
        // A descendant may keep the pipe open, so this wait has a limit.
        let _ = self.listener.recv_timeout(LAST_WORDS);
        match self.last.lock().text().trim() {
            "" => how,
            printed => format!("{how}; the last it printed:\n{printed}"),
        }
    }
}
