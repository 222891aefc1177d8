//! What a master is told before it starts.

use std::time::Duration;

use crate::master::cost_model::CostModel;
use crate::master::strategy::Strategy;
use crate::model::Policy;

/// How a master gives tasks out, and to how many workers. No field depends on another one, except
/// where it says so.
#[derive(Clone, Debug)]
pub(crate) struct MasterConfig {
    /// The lowest rank that works: 0 if rank 0 does, else 1.
    pub(crate) lowest: usize,
    /// How many workers there are, the lowest rank included.
    pub(crate) workers: usize,
    /// What the job says. Its order counts only if the nest is flattened.
    pub(crate) policy: Policy,
    /// The level of a loop whose points are data sets: a worker keeps to the data set that it holds
    /// as long as there is work of it. It counts only if the nest is flattened and in grid order.
    pub(crate) data: Option<usize>,
    /// How the nest is made parallel. A strategy that does not flatten it has its own order.
    pub(crate) strategy: Strategy,
    /// How many tasks to a message; as many as their durations suggest, if it is not said.
    pub(crate) batch: Option<u64>,
    /// When nothing may be under way any more, in time since the start: what cannot be expected to be
    /// done by then is not given out.
    pub(crate) end: Option<Duration>,
    /// How long a worker may be silent before it is given up; for ever, if it is not said.
    pub(crate) lease: Option<Duration>,
    /// What tasks can be expected to take, if anything is known of it before the start.
    pub(crate) expected: Option<CostModel>,
}

impl Default for MasterConfig {
    /// One worker, rank 1, and nothing else said.
    fn default() -> MasterConfig {
        MasterConfig {
            lowest: 1,
            workers: 1,
            policy: Policy::default(),
            data: None,
            strategy: Strategy::default(),
            batch: None,
            end: None,
            lease: None,
            expected: None,
        }
    }
}
