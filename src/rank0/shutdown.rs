//! Shutdown after a signal or at the time limit, in steps: no new task is started, then running tasks are
//! cancelled, then rank 0 leaves even if workers have not reported.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::master::Event;
use crate::util::signals;

/// How long cancelled tasks may take to report.
const LAST_REPORTS: Duration = Duration::from_secs(2);

/// Grace time under an mpirun that was interrupted: it sends SIGKILL one second after SIGTERM.
const UNDER_MPIRUN: Duration = Duration::from_millis(400);

/// The reason given for a shutdown at the time limit.
pub(crate) const TIME_IS_OVER: &str = "the time is over";

/// The state of the shutdown.
pub(crate) struct Shutdown {
    /// How long running tasks may go on after the shutdown has begun.
    grace: Duration,
    /// The time limit: no task may run after it.
    end: Option<Duration>,
    now: Duration,
    /// Number of signals per other rank. A launcher passes one signal on to all ranks, so the largest
    /// number counts, not the sum.
    elsewhere: BTreeMap<usize, usize>,
    /// What began the shutdown, and when.
    begun: Option<(String, Duration)>,
    /// The event due to a signal on another rank.
    due: Option<Event<'static>>,
    cancelled: bool,
    /// Number of signals so far.
    times: usize,
}

impl Shutdown {
    pub(crate) fn new(grace: Duration, end: Option<Duration>) -> Shutdown {
        Shutdown {
            grace,
            end,
            now: Duration::ZERO,
            elsewhere: BTreeMap::new(),
            begun: None,
            due: None,
            cancelled: false,
            times: 0,
        }
    }

    pub(crate) fn tick(&mut self, now: Duration) {
        self.now = now;
    }

    /// What began the shutdown, if it has begun.
    pub(crate) fn why(&self) -> Option<&str> {
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

    /// The next event of the shutdown, if one is due.
    pub(crate) fn event(&mut self) -> Option<Event<'static>> {
        if let Some(due) = self.due.take() {
            return Some(due);
        }
        let asked = signals::asked();
        let elsewhere = self.elsewhere.values().copied().max().unwrap_or(0);
        self.times = elsewhere.max(asked.as_ref().map_or(0, |asked| asked.times));
        if self.begun.is_none() {
            let over = self.is_over().then_some(TIME_IS_OVER);
            return asked.map(|asked| asked.name).or(over).map(|why| self.begin(why));
        }
        if !self.cancelled && self.limit().is_some_and(|limit| self.now >= limit) {
            self.cancelled = true;
            return Some(Event::Stop);
        }
        None
    }

    /// Whether rank 0 leaves now, even if workers are still busy.
    pub(crate) fn is_due(&self) -> bool {
        let Some(limit) = self.limit() else { return false };
        self.times > 1 || self.now >= limit + LAST_REPORTS
    }

    /// Whether the time limit is reached.
    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| self.now >= end)
    }

    /// When running tasks are cancelled, once the shutdown has begun.
    fn limit(&self) -> Option<Duration> {
        let (_, since) = self.begun.as_ref()?;
        let limit = *since + self.grace;
        Some(self.end.map_or(limit, |end| end.min(limit)))
    }

    fn begin(&mut self, name: &str) -> Event<'static> {
        if std::env::var_os("OMPI_COMM_WORLD_SIZE").is_some() && name == "SIGTERM" {
            self.grace = self.grace.min(UNDER_MPIRUN);
        }
        self.begun = Some((name.to_string(), self.now));
        match self.limit().unwrap_or_default().saturating_sub(self.now) {
            Duration::ZERO if name == TIME_IS_OVER => {
                log::warn!("{name}: running tasks are cut off");
            }
            left => log::warn!(
                "{name}: no new task is started; running ones have {:.1} s to finish; a second signal stops them",
                left.as_secs_f64()
            ),
        }
        Event::Drain
    }
}
