//! What is asked of the workers' records, without a change of any.

use crate::master::view::{WorkerActivity, WorkerView};
use crate::master::workers::{
    AssignedRange, FirstTask, SideCall, WorkerPhase, WorkerRecord, Workers,
};

impl Workers {
    /// Workers that were sent the job and have not asked for work.
    pub(in crate::master) fn preparing(&self) -> impl Iterator<Item = usize> + '_ {
        self.ranks(|worker| matches!(worker.state, WorkerPhase::Welcomed(_)))
    }

    /// Workers that hold tasks or groups.
    pub(in crate::master) fn at_work(&self) -> impl Iterator<Item = usize> + '_ {
        self.ranks(|worker| worker.state == WorkerPhase::Here && !worker.holds_nothing())
    }

    /// Workers from which a message can still be expected: neither idle nor gone.
    pub(in crate::master) fn not_idle(&self) -> impl Iterator<Item = usize> + '_ {
        self.ranks(|worker| match worker.state {
            WorkerPhase::Away | WorkerPhase::Welcomed(_) => true,
            WorkerPhase::Here => !worker.holds_nothing(),
            WorkerPhase::Dismissed
            | WorkerPhase::Silent
            | WorkerPhase::Gone
            | WorkerPhase::Broken => false,
        })
    }

    fn ranks(&self, which: impl Fn(&WorkerRecord) -> bool) -> impl Iterator<Item = usize> {
        let ranks = (self.lowest..).zip(&self.workers);
        ranks.filter(move |(_, worker)| which(worker)).map(|(rank, _)| rank)
    }

    pub(in crate::master::workers) fn pieces(
        &self,
    ) -> impl Iterator<Item = (usize, &AssignedRange)> + '_ {
        let ranks = (self.lowest..).zip(&self.workers);
        ranks.flat_map(|(rank, worker)| worker.pieces.iter().map(move |piece| (rank, piece)))
    }

    /// The first task of each assigned range.
    pub(in crate::master) fn first_tasks(&self) -> impl Iterator<Item = FirstTask> + '_ {
        self.pieces().map(|(rank, piece)| piece.first_task(rank))
    }

    /// Those that run: of as many ranges of a worker as it has threads.
    pub(in crate::master) fn running(&self) -> impl Iterator<Item = FirstTask> + '_ {
        (self.lowest..).zip(&self.workers).flat_map(|(rank, worker)| {
            let running = worker.pieces.iter().take(worker.threads as usize);
            running.map(move |piece| piece.first_task(rank))
        })
    }

    /// All workers that hold a task; two if it was duplicated.
    pub(in crate::master) fn holders(&self, task: u64) -> impl Iterator<Item = usize> + '_ {
        let holds = move |piece: &AssignedRange| (piece.first..piece.end).contains(&task);
        self.pieces().filter(move |(_, piece)| holds(piece)).map(|(rank, _)| rank)
    }

    /// A snapshot of each worker, without expected durations.
    pub(in crate::master) fn views(&self) -> impl Iterator<Item = WorkerView> + '_ {
        (self.lowest..).zip(&self.workers).map(|(rank, worker)| {
            let (piece, call) = (worker.pieces.front(), worker.calls.first());
            let activity = match worker.state {
                WorkerPhase::Away => WorkerActivity::Away,
                WorkerPhase::Welcomed(_) => WorkerActivity::Preparing,
                WorkerPhase::Here if piece.is_some() => WorkerActivity::Crunching,
                WorkerPhase::Here if let Some((call, _)) = call => match call {
                    SideCall::Reduce(_) => WorkerActivity::Reducing,
                    SideCall::Final(..) => WorkerActivity::Finishing,
                },
                WorkerPhase::Here => WorkerActivity::Idle,
                WorkerPhase::Dismissed => WorkerActivity::Gone,
                WorkerPhase::Silent | WorkerPhase::Gone | WorkerPhase::Broken => {
                    WorkerActivity::Lost
                }
            };
            let since = piece.map(|piece| piece.since).or(call.map(|(_, since)| *since));
            WorkerView {
                rank,
                activity,
                threads: worker.threads,
                task: piece.map(|piece| piece.first),
                held: worker.tasks + worker.calls.len() as u64,
                since: since.unwrap_or_default(),
                expected: None,
            }
        })
    }
}
