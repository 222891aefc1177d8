//! The places of a worker's threads. If tasks need anything of their host, rank 0 divides that, and tells each worker
//! its share.

use crate::executor::{Granted, Slot};
use crate::job::Job;
use crate::model::{HostShare, SeenResources};
use crate::platform::{allowed, devices};
use crate::util::error::Result;
use crate::worker::connection::Connection;
use crate::worker::{WorkerConfig, isolated_main};

/// A place for each thread.
pub(super) struct ThreadPlaces {
    slots: Vec<Slot>,
    /// The CPUs that the worker is held to; none if it stays as it was started.
    cpus: Vec<u32>,
}

impl ThreadPlaces {
    pub(super) fn threads(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The place of a thread, which calls this when it begins.
    pub(super) fn enter(&self, thread: u32) -> Slot {
        allowed::hold_to(&self.cpus);
        self.slots[thread as usize]
    }
}

/// The places of a worker's threads; nothing if it has nothing to do, and is dismissed.
pub(super) fn places(
    connection: &Connection,
    config: WorkerConfig,
    job: &Job,
) -> Result<Option<ThreadPlaces>> {
    let slots = |threads: u32| (0..threads).map(|thread| config.slot(connection.rank(), thread));
    let needs = job.policy.needs;
    if !needs.is_any() {
        return Ok(Some(ThreadPlaces { slots: slots(config.threads).collect(), cpus: Vec::new() }));
    }
    if isolated_main::is_isolated() {
        // The process that has started it has told it everything.
        let granted = Some(Granted::of_parent(needs.cores.is_some()).kept());
        let slots = slots(config.threads).map(|slot| Slot { granted, ..slot }).collect();
        return Ok(Some(ThreadPlaces { slots, cpus: Vec::new() }));
    }
    let seen = seen();
    let Some(share) = connection.request_share(seen.clone())? else {
        connection.ready()?; // it holds nothing, and is dismissed
        return connection.await_dismissal().map(|()| None);
    };
    if share.tasks.is_empty() {
        return connection.await_dismissal().map(|()| None);
    }
    let HostShare { tasks, cores } = share;
    let name = |at: &u32| seen.devices.get(*at as usize).map(|device| device.name.clone());
    let all = slots(tasks.len() as u32).zip(&tasks).map(|(slot, task)| {
        let granted = Granted {
            devices: task.devices.iter().filter_map(name).collect(),
            vendor: needs.gpus.map(|_| seen.vendor),
            has_cores: needs.cores.is_some(),
            memory: needs.memory,
        };
        Slot { cores: cores.max(1) as usize, granted: Some(granted.kept()), ..slot }
    });
    let slots = all.collect();
    let held = tasks.iter().flat_map(|task| &task.cpus).copied();
    let cpus = if seen.owns_cpus { held.collect() } else { Vec::new() };
    Ok(Some(ThreadPlaces { slots, cpus }))
}

/// What this process sees of its host.
fn seen() -> SeenResources {
    let devices::VisibleDevices { devices, vendor, source } = devices::visible();
    let allowed::AllowedCpus { cpus, are_own } = allowed::cpus();
    let memory = allowed::memory();
    SeenResources { devices, vendor, source, cpus, owns_cpus: are_own, memory }
}
