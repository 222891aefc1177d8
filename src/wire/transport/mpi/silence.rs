//! How long to sleep between two polls, by how long nothing but heartbeats has come. Pure.

use std::time::Duration;

/// Each sleep is the silence so far divided by this, so that polling adds little to the latency of a message
/// compared with the time waited for it.
const SHARE: u32 = 16;
/// The longest sleep between two polls, of rank 0 and of a worker: the most latency that polling adds in a job
/// of short tasks. An assignment to an idle worker waits for both: rank 0 has to receive the request or result,
/// and the worker the assignment. Workers mostly crunch while no message arrives; rank 0 has nothing else to do.
const LONGEST_SLEEP: [Duration; 2] = [Duration::from_micros(750), Duration::from_micros(400)];
/// After a long silence sleeps grow on, so that a rank without work takes next to nothing of its core. They reach
/// the last length after about a minute.
const LONG_SHARE: u32 = 15_000;
const LAST_SLEEP: Duration = Duration::from_millis(4);

/// The next sleep of a rank after this silence.
pub(super) fn sleep(rank: usize, silence: Duration) -> Duration {
    let longest = (silence / LONG_SHARE).clamp(longest(rank), LAST_SLEEP);
    (silence / SHARE).min(longest)
}

/// The longest sleep of a rank in a job of short tasks.
pub(super) fn longest(rank: usize) -> Duration {
    LONGEST_SLEEP[rank.min(1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a rank polls from one silence to another one.
    fn polls(rank: usize, from: Duration, to: Duration) -> usize {
        let (mut silence, mut polls) = (from, 0);
        while silence < to {
            silence += sleep(rank, silence);
            polls += 1;
        }
        polls
    }

    #[test]
    fn a_rank_sleeps_longer_the_longer_it_waits_and_never_long() {
        let seconds = Duration::from_secs;
        for rank in [0, 1, 128] {
            // While tasks are short, a message waits for no longer than before.
            assert!(sleep(rank, seconds(5)) <= Duration::from_micros(750));
            assert!(
                polls(rank, seconds(3), seconds(4)) > 1000,
                "no message of the next second waits"
            );
            // A poll takes some 5 us: 250 in a second are 0.1% of a core.
            assert!(polls(rank, seconds(61), seconds(71)) <= 2500, "{rank}");
            assert!(
                polls(rank, seconds(86_400), seconds(86_410)) >= 2500,
                "{rank}: it wakes in 5 ms"
            );
        }
        assert!(sleep(0, Duration::from_millis(1)) < Duration::from_micros(100));
    }
}
