//! Says how far it is if finding a nest takes long: conditions of many combinations, or functions that give points.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::util::error::Result;
use crate::util::text::count;
use crate::util::thread::Ticker;

/// Time until the first report, and between two.
const REPORT_PERIOD: Duration = Duration::from_secs(2);

/// What has been done so far; its clones count the same.
#[derive(Clone, Default)]
pub(super) struct NestProgress(Arc<Counts>);

#[derive(Default)]
struct Counts {
    /// Combinations of points for which a condition was evaluated.
    evaluated: AtomicU64,
    /// Calls of functions, and the points that they gave.
    calls: AtomicU64,
    points: AtomicU64,
    call: Mutex<Option<OpenCall>>,
}

/// A call that goes on.
struct OpenCall {
    function: String,
    place: String,
    since: Instant,
}

impl NestProgress {
    /// Reports from now on, until what this returns is dropped.
    pub(super) fn report(&self) -> Result<Ticker> {
        let counts = self.0.clone();
        Ticker::reporting("loops", REPORT_PERIOD, move || counts.in_words())
    }

    /// A condition was evaluated for one combination of points.
    pub(super) fn evaluated(&self) {
        self.0.evaluated.fetch_add(1, Ordering::Relaxed);
    }

    /// A function is called.
    pub(super) fn calls(&self, function: &str, place: &str) {
        let (function, place) = (function.to_string(), place.trim_start().to_string());
        *self.0.call.lock() = Some(OpenCall { function, place, since: Instant::now() });
    }

    /// The function is imported.
    pub(super) fn has_imported(&self) {
        *self.0.call.lock() = None;
    }

    /// The call is over, and has given so many points.
    pub(super) fn has_called(&self, points: u64) {
        *self.0.call.lock() = None;
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        self.0.points.fetch_add(points, Ordering::Relaxed);
    }
}

impl Counts {
    /// Nothing if there is nothing to say.
    fn in_words(&self) -> Option<String> {
        let [evaluated, calls, points] =
            [&self.evaluated, &self.calls, &self.points].map(|n| n.load(Ordering::Relaxed));
        let mut said = Vec::new();
        if evaluated > 0 {
            said.push(format!(
                "conditions evaluated for {} combinations of points",
                count(evaluated)
            ));
        }
        if points > 0 {
            let (calls, points) = (count(calls), count(points));
            said.push(format!("calls of functions: {calls}, points from them: {points}"));
        }
        if let Some(OpenCall { function, place, since }) = &*self.call.lock()
            && since.elapsed() >= REPORT_PERIOD / 2
        {
            let place = if place.is_empty() { String::new() } else { format!(" ({place})") };
            let seconds = since.elapsed().as_secs();
            said.push(format!("{function}{place} has run for {seconds} s"));
        }
        (!said.is_empty()).then(|| format!("so far: {}", said.join("; ")))
    }
}
