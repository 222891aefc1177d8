//! Divides what hosts have among their workers, if tasks need anything of them: once, when all workers have said what
//! they see or are lost. Nothing is handed out before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::{HostShare, HostWorker, Needs, SeenResources, divide, size_text};
use crate::util::text::{number_list, things};

/// The most hosts that a line of the log names.
const MOST_NAMED: usize = 8;

/// What the workers have said, and what each is given.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    /// What a task needs; nothing is asked of any worker without.
    needs: Needs,
    workers: BTreeMap<usize, KnownWorker>,
    /// Those that have not said what they see, and are not lost.
    awaited: BTreeSet<usize>,
    is_divided: bool,
    /// Shares that are to be sent.
    due: VecDeque<(usize, HostShare)>,
    refused: Option<String>,
}

#[derive(Debug)]
struct KnownWorker {
    host: String,
    threads: u32,
    seen: Option<SeenResources>,
    share: Option<HostShare>,
}

impl Resources {
    pub(crate) fn new(needs: Needs, workers: impl Iterator<Item = usize>) -> Resources {
        let awaited = if needs.is_any() { workers.collect() } else { BTreeSet::new() };
        Resources { needs, awaited, ..Resources::default() }
    }

    /// A worker has said hello.
    pub(crate) fn joined(&mut self, rank: usize, host: &str, threads: u32) {
        if self.needs.is_any() {
            let new = || KnownWorker { host: host.to_string(), threads, seen: None, share: None };
            self.workers.entry(rank).or_insert_with(new);
        }
    }

    /// A worker has said what it sees.
    pub(crate) fn seen(&mut self, rank: usize, seen: SeenResources) {
        let Some(worker) = self.workers.get_mut(&rank) else { return };
        if let Some(share) = &worker.share {
            self.due.push_back((rank, share.clone())); // it has not got it yet
            return;
        }
        worker.seen = Some(seen);
        self.awaited.remove(&rank);
        match self.is_divided {
            true => self.divide_late(rank),
            false => self.divide_all(),
        }
    }

    /// A worker is lost, or cannot work.
    #[inline]
    pub(crate) fn lost(&mut self, rank: usize) {
        if self.awaited.remove(&rank) {
            self.divide_all();
        }
    }

    /// The next share to send.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(usize, HostShare)> {
        self.due.pop_front()
    }

    /// Why the job cannot run on a host; told once.
    #[inline]
    pub(crate) fn refusal(&mut self) -> Option<String> {
        self.refused.take()
    }

    fn divide_all(&mut self) {
        if self.is_divided || !self.awaited.is_empty() {
            return;
        }
        self.is_divided = true;
        let mut hosts: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (rank, worker) in &self.workers {
            if worker.seen.is_some() {
                hosts.entry(worker.host.clone()).or_default().push(*rank);
            }
        }
        let (mut poor, mut tasks) = (Vec::new(), Vec::new());
        let mut idle: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (host, ranks) in &hosts {
            let shares = self.shares(ranks);
            let of_host: usize = shares.iter().map(|share| share.tasks.len()).sum();
            if of_host == 0 {
                poor.push(self.too_little(host, ranks));
            }
            tasks.push((host, of_host));
            for (rank, share) in ranks.iter().zip(shares) {
                if share.tasks.is_empty() {
                    idle.entry(host).or_default().push(*rank);
                }
                self.give(*rank, share);
            }
        }
        if !poor.is_empty() {
            let more = more_hosts(poor.len());
            poor.truncate(MOST_NAMED);
            let (needs, poor) = (self.needs.in_words(), poor.join("; "));
            let why = "a task needs more than any worker of a host has";
            self.refused = Some(format!("{why}: {needs} in [crunch], but {poor}{more}"));
            return;
        }
        self.tell(&tasks, &idle);
    }

    /// A worker that was thought lost, or late, is given what is left of its host.
    fn divide_late(&mut self, rank: usize) {
        let host = &self.workers[&rank].host;
        let beside = |(other, worker): (&usize, &KnownWorker)| {
            let counts = worker.share.is_some() || *other == rank;
            (worker.host == *host && counts).then_some(*other)
        };
        let ranks: Vec<usize> = self.workers.iter().filter_map(beside).collect();
        let shares = self.shares(&ranks);
        let share = ranks.iter().zip(shares).find(|(other, _)| **other == rank);
        let share = share.map(|(_, share)| share).unwrap_or_default();
        if share.tasks.is_empty() {
            log::warn!(
                "rank {rank} on {host} comes late and stays idle: what is left there is not enough for a task ({})",
                self.needs.in_words()
            );
        }
        self.give(rank, share);
    }

    fn give(&mut self, rank: usize, share: HostShare) {
        if let Some(worker) = self.workers.get_mut(&rank) {
            worker.share = Some(share.clone());
            self.due.push_back((rank, share));
        }
    }

    /// The shares of the workers of a host; those that have theirs keep it.
    fn shares(&self, ranks: &[usize]) -> Vec<HostShare> {
        let worker = |rank: &usize| {
            let KnownWorker { threads, seen, share, .. } = &self.workers[rank];
            let seen = seen.as_ref()?;
            Some(HostWorker { threads: *threads, seen, share: share.as_ref() })
        };
        let workers: Vec<HostWorker> = ranks.iter().filter_map(worker).collect();
        divide(&self.needs, &workers)
    }

    /// What the workers of a host see, where that is too little: those that see the same together.
    fn too_little(&self, host: &str, ranks: &[usize]) -> String {
        let mut alike: Vec<(String, Vec<usize>)> = Vec::new();
        for rank in ranks {
            let Some(seen) = &self.workers[rank].seen else { continue };
            let words = self.seen_in_words(seen);
            match alike.iter_mut().find(|(known, _)| *known == words) {
                Some((_, ranks)) => ranks.push(*rank),
                None => alike.push((words, vec![*rank])),
            }
        }
        let each = alike.iter().map(|(words, ranks)| {
            let numbers = number_list(ranks);
            match ranks.len() {
                1 => format!("rank {numbers} sees {words}"),
                _ => format!("ranks {numbers} see {words}"),
            }
        });
        format!("on {host} {}", each.collect::<Vec<_>>().join(", "))
    }

    /// What a worker sees of what tasks need.
    fn seen_in_words(&self, seen: &SeenResources) -> String {
        let Needs { gpus, cores, memory } = self.needs;
        let source = &seen.source;
        let gpus = gpus.map(|_| {
            let count = seen.devices.len() as u64;
            format!("{} ({source})", things(count, "GPU"))
        });
        let cores = cores.map(|_| things(seen.cpus.len() as u64, "core"));
        let memory = memory.and(seen.memory).map(|bytes| format!("{} of memory", size_text(bytes)));
        gpus.into_iter().chain(cores).chain(memory).collect::<Vec<_>>().join(", ")
    }

    /// Logs how many tasks run where, and which workers stay idle.
    fn tell(&self, tasks: &[(&String, usize)], idle: &BTreeMap<&str, Vec<usize>>) {
        let all: usize = tasks.iter().map(|(_, tasks)| tasks).sum();
        let named = tasks.iter().take(MOST_NAMED).map(|(host, tasks)| format!("{tasks} on {host}"));
        let more = more_hosts(tasks.len());
        let (needs, named) = (self.needs.in_words(), named.collect::<Vec<_>>().join(", "));
        log::info!("{needs}: {} at a time: {named}{more}", things(all as u64, "task"));
        if idle.is_empty() {
            return;
        }
        let count: usize = idle.values().map(Vec::len).sum();
        let named = idle
            .iter()
            .take(MOST_NAMED)
            .map(|(host, ranks)| format!("{} on {host}", number_list(ranks)));
        let more = more_hosts(idle.len());
        let (stays, ranks) = if count == 1 { ("stays", "rank") } else { ("stay", "ranks") };
        log::warn!(
            "{} {stays} idle, for what their hosts have is given to others ({needs}): {ranks} {}{more}",
            things(count as u64, "worker"),
            named.collect::<Vec<_>>().join(", ")
        );
    }
}

/// What stands behind the names of the first of so many hosts.
fn more_hosts(all: usize) -> String {
    match all.saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(", and {}", things(more as u64, "more host")),
    }
}
