//! Handles the signals that ask for shutdown: SIGINT, SIGTERM, SIGUSR2. Only a program whose `main` is
//! ours installs handlers; otherwise signals belong to the user's program.

/// The last signal, and the number of signals so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignalRequest {
    pub(crate) times: usize,
    pub(crate) name: &'static str,
}

#[cfg(feature = "cli")]
mod taken {
    use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR2};
    use signal_hook::iterator::Signals;

    use super::*;
    use crate::util::error::Error;

    static TIMES: AtomicUsize = AtomicUsize::new(0);
    static LAST: AtomicI32 = AtomicI32::new(0);
    /// Whether a run checks for signals.
    static CONSUMED: AtomicBool = AtomicBool::new(false);

    /// Handles the signals from now on. While no run checks for them there is nothing to shut down, and
    /// the first signal ends the process.
    pub(crate) fn take() {
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGUSR2]) else {
            return log::warn!("signals cannot be handled: they end gridmpi at once");
        };
        std::thread::spawn(move || {
            for signal in signals.forever() {
                LAST.store(signal, Ordering::Relaxed);
                TIMES.fetch_add(1, Ordering::Release);
                if let (Some(SignalRequest { name, .. }), false) =
                    (asked(), CONSUMED.load(Ordering::Acquire))
                {
                    let error = Error::interrupted(format!("{name}: nothing was started yet"));
                    error.print();
                    std::process::exit(error.exit as i32);
                }
            }
        });
    }

    /// Handles SIGUSR1 too, with which a batch system may announce the time limit.
    #[cfg(all(feature = "mpi", feature = "jobs"))]
    pub(crate) fn take_warning() {
        warned(|| {
            LAST.store(SIGUSR2, Ordering::Relaxed);
            TIMES.fetch_add(1, Ordering::Release);
        });
    }

    /// Handles SIGUSR1 and ignores it.
    #[cfg(all(feature = "mpi", feature = "jobs"))]
    pub(crate) fn ignore_warning() {
        warned(|| log::debug!("SIGUSR1: the time limit is near"));
    }

    #[cfg(all(feature = "mpi", feature = "jobs"))]
    fn warned(act: impl Fn() + Send + 'static) {
        let Ok(mut signals) = Signals::new([signal_hook::consts::SIGUSR1]) else { return };
        std::thread::spawn(move || signals.forever().for_each(|_| act()));
    }

    /// Sets whether a run checks for signals from now on.
    pub(crate) fn set_consumed(heeded: bool) {
        CONSUMED.store(heeded, Ordering::Release);
    }

    /// The signals so far, if there were any.
    pub(crate) fn asked() -> Option<SignalRequest> {
        let times = TIMES.load(Ordering::Acquire);
        let name = match LAST.load(Ordering::Relaxed) {
            SIGINT => "SIGINT",
            SIGTERM => "SIGTERM",
            _ => "SIGUSR2",
        };
        (times > 0).then_some(SignalRequest { times, name })
    }
}

#[cfg(feature = "cli")]
pub(crate) use taken::{asked, set_consumed, take};
#[cfg(all(feature = "cli", feature = "mpi", feature = "jobs"))]
pub(crate) use taken::{ignore_warning, take_warning};

#[cfg(not(feature = "cli"))]
pub(crate) fn take() {}

#[cfg(not(feature = "cli"))]
pub(crate) fn set_consumed(_: bool) {}

#[cfg(not(feature = "cli"))]
pub(crate) fn asked() -> Option<SignalRequest> {
    None
}
