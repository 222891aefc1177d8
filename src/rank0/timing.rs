//! Resource usage of a run: time, messages, processor time and memory.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::rank0::MessageCount;
use crate::util::usage;

static START: OnceLock<Instant> = OnceLock::new();

/// Starts the program's clock.
pub(crate) fn begin() {
    START.get_or_init(Instant::now);
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Tasks that were run in this start.
    pub(crate) tasks: u64,
    /// From the first worker's hello to the last result.
    pub(crate) crunch: Duration,
    /// From the first worker's hello until everything was in the store.
    pub(crate) stored: Duration,
    /// Total time of all calls of crunch, in seconds.
    pub(crate) crunched: f64,
    /// Messages between rank 0 and the workers.
    pub(crate) traffic: MessageCount,
    /// Processor time of the workers, in seconds, if all have reported it.
    pub(crate) workers_cpu: Option<f64>,
}

impl Timing {
    /// As JSON, with the usage of this process, rank 0, so far.
    pub(crate) fn json(&self) -> Json {
        let master = usage::cpu_seconds();
        json!({
            "tasks": self.tasks,
            "crunch_seconds": self.crunch.as_secs_f64(),
            "stored_seconds": self.stored.as_secs_f64(),
            "total_seconds": START.get().map(|start| start.elapsed().as_secs_f64()),
            "messages": self.traffic.messages,
            "bytes": self.traffic.bytes,
            "master_cpu_seconds": master,
            "all_cpu_seconds": self.workers_cpu.map(|workers| workers + master),
            "master_peak_rss_bytes": usage::peak_rss_bytes(),
        })
    }
}
