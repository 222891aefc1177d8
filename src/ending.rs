//! The end that a signal asks for, step by step: nothing more is begun, then what is under way is
//! cancelled, then rank 0 leaves whoever has not reported.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::master::Event;
use crate::signals;

/// How long those that were cancelled may take to report.
const LAST_REPORTS: Duration = Duration::from_secs(2);

/// How long mpirun leaves us after it has been interrupted: it kills a second after it has sent TERM.
const UNDER_MPIRUN: Duration = Duration::from_millis(400);

/// How far that end has come.
pub(crate) struct Ending {
    /// How long what is under way may go on.
    grace: Duration,
    now: Duration,
    /// How many signals reached each of the other ranks. One that a launcher passes on reaches all.
    elsewhere: BTreeMap<usize, usize>,
    /// Which signal began it, and when.
    begun: Option<(String, Duration)>,
    /// What is to happen because of a signal elsewhere.
    due: Option<Event<'static>>,
    cancelled: bool,
    /// How often an end was asked for.
    times: usize,
}

impl Ending {
    /// No signal has come.
    pub(crate) fn new(grace: Duration) -> Ending {
        Ending {
            grace,
            now: Duration::ZERO,
            elsewhere: BTreeMap::new(),
            begun: None,
            due: None,
            cancelled: false,
            times: 0,
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Duration) {
        self.now = now;
    }

    /// The signal that began it, if one did.
    pub(crate) fn signal(&self) -> Option<&str> {
        self.begun.as_ref().map(|(name, _)| name.as_str())
    }

    /// A signal reached another rank.
    pub(crate) fn interrupt(&mut self, rank: usize, signal: &str) {
        log::debug!("rank {rank} got {signal}");
        *self.elsewhere.entry(rank).or_default() += 1;
        if self.begun.is_none() {
            self.due = Some(self.begin(signal));
        }
    }

    /// What is to happen by now.
    pub(crate) fn event(&mut self) -> Option<Event<'static>> {
        if let Some(due) = self.due.take() {
            return Some(due);
        }
        let asked = signals::asked();
        let elsewhere = self.elsewhere.values().copied().max().unwrap_or(0);
        self.times = elsewhere.max(asked.as_ref().map_or(0, |asked| asked.times));
        let Some((_, since)) = &self.begun else {
            return asked.map(|asked| self.begin(asked.name));
        };
        if !self.cancelled && self.now >= *since + self.grace {
            self.cancelled = true;
            return Some(Event::Stop);
        }
        None
    }

    /// Whether to leave now.
    pub(crate) fn is_due(&self) -> bool {
        let Some((_, since)) = &self.begun else { return false };
        self.times > 1 || self.now >= *since + self.grace + LAST_REPORTS
    }

    fn begin(&mut self, name: &str) -> Event<'static> {
        if std::env::var_os("OMPI_COMM_WORLD_SIZE").is_some() && name == "SIGTERM" {
            self.grace = self.grace.min(UNDER_MPIRUN);
        }
        log::warn!(
            "{name}: no new task is begun; those under way have {:.1} s; a second signal ends at once",
            self.grace.as_secs_f64()
        );
        self.begun = Some((name.to_string(), self.now));
        Event::Drain
    }
}
