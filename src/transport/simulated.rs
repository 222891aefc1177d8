//! Workers in virtual time: rank 0's real loop and the real master run against thousands of
//! simulated workers in one thread, with delays drawn from a seed. A run of hours takes
//! milliseconds, and the same seed repeats it exactly.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Hub;
use crate::error::Result;
use crate::message::{self, Outcome, Scored, ToMaster, ToWorker};

/// What a simulated crunch gives for a task: how long it takes, and its result.
pub(crate) type Crunch<'a> = Box<dyn FnMut(u64) -> (Duration, Result<Scored, String>) + 'a>;

/// A message on its way to rank 0: when it arrives, in what order it was sent, from whom, what.
type Coming = (Duration, u64, usize, Vec<u8>);

/// Rank 0's end of a simulated world.
pub(crate) struct SimulatedHub<'a> {
    now: Duration,
    crunch: Crunch<'a>,
    rng: ChaCha8Rng,
    longest_delay: Duration,
    coming: BinaryHeap<Reverse<Coming>>,
    sent: u64,
    workers: usize,
    dismissed: usize,
    /// How many workers may still break, one in how many answers.
    breaking: (usize, u32),
    broken: usize,
}

impl<'a> SimulatedHub<'a> {
    /// A world of `workers` workers that crunch as told. Each message takes between nothing and
    /// `longest_delay`, drawn from `seed`.
    pub(crate) fn new(
        workers: usize,
        seed: u64,
        longest_delay: Duration,
        crunch: Crunch<'a>,
    ) -> Self {
        let mut hub = SimulatedHub {
            now: Duration::ZERO,
            crunch,
            rng: ChaCha8Rng::seed_from_u64(seed),
            longest_delay,
            coming: BinaryHeap::new(),
            sent: 0,
            workers,
            dismissed: 0,
            breaking: (0, 1),
            broken: 0,
        };
        for rank in 1..=workers {
            let host = format!("host{}", rank % 16);
            hub.answer(rank, Duration::ZERO, &ToMaster::Hello { host });
        }
        hub
    }

    /// Lets up to `most` workers break down over what they are given, one in `odds` times.
    pub(crate) fn with_breakdowns(mut self, most: usize, odds: u32) -> Self {
        self.breaking = (most, odds);
        self
    }

    /// How many workers have broken down.
    pub(crate) fn broken(&self) -> usize {
        self.broken
    }

    /// How many workers were told to leave.
    pub(crate) fn dismissed(&self) -> usize {
        self.dismissed
    }

    fn delay(&mut self) -> Duration {
        self.longest_delay.mul_f64(self.rng.random::<f64>())
    }

    fn answer(&mut self, rank: usize, after: Duration, message: &ToMaster) {
        let arrives = self.now + after + self.delay();
        self.sent += 1;
        self.coming.push(Reverse((arrives, self.sent, rank, message::encode(message))));
    }
}

impl Hub for SimulatedHub<'_> {
    fn workers(&self) -> usize {
        self.workers
    }

    fn now(&self) -> Duration {
        self.now
    }

    fn receive(&mut self, wait: Duration) -> Result<Option<(usize, Bytes)>> {
        let until = self.now + wait;
        if self.coming.peek().is_none_or(|Reverse((arrives, ..))| *arrives > until) {
            self.now = until;
            return Ok(None);
        }
        let Some(Reverse((arrives, _, rank, bytes))) = self.coming.pop() else { return Ok(None) };
        self.now = self.now.max(arrives);
        Ok(Some((rank, bytes.into())))
    }

    fn send(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        let message = message::decode::<ToWorker>(&bytes)?;
        let is_work = matches!(message, ToWorker::Assign(_) | ToWorker::Reduce { .. });
        let (most, odds) = self.breaking;
        if is_work && self.broken < most && self.rng.random_ratio(1, odds) {
            self.broken += 1;
            let after = self.delay();
            self.answer(rank, after, &ToMaster::Broken("it broke".to_string()));
            return Ok(());
        }
        match message {
            ToWorker::Job(_) => self.answer(rank, Duration::ZERO, &ToMaster::Done(Vec::new())),
            ToWorker::Assign(assignment) => {
                let mut busy = self.delay();
                let mut outcomes = Vec::new();
                for task in assignment.first..assignment.first + assignment.count {
                    let (takes, result) = (self.crunch)(task);
                    let started = (self.now + busy).as_secs_f64();
                    busy += takes;
                    let (attempt, seconds) = (assignment.attempt, takes.as_secs_f64());
                    outcomes.push(Outcome { task, attempt, started, seconds, result });
                }
                self.answer(rank, busy, &ToMaster::Done(outcomes));
            }
            ToWorker::Reduce { key, items } => {
                let busy = self.delay();
                let sum = items.iter().filter_map(|item| item.result.as_ref()?.score).sum();
                self.answer(
                    rank,
                    busy,
                    &ToMaster::Reduced { key, result: Ok(Scored::number(sum)) },
                );
            }
            ToWorker::Cancel => {}
            ToWorker::Reply { reply, .. } => panic!("a simulated worker asked nothing: {reply:?}"),
            ToWorker::Dismiss => self.dismissed += 1,
        }
        Ok(())
    }
}
