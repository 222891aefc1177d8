//! How many tasks at a time, from how long they take: one in a message where tasks are long, thousands
//! where they are nothing, and one again towards the end, so that no worker ends with a hoard.

/// How long a batch should keep a thread busy: far longer than a message takes, and short enough that
/// it matters to nobody. (seconds)
const BATCH: f64 = 2e-3;

/// The most tasks in a batch for one thread.
const MOST: u64 = 8192;

/// A batch that is shorter than this is followed by others before it is back, so that nobody waits for
/// a message. (seconds)
const SHORT: f64 = 4e-3;

/// One up to this is followed by another one, which waits at the worker: a message takes a while to be
/// seen where nobody spins. What waits behind a task that takes longer is handed back. (seconds)
const MEDIUM: f64 = 50e-3;

/// How much work should be under way where batches are shorter still, and may not be longer. (seconds)
const AHEAD: f64 = 50e-6;

/// About what a message costs. (seconds)
const MESSAGE: f64 = 1e-6;

/// The most batches that a thread holds.
const MOST_BATCHES: f64 = 32.0;

/// How many tasks each thread gets at least a share of in every round: the last ones are short.
const ROUNDS: u64 = 4;

/// How many runs the mean is over: older ones fade.
const MEMORY: f64 = 4096.0;

#[derive(Debug)]
pub(super) struct BatchSizer {
    /// How many tasks to a message, if that is said.
    fixed: Option<u64>,
    seconds: f64,
    runs: f64,
}

impl BatchSizer {
    /// With `batch`, so many tasks to a message, whatever they take.
    pub(super) fn new(batch: Option<u64>) -> BatchSizer {
        BatchSizer { fixed: batch, seconds: 0.0, runs: 0.0 }
    }

    pub(super) fn is_fixed(&self) -> bool {
        self.fixed.is_some()
    }

    /// So many runs took so many seconds together.
    pub(super) fn took(&mut self, runs: u64, seconds: f64) {
        self.runs += runs as f64;
        self.seconds += seconds;
        if self.runs > MEMORY {
            let fade = 0.5;
            self.runs *= fade;
            self.seconds *= fade;
        }
    }

    /// How many tasks a batch for one of `threads` threads has, and how many of them it holds, with
    /// so many left to give.
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
        assert_eq!(batching.batch(1_000_000, 8), (1, 1), "nothing is known yet");
        batching.took(8, 8e-7);
        assert_eq!(batching.batch(1_000_000_000, 8), (MOST, 2));
        assert_eq!(batching.batch(320, 8), (10, 1), "a quarter of what is left, shared by eight");
        assert_eq!(batching.batch(31, 8), (1, 1));
        let mut batching = BatchSizer::new(None);
        batching.took(100, 0.01);
        assert_eq!(batching.batch(1_000_000, 8), (20, 2), "2 ms of tasks of 0.1 ms");
        let mut batching = BatchSizer::new(None);
        batching.took(100, 1.0);
        assert_eq!(batching.batch(1_000, 8), (1, 2), "while one is done the next one is there");
        assert_eq!(batching.batch(63, 8), (1, 1), "but not towards the end");
        let mut batching = BatchSizer::new(None);
        batching.took(2, 20.0);
        assert_eq!(batching.batch(1_000_000, 8), (1, 1), "long ones are given when asked for");
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
        assert!(batching.batch(1_000_000, 2).1 > 8, "but several are under way");
    }
}
