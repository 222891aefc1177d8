//! The configuration of a master.

use std::time::Duration;

use crate::master::cost_model::CostModel;
use crate::master::strategy::Strategy;
use crate::model::Policy;

/// How a master assigns tasks, and to how many workers. Fields are independent unless stated.
#[derive(Clone, Debug)]
pub(crate) struct MasterConfig {
    /// The rank of the first worker: 0 if rank 0 has local threads, else 1.
    pub(crate) lowest: usize,
    /// Number of workers.
    pub(crate) workers: usize,
    /// The job's policy. Its order applies only if the nest is flattened.
    pub(crate) policy: Policy,
    /// Whether a program has set that, and no job file: words for people name methods then, and no keys.
    pub(crate) in_code: bool,
    /// The level of a loop whose points are data sets: a worker stays on its data set as long as that has
    /// tasks left. Applies only if the nest is flattened and in grid order.
    pub(crate) data: Option<usize>,
    /// How the nest is parallelised. A strategy that does not flatten it has its own order.
    pub(crate) strategy: Strategy,
    /// Number of tasks per message; chosen from task durations if `None`.
    pub(crate) batch: Option<u64>,
    /// When all tasks must have ended, in time since the start. Tasks expected to end later are not
    /// assigned.
    pub(crate) end: Option<Duration>,
    /// How long a worker may be silent before it is given up; unlimited if `None`.
    pub(crate) lease: Option<Duration>,
    /// Whether failures of a worker without any success may be its own, because workers are processes that
    /// may be on several hosts. Applies only if the nest is flattened.
    pub(crate) suspects: bool,
    /// How often a failed final call is tried again, if each row has one.
    pub(crate) finals: Option<u32>,
    /// Expected task durations from earlier starts.
    pub(crate) expected: Option<CostModel>,
}

impl Default for MasterConfig {
    /// One worker, rank 1, and default values.
    fn default() -> MasterConfig {
        MasterConfig {
            lowest: 1,
            workers: 1,
            policy: Policy::default(),
            in_code: false,
            data: None,
            strategy: Strategy::default(),
            batch: None,
            end: None,
            lease: None,
            suspects: false,
            finals: None,
            expected: None,
        }
    }
}
