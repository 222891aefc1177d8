//! The master's invariants, which simulations check after each event.

use std::cell::Cell;
use std::ops::Range;

use crate::master::Master;

/// With more workers than this, only some events are checked, to keep the cost per event constant.
const FEW_WORKERS: u64 = 16;

/// Counters are verified on every n-th check.
const THOROUGH: u64 = 16;

thread_local! {
    static EVENTS: Cell<u64> = const { Cell::new(0) };
}

impl Master {
    /// Panics unless every wanted task is in exactly one place: queued, held by a worker, skipped or done.
    pub(crate) fn check(&self) {
        let event = EVENTS.replace(EVENTS.get() + 1);
        let every = (self.workers.len() as u64).div_ceil(FEW_WORKERS).max(1);
        if event.is_multiple_of(every * THOROUGH) {
            self.check_counts();
        }
        if self.stopping {
            assert_eq!(self.queue.left(), 0, "nothing is assigned while stopping");
        } else if event.is_multiple_of(every) {
            let (left, passed) = (self.queue.left(), self.queue.passed());
            let (held, twice) = (self.workers.held(), self.stragglers.held_twice());
            let unasked = match &self.early {
                Some(early) if self.wanted.is_none() => early.unasked(),
                _ => 0,
            };
            assert_eq!(
                self.tally.done + left + held - twice + passed + unasked,
                self.goal(),
                "{left} left, {held} held, {twice} of them twice, {passed} skipped: {:?}",
                self.tally
            );
        }
    }

    /// Panics unless all counters are right and no two workers hold a task that was not duplicated.
    fn check_counts(&self) {
        let (reductions, finals) = self.workers.check();
        assert_eq!(self.reducing.len(), reductions, "groups that workers reduce");
        assert_eq!(self.finals.held(), finals, "final calls that workers make");
        if self.stopping {
            return;
        }
        self.queue.check();
        let mut ranges: Vec<Range<u64>> = self.workers.ranges().collect();
        ranges.sort_unstable_by_key(|range| range.start);
        let shared = ranges.windows(2).map(|two| two[0].end.saturating_sub(two[1].start));
        assert!(shared.sum::<u64>() <= self.stragglers.held_twice(), "{ranges:?}");
    }
}
