//! The end that a signal asks for, or that the time brings, step by step: nothing more is begun, then
//! what is under way is cancelled, then rank 0 leaves whoever has not reported.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::master::Event;
use crate::util::signals;

/// How long those that were cancelled may take to report.
const LAST_REPORTS: Duration = Duration::from_secs(2);

/// How long mpirun leaves us after it has been interrupted: it kills a second after it has sent TERM.
const UNDER_MPIRUN: Duration = Duration::from_millis(400);

/// What is said of an end that the time brings.
pub(crate) const TIME_IS_OVER: &str = "the time is over";

/// How far that end has come.
pub(crate) struct Shutdown {
    /// How long what is under way may go on.
    grace: Duration,
    /// When nothing may be under way any more.
    end: Option<Duration>,
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

impl Shutdown {
    /// No signal has come, and it is not `end` yet.
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

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Duration) {
        self.now = now;
    }

    /// What began it, if anything did.
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

    /// What is to happen by now.
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

    /// Whether to leave now.
    pub(crate) fn is_due(&self) -> bool {
        let Some(limit) = self.limit() else { return false };
        self.times > 1 || self.now >= limit + LAST_REPORTS
    }

    /// Whether nothing may be under way any more.
    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| self.now >= end)
    }

    /// How long what is under way may go on, once the end has begun.
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
