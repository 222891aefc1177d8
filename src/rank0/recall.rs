//! Reads the runs of earlier starts, and gives them to the master.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::master::{Action, Event, Master};
use crate::model::{GroupSummary, LoopNest, RunError, RunRange, Tally, stop_of, stored_outside};
use crate::rank0::finals::FinalJudge;
use crate::rank0::status::ClosedGroups;
use crate::store::{OpenStore, RecalledGroups};
use crate::util::error::{Error, Result};
use crate::util::text::{count, things};
use crate::util::thread::Ticker;

/// Time until the first report of progress, and between two.
const REPORT_PERIOD: Duration = Duration::from_secs(2);

/// What follows from the runs of earlier starts.
pub(super) struct Recall {
    /// The master's actions that are left to do. The groups that have closed are written.
    pub(super) actions: Vec<Action<'static>>,
    pub(super) closed: ClosedGroups,
    /// The summaries of closed groups that listeners have yet to hear of, in order.
    pub(super) unheard: Vec<GroupSummary>,
}

/// Feeds the master the runs of earlier starts, without those tasks that are left to others, and writes the groups
/// that close. There are listeners for the levels `heard`.
pub(super) fn recall(
    master: &mut Master,
    (opened, nest): (&OpenStore, &LoopNest),
    (keep_failed, range, finals): (bool, Option<RunRange>, Option<&mut FinalJudge>),
    left_out: Vec<Range<u64>>,
    heard: &[usize],
) -> Result<Recall> {
    let (closed, unheard) = (ClosedGroups::default(), Vec::new());
    let recall = Recall { actions: Vec::new(), closed, unheard };
    let all_judged = Vec::new();
    let mut follow_up = FollowUp { nest, finals, heard, recall, all_judged };
    let mut actions = Vec::new();
    let (mut unscored, mut kept, mut next) = (0, 0, 0);
    let mut left_out = left_out.into_iter().peekable();
    let mut groups = opened.recalled_groups()?;
    let read = Arc::new(AtomicU64::new(0));
    let _progress = report(&read, master.tasks())?;
    opened.runs(|outcome| {
        read.fetch_add(1, Ordering::Relaxed);
        while let Some(range) = left_out.next_if(|range| range.start <= outcome.task) {
            next = range.end;
            master.leave_out(range);
        }
        if outcome.task < next {
            return Ok(());
        }
        if let (Some(range), Ok(scored)) = (range, &outcome.result)
            && let Some(what) = range.outside(scored)
        {
            return Err(Error::input(stored_outside(nest, outcome.task, &what, range.range)));
        }
        groups.enter(nest, outcome.task, |key, scored| master.know(key, scored))?;
        // Another score computes nothing anew.
        let is_unscored =
            opened.is_rescored && matches!(outcome.result, Err(RunError::NoScore { .. }));
        unscored += u64::from(is_unscored);
        let is_left = is_unscored || opened.lacks_result(outcome.started);
        if outcome.result.is_err() && !keep_failed && !is_left {
            master.know_attempts(outcome.task, outcome.attempt);
            return Ok(());
        }
        kept += 1;
        master.on(Event::Recalled(outcome), Duration::ZERO, &mut actions);
        follow_up.write(&mut actions, &mut groups)
    })?;
    master.end_recall(&mut actions);
    follow_up.write(&mut actions, &mut groups)?;
    let FollowUp { mut recall, all_judged, .. } = follow_up;
    groups.finish()?;
    for event in all_judged {
        master.on(event, Duration::ZERO, &mut recall.actions);
    }
    left_out.for_each(|range| master.leave_out(range));
    for (task, seconds) in opened.cut_off()? {
        master.know_survived(task, seconds);
    }
    let Tally { recalled, .. } = master.tally();
    if kept > 0 && stop_of(nest).is_some() {
        // Which ones are asked for shows as points are stopped.
        log::info!("{} of earlier starts are reused where they are needed", things(kept, "run"));
    } else if recalled > 0 {
        let (recalled, tasks) = (count(recalled), things(master.tasks(), "run"));
        log::info!("{recalled} of {tasks} reused");
    }
    if unscored > 0 {
        log::warn!(
            "{} runs have no such score and are kept for another one; the next start with this score computes them again",
            count(unscored)
        );
    }
    Ok(recall)
}

/// What follows from the groups that close while runs are read.
struct FollowUp<'a> {
    nest: &'a LoopNest,
    finals: Option<&'a mut FinalJudge>,
    heard: &'a [usize],
    recall: Recall,
    all_judged: Vec<Event<'static>>,
}

impl FollowUp<'_> {
    /// Writes the groups that have closed, and keeps the other actions for later.
    fn write(
        &mut self,
        actions: &mut Vec<Action<'static>>,
        groups: &mut RecalledGroups,
    ) -> Result<()> {
        for action in actions.drain(..) {
            let Action::Close(summary) = action else {
                self.recall.actions.push(action);
                continue;
            };
            groups.close(&summary)?;
            if let Some(judged) = self.finals.as_mut().and_then(|finals| finals.judge(&summary)) {
                if let Some(row) = judged.kept {
                    groups.keep_final(&row, summary.key.index)?;
                }
                self.all_judged.push(judged.event);
            }
            self.recall.closed.add(&summary, self.nest.outer());
            if self.heard.contains(&summary.key.level) {
                self.recall.unheard.push(*summary);
            }
        }
        Ok(())
    }
}

/// Reports how many runs were read, if that takes long, until what this returns is dropped.
fn report(read: &Arc<AtomicU64>, tasks: u64) -> Result<Ticker> {
    let read = read.clone();
    Ticker::reporting("recall", REPORT_PERIOD, move || {
        let read = read.load(Ordering::Relaxed);
        let said =
            || format!("read {} runs of earlier starts ({} tasks)", count(read), count(tasks));
        (read > 0).then(said)
    })
}
