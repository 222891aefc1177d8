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
    use std::sync::mpsc::channel;
    use std::sync::{Arc, LazyLock};

    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR2, SIGXFSZ};
    use signal_hook::iterator::Signals;

    use super::*;
    use crate::util::error::Error;
    use crate::util::thread;

    static TIMES: AtomicUsize = AtomicUsize::new(0);
    static LAST: AtomicI32 = AtomicI32::new(0);
    /// The last signal, as the handler itself has noted it: the thread that handles signals may not have had its
    /// turn when a child that sent one has ended.
    static NOTED: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);
    /// Whether a run checks for signals.
    static CONSUMED: AtomicBool = AtomicBool::new(false);

    /// Handles the signals from now on. While no run checks for them there is nothing to shut down, and
    /// the first signal ends the process.
    pub(crate) fn take() {
        let each = |signal| {
            LAST.store(signal, Ordering::Relaxed);
            TIMES.fetch_add(1, Ordering::Release);
            if let (Some(SignalRequest { name, .. }), false) =
                (asked(), CONSUMED.load(Ordering::Acquire))
            {
                let error = Error::interrupted(format!("{name}: nothing was started yet"));
                error.print();
                std::process::exit(error.exit as i32);
            }
        };
        // With a handler, to write beyond the limit for files is an error in words, not the end. What children inherit
        // stays the default.
        let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
        for signal in [SIGINT, SIGTERM, SIGUSR2] {
            let _ = signal_hook::flag::register_usize(signal, NOTED.clone(), signal as usize);
        }
        if !handle(&[SIGINT, SIGTERM, SIGUSR2], each) {
            log::warn!("signals cannot be handled: they end gridmpi at once");
        }
    }

    /// Calls `each` on a thread of its own for each of these signals; false if that is not possible.
    fn handle(signals: &[i32], each: impl Fn(i32) + Send + 'static) -> bool {
        // A signal that is caught must have a thread that handles it.
        let (to_thread, caught) = channel::<Signals>();
        let wait = move || caught.recv().map(|mut signals| signals.forever().for_each(each));
        thread::start("signals", wait).is_ok()
            && Signals::new(signals).is_ok_and(|signals| to_thread.send(signals).is_ok())
    }

    /// Handles SIGUSR1 too, with which a batch system may announce the time limit. It asks for shutdown if
    /// `is_news` says that the limit was not known to be near.
    #[cfg(all(feature = "mpi", feature = "jobs"))]
    pub(crate) fn take_warning(is_news: impl Fn() -> bool + Send + 'static) {
        handle(&[signal_hook::consts::SIGUSR1], move |_| {
            if is_news() {
                LAST.store(SIGUSR2, Ordering::Relaxed);
                TIMES.fetch_add(1, Ordering::Release);
            } else {
                log::debug!("SIGUSR1: the time limit is near");
            }
        });
    }

    /// Sets whether a run checks for signals from now on.
    pub(crate) fn set_consumed(heeded: bool) {
        CONSUMED.store(heeded, Ordering::Release);
    }

    /// The signals so far, if there were any.
    pub(crate) fn asked() -> Option<SignalRequest> {
        let (times, noted) = (TIMES.load(Ordering::Acquire), NOTED.load(Ordering::Acquire));
        let (times, last) = match times {
            0 if noted > 0 => (1, noted as i32),
            times => (times, LAST.load(Ordering::Relaxed)),
        };
        let name = match last {
            SIGINT => "SIGINT",
            SIGTERM => "SIGTERM",
            _ => "SIGUSR2",
        };
        (times > 0).then_some(SignalRequest { times, name })
    }
}

#[cfg(all(feature = "cli", feature = "mpi", feature = "jobs"))]
pub(crate) use taken::take_warning;
#[cfg(feature = "cli")]
pub(crate) use taken::{asked, set_consumed, take};

#[cfg(not(feature = "cli"))]
pub(crate) fn take() {}

#[cfg(not(feature = "cli"))]
pub(crate) fn set_consumed(_: bool) {}

#[cfg(not(feature = "cli"))]
pub(crate) fn asked() -> Option<SignalRequest> {
    None
}
