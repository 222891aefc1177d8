//! Batch size from the mean task duration: one task per message for long tasks, thousands for tiny ones,
//! and one again towards the end, so that all workers finish together.

/// Target duration of a batch: far longer than a message takes, and too short to delay the end of the
/// job. (seconds)
const BATCH: f64 = 2e-3;

/// The most tasks per batch of one thread.
const MOST: u64 = 8192;

/// A thread gets further batches before a batch shorter than this is returned, to hide message latency.
/// (seconds)
const SHORT: f64 = 4e-3;

/// A thread gets a second batch, queued at the worker, behind a batch up to this long: without spinning,
/// receiving a message has some latency. Tasks queued behind a longer task are returned. (seconds)
const MEDIUM: f64 = 50e-3;

/// Target duration of all batches in flight, where batches cannot be made long enough. (seconds)
const AHEAD: f64 = 50e-6;

/// Approximate cost of a message. (seconds)
const MESSAGE: f64 = 1e-6;

/// The most batches that a thread holds.
const MOST_BATCHES: f64 = 32.0;

/// A batch has at most `left / (ROUNDS * threads)` tasks, so that batches shrink towards the end.
const ROUNDS: u64 = 4;

/// Number of runs that the mean is over; older runs fade.
const MEMORY: f64 = 4096.0;

#[derive(Debug)]
pub(super) struct BatchSizer {
    /// Fixed number of tasks per message.
    fixed: Option<u64>,
    seconds: f64,
    runs: f64,
}

impl BatchSizer {
    /// With `batch`, a message has that many tasks whatever their duration.
    pub(super) fn new(batch: Option<u64>) -> BatchSizer {
        BatchSizer { fixed: batch, seconds: 0.0, runs: 0.0 }
    }

    pub(super) fn is_fixed(&self) -> bool {
        self.fixed.is_some()
    }

    /// Records the total duration of some runs.
    pub(super) fn took(&mut self, runs: u64, seconds: f64) {
        self.runs += runs as f64;
        self.seconds += seconds;
        if self.runs > MEMORY {
            let fade = 0.5;
            self.runs *= fade;
            self.seconds *= fade;
        }
    }

    /// Number of tasks per batch and of batches per thread, with `left` tasks for `threads` threads.
    pub(super) fn batch(&self, left: u64, threads: u64) -> (u64, u64) {
        let share = (left / (ROUNDS * threads.max(1))).max(1);
        if self.runs == 0.0 {
            return (self.fixed.unwrap_or(1), 1);
        }
        let mean = self.seconds / self.runs;
        let batch = match self.fixed {
            Some(batch) => batch,
            None => ((BATCH / mean).min(MOST as f64) as u64).clamp(1, share),
        };
        let takes = mean * batch as f64 + MESSAGE;
        let batches = match takes {
            _ if share <= batch => 1,
            long if long > MEDIUM => 1,
            medium if medium > SHORT => 2,
            short => (AHEAD / short).clamp(2.0, MOST_BATCHES) as u64,
        };
        (batch, batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_long_where_tasks_are_short_and_shrink_to_one() {
        let mut batching = BatchSizer::new(None);
        assert_eq!(batching.batch(1_000_000, 8), (1, 1), "no observation yet");
        batching.took(8, 8e-7);
        assert_eq!(batching.batch(1_000_000_000, 8), (MOST, 2));
        assert_eq!(batching.batch(320, 8), (10, 1), "a quarter of what is left, shared by eight");
        assert_eq!(batching.batch(31, 8), (1, 1));
        let mut batching = BatchSizer::new(None);
        batching.took(100, 0.01);
        assert_eq!(batching.batch(1_000_000, 8), (20, 2), "2 ms of tasks of 0.1 ms");
        let mut batching = BatchSizer::new(None);
        batching.took(100, 1.0);
        assert_eq!(batching.batch(1_000, 8), (1, 2), "the next task is queued while one runs");
        assert_eq!(batching.batch(63, 8), (1, 1), "but not towards the end");
        let mut batching = BatchSizer::new(None);
        batching.took(2, 20.0);
        assert_eq!(batching.batch(1_000_000, 8), (1, 1), "long tasks are sent only on request");
    }

    #[test]
    fn what_was_long_ago_fades() {
        let mut batching = BatchSizer::new(None);
        batching.took(10, 100.0);
        for _ in 0..1_000 {
            batching.took(1_000, 0.001);
        }
        let (batch, _) = batching.batch(1 << 40, 8);
        assert!((1_900..=2_000).contains(&batch), "2 ms of tasks of 1 us: {batch}");
    }

    #[test]
    fn a_fixed_batch_is_what_was_said() {
        let mut batching = BatchSizer::new(Some(1));
        batching.took(1000, 1e-4);
        assert_eq!(batching.batch(1_000_000, 2).0, 1);
        assert!(batching.batch(1_000_000, 2).1 > 8, "but several batches are in flight");
    }
}
