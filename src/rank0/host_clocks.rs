//! The clocks of the workers' hosts against rank 0's, so that the times of all runs are on one clock.

/// A smaller difference is not corrected: it may be the time that a hello waited for rank 0. (seconds)
const TOLERANCE: f64 = 5.0;

/// By rank, how far rank 0's clock is ahead, in seconds.
#[derive(Debug, Default)]
pub(crate) struct HostClocks(Vec<Option<f64>>);

impl HostClocks {
    /// Compares the clock that a worker's hello told with rank 0's on its arrival, both in seconds since 1970.
    /// Workers repeat the hello until it is answered; the one that waited the shortest time counts.
    pub(crate) fn compare(&mut self, rank: usize, theirs: f64, ours: f64) {
        let ahead = ours - theirs;
        if self.0.len() <= rank {
            self.0.resize(rank + 1, None);
        }
        let least = self.0[rank].get_or_insert(ahead);
        *least = least.min(ahead);
    }

    /// What to add to a time on a worker's clock, in seconds.
    pub(crate) fn correction(&self, rank: usize) -> f64 {
        let ahead = self.0.get(rank).copied().flatten();
        ahead.filter(|ahead| ahead.abs() > TOLERANCE).unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clocks_that_are_far_apart_are_corrected() {
        let mut clocks = HostClocks::default();
        clocks.compare(1, 1_000.0, 1_000.4);
        clocks.compare(2, 1_000.0, 1_020.0); // rank 0 was busy for 20 s
        clocks.compare(2, 1_019.0, 1_020.1);
        clocks.compare(3, 8_200.0, 1_000.0);
        assert_eq!((clocks.correction(1), clocks.correction(2)), (0.0, 0.0));
        assert_eq!((clocks.correction(3), clocks.correction(4)), (-7_200.0, 0.0));
    }
}
