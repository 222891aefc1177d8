//! What has to hold between two events, whatever happened. The simulations check it after each one.

use std::cell::Cell;
use std::ops::Range;

use crate::master::Master;

/// With more workers than this it is not checked after each event, so that an event costs the same.
const FEW_WORKERS: u64 = 16;

/// Each so many times the counts themselves are checked too.
const THOROUGH: u64 = 16;

thread_local! {
    /// How many events there were.
    static EVENTS: Cell<u64> = const { Cell::new(0) };
}

impl Master {
    /// Panics unless every task that is wanted is in one place: left to give, held by a worker, passed
    /// over or done.
    pub(crate) fn check(&self) {
        let event = EVENTS.replace(EVENTS.get() + 1);
        let every = (self.workers.len() as u64).div_ceil(FEW_WORKERS).max(1);
        if event.is_multiple_of(every * THOROUGH) {
            self.check_counts();
        }
        if self.stopping {
            assert_eq!(self.queue.left(), 0, "nothing is given out any more");
        } else if event.is_multiple_of(every) {
            let (left, passed) = (self.queue.left(), self.queue.passed());
            let (held, twice) = (self.workers.held(), self.stragglers.held_twice());
            assert_eq!(
                self.tally.done + left + held - twice + passed,
                self.goal(),
                "{left} left, {held} held, {twice} of them twice, {passed} passed over: {:?}",
                self.tally
            );
        }
    }

    /// Panics unless each count is what it counts, and no two workers hold a task that is not out twice.
    fn check_counts(&self) {
        assert_eq!(self.reducing.len(), self.workers.check(), "groups that workers reduce");
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
