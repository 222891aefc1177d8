//! What a worker's heartbeat says.

use parking_lot::MutexGuard;

use crate::util::thread;
use crate::wire::messages::ToMaster;
use crate::worker::connection::Connection;

impl Connection {
    /// Whether crunch runs in another process, whose threads nobody counts here.
    pub(crate) fn hides_threads(&self, hides: bool) {
        self.state.lock().hides_threads = hides;
    }

    /// Sends rank 0 a heartbeat. An error is kept for the service thread.
    pub(crate) fn send_heartbeat(&self) {
        let mut state = self.state.lock();
        let (waits, hides) = (state.asking > 0, state.hides_threads);
        let computes = waits && (hides || MutexGuard::unlocked(&mut state, thread::are_unknown));
        let beat = if let Some(seen) = &state.seen {
            ToMaster::Seen(seen.clone())
        } else if state.has_job {
            ToMaster::Heartbeat { idle: state.is_idle(), computes }
        } else {
            self.hello()
        };
        if let Err(error) = state.send_short(&beat) {
            state.lost = Some(error);
        }
    }
}
