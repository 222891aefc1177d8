//! Checks of the counters and indices, which the simulator runs after each event.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::master::workers::{SideCall, WorkerPhase, Workers};

impl Workers {
    pub(in crate::master) fn len(&self) -> usize {
        self.workers.len()
    }

    pub(in crate::master) fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.pieces().map(|(_, piece)| piece.first..piece.end)
    }

    pub(in crate::master) fn held(&self) -> u64 {
        self.workers.iter().map(|worker| worker.tasks).sum()
    }

    /// Panics unless every counter matches the records. Returns how many groups are being reduced, and
    /// how many final calls made.
    pub(in crate::master) fn check(&self) -> (usize, usize) {
        let (mut threads, mut dismissed, mut lost) = (0, 0, 0);
        for worker in &self.workers {
            let tasks = worker.pieces.iter().map(|piece| piece.end - piece.first).sum::<u64>();
            assert_eq!(tasks, worker.tasks, "{worker:?}");
            let is_among = |states: &[WorkerPhase]| states.contains(&worker.state);
            if is_among(&[WorkerPhase::Here, WorkerPhase::Dismissed]) {
                threads += u64::from(worker.threads);
            }
            dismissed += usize::from(is_among(&[WorkerPhase::Dismissed]));
            lost += usize::from(is_among(&[
                WorkerPhase::Silent,
                WorkerPhase::Gone,
                WorkerPhase::Broken,
            ]));
        }
        assert_eq!((threads, dismissed, lost), (self.threads, self.dismissed, self.lost));
        let open: BTreeSet<usize> = self.open.iter().collect();
        let (waiting, spare) = (&self.waiting, &self.spare);
        assert!(open.is_disjoint(waiting) && open.is_disjoint(spare) && waiting.is_disjoint(spare));
        let mut listed = open.iter().chain(waiting).chain(spare);
        assert!(listed.all(|rank| self.at(*rank).state == WorkerPhase::Here));
        let calls: Vec<SideCall> = self
            .workers
            .iter()
            .flat_map(|worker| worker.calls.iter().map(|(call, _)| *call))
            .collect();
        let reductions = calls.iter().filter(|call| matches!(call, SideCall::Reduce(_))).count();
        (reductions, calls.len() - reductions)
    }
}
