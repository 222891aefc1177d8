//! How many runs a job that stops points will make, judged by the groups that the runs in the folder decide.

use crate::job::Job;
use crate::master::KnownDecisions;
use crate::model::{Key, LoopNest, ScoreRange, StopRule, compared_field, stop_of};
use crate::store::ReusableRun;

/// Of all groups of the loop that stops points, how many are decided, and what was asked for in them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DecidedGroups {
    pub(crate) groups: u64,
    pub(crate) decided: u64,
    /// Whether what is compared is the score, by which alone groups are decided here.
    pub(crate) by_score: bool,
    /// Whether recorded scores are what the job takes as the score of a run.
    pub(crate) has_scores: bool,
    /// Whether a start would not use the runs that are there.
    pub(crate) is_outdated: bool,
    /// Tasks that were asked for in these, of so many.
    asked: u64,
    of: u64,
    /// The least and the greatest share that was asked for in a group.
    least: f64,
    most: f64,
    /// The number for the whole job, where it follows from the sizes alone.
    pub(crate) exact: Option<u64>,
}

/// The number of runs that a job makes in all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RunsMade {
    pub(crate) runs: u64,
    /// If groups that are not decided are like the one with the least, or the most.
    pub(crate) least: u64,
    pub(crate) most: u64,
    pub(crate) is_exact: bool,
}

impl DecidedGroups {
    /// The number of runs that are made in all; `None` if nothing tells.
    pub(crate) fn made(&self, nest: &LoopNest) -> Option<RunsMade> {
        if let Some(runs) = self.exact {
            return Some(RunsMade { runs, least: runs, most: runs, is_exact: true });
        }
        if self.decided == 0 {
            return None;
        }
        let open = (nest.tasks() - self.of) as f64;
        let with = |share: f64| self.asked + (share * open).round() as u64;
        let runs = with(self.asked as f64 / self.of as f64);
        let is_exact = self.decided == self.groups && !self.is_outdated;
        Some(RunsMade { runs, least: with(self.least), most: with(self.most), is_exact })
    }

    /// How many of the runs that are made in all are left to do, if so many are there. In groups that are not decided,
    /// those that are there are taken to be asked for as often as others.
    pub(crate) fn to_do(&self, nest: &LoopNest, made: u64, done: u64) -> u64 {
        let open = nest.tasks() - self.of;
        if done < self.asked || open == 0 {
            return made.saturating_sub(done); // none of them counts where nothing is reused
        }
        let missing = open.saturating_sub(done - self.asked) as f64 / open as f64;
        ((made - self.asked) as f64 * missing).round() as u64
    }
}

/// Gathers the runs of one group after another.
pub(super) struct GroupGatherer<'a> {
    nest: &'a LoopNest,
    level: usize,
    range: Option<ScoreRange>,
    decisions: KnownDecisions,
    group: u64,
    runs: Vec<(u64, f64)>,
    found: DecidedGroups,
}

impl GroupGatherer<'_> {
    /// `None` if the job stops no points.
    pub(super) fn of(job: &Job) -> Option<GroupGatherer<'_>> {
        let nest = &job.nest;
        let (level, rule) = stop_of(nest)?;
        let mut decisions = KnownDecisions::of(nest, job.policy.require)?;
        let groups = nest.keys(level);
        let is_even = (level..nest.depth()).all(|at| nest.sizes(at).0 == nest.sizes(at).1);
        // How many go on does not depend on which.
        let exact = match rule {
            StopRule::Halve { .. } if is_even => {
                let first = nest.tasks_below(Key { level, index: 0 });
                let asked = decisions.decide(0, first.map(|task| (task, 0.0)));
                asked.map(|asked| asked * groups)
            }
            _ => None,
        };
        let range = match rule {
            StopRule::Sure(range) => Some(range),
            StopRule::Halve { .. } => None,
        };
        let by_score = compared_field(nest, level) == Ok(None);
        let found =
            DecidedGroups { groups, by_score, exact, least: 1.0, ..DecidedGroups::default() };
        Some(GroupGatherer { nest, level, range, decisions, group: 0, runs: Vec::new(), found })
    }

    /// Adds a run. Runs must be added in grid order.
    pub(super) fn add(&mut self, run: &ReusableRun) {
        let group = self.nest.ancestor(self.nest.task(run.task), self.level).index;
        if group != self.group {
            self.decide();
            self.group = group;
        }
        let score = run.score.filter(|score| self.range.is_none_or(|range| range.contains(*score)));
        if let (true, Some(score), false) = (self.found.by_score, score, run.failed) {
            self.runs.push((run.task, score));
        }
    }

    fn decide(&mut self) {
        let runs = std::mem::take(&mut self.runs);
        if runs.is_empty() {
            return;
        }
        let Some(asked) = self.decisions.decide(self.group, runs) else { return };
        let of = self.nest.task_count(Key { level: self.level, index: self.group });
        let share = asked as f64 / of as f64;
        let found = &mut self.found;
        found.decided += 1;
        found.asked += asked;
        found.of += of;
        found.least = found.least.min(share);
        found.most = found.most.max(share);
    }

    /// What was found; scores that say nothing decide no group.
    pub(super) fn end(mut self, has_scores: bool, is_outdated: bool) -> DecidedGroups {
        self.decide();
        match has_scores {
            true => DecidedGroups { has_scores, is_outdated, ..self.found },
            false => {
                let DecidedGroups { groups, by_score, exact, .. } = self.found;
                DecidedGroups { groups, by_score, exact, ..DecidedGroups::default() }
            }
        }
    }
}
