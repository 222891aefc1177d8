//! How long the remaining work takes: an estimate, or a lower bound where tasks have run for longer than any
//! that have ended.

use std::time::Duration;

use crate::master::Master;

/// The time that the remaining work takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WorkLeft {
    pub(crate) time: Duration,
    /// Whether it may well be longer.
    pub(crate) is_lower_bound: bool,
}

impl Master {
    /// The time that the remaining tasks take on the threads that are here, or on `threads` before any has
    /// joined. `None` if nothing is known of any task.
    pub(crate) fn work_left(&self, now: Duration, threads: u64) -> Option<WorkLeft> {
        let threads = match self.workers.threads() {
            0 => threads.max(1),
            here => here,
        };
        let costs = &self.queue.costs;
        let mut left = self.goal().saturating_sub(self.tally.done);
        let (mut sum, mut longest) = (0.0, 0.0_f64);
        let mut is_lower_bound = costs.observed() == 0;
        let mut add = |seconds: f64| {
            left = left.saturating_sub(1);
            sum += seconds;
            longest = longest.max(seconds);
        };
        let running: Vec<_> = self.workers.running().collect();
        for task in &running {
            let took = now.saturating_sub(task.since).as_secs_f64();
            let expected = costs.expect(task.task).unwrap_or(0.0);
            is_lower_bound |= took > expected;
            add((expected - took).max(0.0));
        }
        for task in costs.unended().filter(|task| running.iter().all(|other| other.task != *task)) {
            is_lower_bound = true;
            add(costs.expect(task).unwrap_or(0.0));
        }
        if left > 0 {
            let elapsed = running.iter().map(|task| now.saturating_sub(task.since).as_secs_f64());
            let each = costs.mean().or_else(|| elapsed.max_by(f64::total_cmp))?;
            sum += left as f64 * each;
            longest = longest.max(each);
        }
        let time = Duration::try_from_secs_f64((sum / threads as f64).max(longest)).ok()?;
        Some(WorkLeft { time, is_lower_bound: is_lower_bound && !time.is_zero() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::{Action, Event, MasterConfig};
    use crate::model::{LoopNest, Report, RunBatch};

    fn begun(config: MasterConfig, survived: &[(u64, f64)]) -> (Master, Vec<Action<'static>>) {
        let mut master = Master::new(LoopNest::sized(&[4], 1), config);
        survived.iter().for_each(|(task, seconds)| master.know_survived(*task, *seconds));
        let mut actions = Vec::new();
        for rank in 1..=2 {
            let host = "host".to_string();
            master.on(Event::Joined { rank, host, threads: 1 }, Duration::ZERO, &mut actions);
            let report = Report::default();
            master.on(Event::Done { rank, report }, Duration::ZERO, &mut actions);
        }
        (master, actions)
    }

    fn config(end: Option<u64>) -> MasterConfig {
        let end = end.map(Duration::from_secs);
        MasterConfig { workers: 2, end, ..MasterConfig::default() }
    }

    #[test]
    fn what_is_known_only_from_running_tasks_is_a_lower_bound() {
        let (mut master, _) = begun(config(None), &[]);
        let minute = Duration::from_secs(60);
        let left = master.work_left(minute, 9);
        assert_eq!(left, Some(WorkLeft { time: minute, is_lower_bound: true }));
        let mut runs = RunBatch::default();
        runs.restart(0, 1, 0.0);
        runs.push_number(1.0, 100.0);
        let report = Report { runs, ..Report::default() };
        let now = Duration::from_secs(100);
        master.on(Event::Done { rank: 1, report }, now, &mut Vec::new());
        // One task has just begun, one has run for as long as it takes, and one waits.
        let left = master.work_left(now, 9);
        assert_eq!(left, Some(WorkLeft { time: now, is_lower_bound: false }));
        // A lost worker does no part of it.
        master.on(Event::Lost { rank: 2 }, now, &mut Vec::new());
        assert_eq!(master.work_left(now, 9).unwrap().time, now * 3);
    }

    #[test]
    fn tasks_that_were_cut_off_are_not_begun_where_they_do_not_fit() {
        let (mut master, mut actions) = begun(config(None), &[]);
        actions.clear();
        master.on(Event::Stop, Duration::from_secs(60), &mut actions);
        let cut_off: Vec<_> = actions
            .iter()
            .filter_map(|action| match action {
                Action::CutOff { task, seconds, .. } => Some((*task, *seconds)),
                _ => None,
            })
            .collect();
        assert_eq!(cut_off, [(0, 60.0), (1, 60.0)]);
        let assigned =
            |actions: &[Action]| actions.iter().any(|a| matches!(a, Action::Assign { .. }));
        let (master, actions) = begun(config(Some(60)), &cut_off);
        assert!(!assigned(&actions) && master.is_out_of_time(), "{actions:?}");
        let (_, actions) = begun(config(Some(90)), &cut_off);
        assert!(assigned(&actions));
    }
}
