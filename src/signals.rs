//! Signals that ask for an end: SIGINT, SIGTERM, SIGUSR2. Only a program whose `main` is ours takes
//! them; elsewhere they are the user's own.

use std::sync::Arc;

use crate::line::Line;

/// A signal that came, and how many came so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) times: usize,
    pub(crate) name: &'static str,
}

#[cfg(feature = "cli")]
mod taken {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR2};
    use signal_hook::iterator::Signals;

    use super::*;

    static TIMES: AtomicUsize = AtomicUsize::new(0);
    static LAST: AtomicI32 = AtomicI32::new(0);
    static TAKEN: OnceLock<()> = OnceLock::new();

    /// Takes the signals from now on. MPI may put its own handlers in place when it is initialised,
    /// so this comes after.
    pub(crate) fn take() {
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGUSR2]) else {
            return log::warn!("signals cannot be taken: gridmpi dies of them at once");
        };
        let _ = TAKEN.set(());
        std::thread::spawn(move || {
            for signal in signals.forever() {
                LAST.store(signal, Ordering::Relaxed);
                TIMES.fetch_add(1, Ordering::Release);
            }
        });
    }

    /// Whether and how often an end was asked for.
    pub(crate) fn asked() -> Option<Asked> {
        let times = TIMES.load(Ordering::Acquire);
        let name = match LAST.load(Ordering::Relaxed) {
            SIGINT => "SIGINT",
            SIGTERM => "SIGTERM",
            _ => "SIGUSR2",
        };
        (times > 0).then_some(Asked { times, name })
    }

    /// On another rank than 0: tells rank 0 of signals that come here, for as long as there is a line.
    pub(crate) fn report_to(line: &Arc<Line>) {
        if TAKEN.get().is_none() {
            return;
        }
        let line = Arc::downgrade(line);
        std::thread::spawn(move || {
            let mut told = 0;
            while let Some(line) = line.upgrade() {
                if let Some(Asked { times, name }) = asked().filter(|asked| asked.times > told) {
                    told = times;
                    let _ = line.send(&crate::message::ToMaster::Interrupted(name.to_string()));
                }
                drop(line);
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        });
    }
}

#[cfg(feature = "cli")]
pub(crate) use taken::{asked, report_to, take};

#[cfg(not(feature = "cli"))]
pub(crate) fn take() {}

#[cfg(not(feature = "cli"))]
pub(crate) fn asked() -> Option<Asked> {
    None
}

#[cfg(not(feature = "cli"))]
pub(crate) fn report_to(_: &Arc<Line>) {}
