//! Divides what a host has among the workers on it. Pure, so that the same reports always give the same shares.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::needs::{DeviceUse, Needs};
use crate::model::share::{Device, HostShare, SeenResources, TaskShare};

/// A worker of a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostWorker<'a> {
    /// How many tasks it may run at a time.
    pub(crate) threads: u32,
    pub(crate) seen: &'a SeenResources,
    /// The share that it has been given before: it stays, and counts as used.
    pub(crate) share: Option<&'a HostShare>,
}

/// The shares of the workers of one host, which come in the order of their ranks.
///
/// Workers take turns: in each round, each of them gets what one task needs, as long as it has a free thread and
/// sees enough that no other has. A device that few see goes to those that see it, so what one worker sees alone is
/// that worker's. Where several may share a device, whole ones go first. How many tasks each worker runs is settled
/// by these rounds; then the first worker gets the first devices and CPUs, and so on, if that works out.
pub(crate) fn divide(needs: &Needs, workers: &[HostWorker]) -> Vec<HostShare> {
    let mut pool = HostPool::new(*needs, workers);
    let mut shares: Vec<Vec<TaskShare>> = vec![Vec::new(); workers.len()];
    let mut went_on = true;
    while std::mem::take(&mut went_on) {
        for (worker, share) in workers.iter().zip(&mut shares) {
            let has_thread = worker.share.is_none() && (share.len() as u64) < worker.threads.into();
            if let Some(task) = has_thread.then(|| pool.take(worker.seen)).flatten() {
                share.push(task);
                went_on = true;
            }
        }
    }
    let shares = in_order(*needs, workers, &shares).unwrap_or(shares);
    let cores: Vec<u32> = (0..workers.len()).map(|at| cores_each(workers, &shares, at)).collect();
    let all = workers.iter().zip(shares).zip(cores);
    all.map(|((worker, tasks), cores)| match worker.share {
        Some(share) => share.clone(),
        None => HostShare { tasks, cores: needs.cores.unwrap_or(cores) },
    })
    .collect()
}

/// As many tasks for each worker as in `shares`, but all of one worker before those of the next.
fn in_order<'a>(
    needs: Needs,
    workers: &[HostWorker<'a>],
    shares: &[Vec<TaskShare>],
) -> Option<Vec<Vec<TaskShare>>> {
    let mut pool = HostPool::new(needs, workers);
    let of_worker = |(worker, share): (&HostWorker<'a>, &Vec<TaskShare>)| {
        share.iter().map(|_| pool.take(worker.seen)).collect()
    };
    workers.iter().zip(shares).map(of_worker).collect()
}

/// How many cores a task of this worker may use if the job does not say: those that the worker sees, divided by all
/// tasks that run on them.
fn cores_each(workers: &[HostWorker], shares: &[Vec<TaskShare>], at: usize) -> u32 {
    let own: BTreeSet<u32> = workers[at].seen.cpus.iter().copied().collect();
    let overlaps = |worker: &HostWorker| worker.seen.cpus.iter().any(|cpu| own.contains(cpu));
    let tasks = |(worker, share): (&HostWorker, &Vec<TaskShare>)| {
        worker.share.map_or(share.len(), |share| share.tasks.len())
    };
    let beside = workers.iter().zip(shares).filter(|(worker, _)| overlaps(worker));
    let all: usize = beside.map(tasks).sum();
    (own.len() / all.max(1)).max(1) as u32
}

/// What nobody has been given yet.
struct HostPool<'a> {
    needs: Needs,
    /// Per device, how many workers see it, and how many tasks use it.
    devices: BTreeMap<&'a str, (u32, u32)>,
    /// Per CPU, how many workers see it, until it is taken.
    cpus: BTreeMap<u32, u32>,
    memory: Option<u64>,
}

impl<'a> HostPool<'a> {
    fn new(needs: Needs, workers: &[HostWorker<'a>]) -> HostPool<'a> {
        let (mut devices, mut cpus) = (BTreeMap::new(), BTreeMap::new());
        for worker in workers {
            for device in &worker.seen.devices {
                devices.entry(device.id.as_str()).or_insert((0, 0)).0 += 1;
            }
            worker.seen.cpus.iter().for_each(|cpu| *cpus.entry(*cpu).or_insert(0) += 1);
        }
        let mut memory = workers.iter().filter_map(|worker| worker.seen.memory).min();
        for worker in workers {
            for task in worker.share.iter().flat_map(|share| &share.tasks) {
                for at in &task.devices {
                    let id = worker.seen.devices.get(*at as usize).map(|device| device.id.as_str());
                    if let Some((_, used)) = id.and_then(|id| devices.get_mut(id)) {
                        *used += 1;
                    }
                }
                cpus.retain(|cpu, _| !task.cpus.contains(cpu));
                let needed = needs.memory.unwrap_or(0);
                memory = memory.map(|memory| memory.saturating_sub(needed));
            }
        }
        HostPool { needs, devices, cpus, memory }
    }

    /// Takes what one task needs from what a worker sees, if there is enough.
    fn take(&mut self, seen: &'a SeenResources) -> Option<TaskShare> {
        let memory = self.needs.memory.unwrap_or(0);
        if self.memory.is_some_and(|left| left < memory) {
            return None;
        }
        let devices = self.free_devices(seen)?;
        let cpus = self.free_cpus(seen)?;
        for at in &devices {
            self.devices.get_mut(seen.devices[*at as usize].id.as_str())?.1 += 1;
        }
        self.cpus.retain(|cpu, _| !cpus.contains(cpu));
        self.memory = self.memory.map(|left| left - memory);
        Some(TaskShare { devices, cpus })
    }

    fn free_devices(&self, seen: &SeenResources) -> Option<Vec<u32>> {
        let (count, most) = match self.needs.device_use() {
            None => return Some(Vec::new()),
            Some(DeviceUse::Whole(count)) => (count as usize, 1),
            Some(DeviceUse::Shared(most)) => (1, most),
        };
        let state = |(at, device): (usize, &Device)| {
            let (seen_by, used) = *self.devices.get(device.id.as_str())?;
            (used < most).then_some((used, seen_by, at as u32))
        };
        let mut free: Vec<_> = seen.devices.iter().enumerate().filter_map(state).collect();
        free.sort_unstable();
        let mut taken: Vec<u32> = free.get(..count)?.iter().map(|(_, _, at)| *at).collect();
        taken.sort_unstable();
        Some(taken)
    }

    fn free_cpus(&self, seen: &SeenResources) -> Option<Vec<u32>> {
        let Some(count) = self.needs.cores else { return Some(Vec::new()) };
        let state = |cpu: &u32| Some((*self.cpus.get(cpu)?, *cpu));
        let mut free: Vec<_> = seen.cpus.iter().filter_map(state).collect();
        free.sort_unstable();
        Some(free.get(..count as usize)?.iter().map(|(_, cpu)| *cpu).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sees(devices: &[u32], cpus: std::ops::Range<u32>) -> SeenResources {
        let device = |number: &u32| Device { id: number.to_string(), name: number.to_string() };
        let (devices, cpus) = (devices.iter().map(device).collect(), cpus.collect());
        SeenResources { devices, cpus, memory: Some(64 << 30), ..SeenResources::default() }
    }

    fn needs(gpus: f64) -> Needs {
        Needs { gpus: Some(gpus), ..Needs::default() }
    }

    /// The devices of each worker's tasks, by identity.
    fn devices(needs: &Needs, threads: u32, seen: &[SeenResources]) -> Vec<Vec<Vec<String>>> {
        let workers = workers(threads, seen);
        let shares = divide(needs, &workers);
        let id = |seen: &SeenResources, at: u32| seen.devices[at as usize].id.clone();
        let tasks = |(share, seen): (&HostShare, &SeenResources)| {
            let task = |task: &TaskShare| task.devices.iter().map(|at| id(seen, *at)).collect();
            share.tasks.iter().map(task).collect()
        };
        shares.iter().zip(seen).map(tasks).collect()
    }

    fn workers(threads: u32, seen: &[SeenResources]) -> Vec<HostWorker<'_>> {
        seen.iter().map(|seen| HostWorker { threads, seen, share: None }).collect()
    }

    #[test]
    fn devices_that_all_see_are_divided_in_order() {
        let all = [sees(&[0, 1, 2, 3], 0..8), sees(&[0, 1, 2, 3], 0..8)];
        assert_eq!(devices(&needs(1.0), 1, &all), [[["0"]], [["1"]]]);
        assert_eq!(devices(&needs(1.0), 8, &all), [[["0"], ["1"]], [["2"], ["3"]]]);
        assert_eq!(devices(&needs(2.0), 8, &all), [[["0", "1"]], [["2", "3"]]]);
        assert_eq!(devices(&needs(3.0), 8, &all), [vec![vec!["0", "1", "2"]], vec![]]);
        assert_eq!(devices(&needs(5.0), 8, &all), [[[""; 0]; 0]; 2]);
    }

    #[test]
    fn whole_devices_go_before_halves() {
        let two = [sees(&[0, 1], 0..8), sees(&[0, 1], 0..8)];
        assert_eq!(devices(&needs(0.5), 1, &two), [[["0"]], [["1"]]]);
        assert_eq!(devices(&needs(0.5), 9, &two), [[["0"], ["1"]], [["0"], ["1"]]]);
        let three = [sees(&[7], 0..8), sees(&[7], 0..8), sees(&[7], 0..8)];
        assert_eq!(devices(&needs(0.5), 1, &three), [vec![vec!["7"]], vec![vec!["7"]], vec![]]);
    }

    #[test]
    fn what_one_worker_sees_alone_is_its_own() {
        let bound = [sees(&[1], 0..4), sees(&[0], 4..8)];
        assert_eq!(devices(&needs(1.0), 4, &bound), [[["1"]], [["0"]]]);
        // The first takes what the second cannot.
        let mixed = [sees(&[0, 1], 0..8), sees(&[0], 0..8)];
        assert_eq!(devices(&needs(1.0), 1, &mixed), [[["1"]], [["0"]]]);
    }

    #[test]
    fn cores_and_memory_limit_the_tasks() {
        let seen = [sees(&[], 0..8), sees(&[], 0..8), sees(&[], 0..8)];
        let count = |needs: Needs, threads| -> Vec<usize> {
            let shares = divide(&needs, &workers(threads, &seen));
            shares.iter().map(|share| share.tasks.len()).collect()
        };
        let of_cores = |cores| Needs { cores: Some(cores), ..Needs::default() };
        assert_eq!(count(of_cores(2), 9), [2, 1, 1]);
        assert_eq!(count(of_cores(4), 1), [1, 1, 0]);
        assert_eq!(count(of_cores(9), 1), [0, 0, 0]);
        let memory = Needs { memory: Some(20 << 30), ..Needs::default() };
        assert_eq!(count(memory, 4), [1, 1, 1]);
        let shares = divide(&of_cores(2), &workers(9, &seen));
        let cpus = |at: usize| shares[at].tasks.iter().flat_map(|task| task.cpus.clone());
        assert_eq!(cpus(0).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(cpus(2).collect::<Vec<_>>(), [6, 7]);
        // Without a word on cores, those that are there are divided by the tasks.
        let shares = divide(&memory, &workers(1, &seen));
        assert!(shares.iter().all(|share| share.cores == 2));
    }

    #[test]
    fn a_late_worker_gets_what_is_left() {
        let seen = [sees(&[0, 1], 0..8), sees(&[0, 1], 0..8)];
        let first = divide(&needs(1.0), &workers(1, &seen[..1]));
        let of = |at: usize, share| HostWorker { threads: 4, seen: &seen[at], share };
        let both = divide(&needs(1.0), &[of(0, Some(&first[0])), of(1, None)]);
        assert_eq!(both[0], first[0]);
        assert_eq!(both[1].tasks.len(), 1);
        assert_eq!(both[1].tasks[0].devices, [1]);
    }

    prop_compose! {
        fn hosts()(seen in prop::collection::vec(
            (prop::collection::btree_set(0u32..6, 0..6), 0u32..4, 1u32..9), 1..7
        )) -> Vec<SeenResources> {
            seen.into_iter().map(|(devices, from, cpus)| {
                sees(&devices.into_iter().collect::<Vec<_>>(), from..from + cpus)
            }).collect()
        }
    }

    proptest! {
        #[test]
        fn nothing_is_given_twice_and_nothing_is_left(
            seen in hosts(), threads in 1u32..5,
            gpus in prop::option::of(prop::sample::select(vec![0.25, 0.5, 1.0, 2.0])),
            cores in prop::option::of(1u32..4),
            memory in prop::option::of(1u64..40),
        ) {
            let needs = Needs { gpus, cores, memory: memory.map(|gib| gib << 30) };
            let workers = workers(threads, &seen);
            let shares = divide(&needs, &workers);
            let (mut used, mut cpus, mut tasks) = (BTreeMap::new(), BTreeSet::new(), 0);
            for (share, seen) in shares.iter().zip(&seen) {
                prop_assert!(share.tasks.len() <= threads as usize);
                for task in &share.tasks {
                    tasks += 1;
                    for at in &task.devices {
                        *used.entry(&seen.devices[*at as usize].id).or_insert(0) += 1;
                    }
                    prop_assert_eq!(task.cpus.len() as u32, cores.unwrap_or(0));
                    for cpu in &task.cpus {
                        prop_assert!(seen.cpus.contains(cpu) && cpus.insert(*cpu));
                    }
                }
            }
            let most = match needs.device_use() {
                Some(DeviceUse::Shared(most)) => most,
                _ => 1,
            };
            prop_assert!(used.values().all(|used| *used <= most));
            prop_assert!(tasks * needs.memory.unwrap_or(0) <= 64 << 30);
            // Whoever has a thread to spare finds too little for another task.
            let mut after = workers.clone();
            for (worker, share) in after.iter_mut().zip(&shares) {
                worker.share = Some(share);
            }
            for (share, seen) in shares.iter().zip(&seen) {
                if share.tasks.len() < threads as usize {
                    prop_assert_eq!(HostPool::new(needs, &after).take(seen), None);
                }
            }
        }
    }
}
