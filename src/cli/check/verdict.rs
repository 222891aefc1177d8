//! Runs the chosen tasks in all ways and finds out whose result depends on what.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Instant;

use crate::cli::check::calls::{Call, Caller};
use crate::cli::check::differences::{Difference, DifferencePart, Uncompared, differences};
use crate::cli::check::opened::OpenedFiles;
use crate::cli::check::passes::{CheckPass, alone, passes, repeated};
use crate::executor::Slot;
use crate::report::text::words;
use crate::util::error::Result;

/// What a result depends on besides the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Chance or time, or something that an earlier call has left outside its process.
    Chance,
    /// What ran before it in the same worker.
    Before,
    /// What runs at the same time.
    Neighbours,
    /// The rank or thread.
    Worker,
    /// The number of cores: no error by itself.
    Cores,
}

/// A task whose result differs from its first one.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) cause: Cause,
    /// The score first, if it differs.
    pub(super) differences: Vec<Difference>,
    /// The call that gave another result than the first one, and the pass that it was in.
    pub(super) call: Call,
    pub(super) pass: String,
}

/// A field beside the score that differs from one call to the next.
#[derive(Clone, Debug)]
pub(super) struct VaryingField {
    pub(super) tasks: usize,
    /// The first such task.
    pub(super) task: u64,
    pub(super) difference: Difference,
}

/// What the check has found out about results.
#[derive(Debug, Default)]
pub(super) struct CheckVerdict {
    /// Tasks that fail when they run alone, and why.
    pub(super) failed: BTreeMap<u64, String>,
    /// Tasks that differ when they run alone.
    pub(super) alone: Vec<Finding>,
    pub(super) fields: BTreeMap<String, VaryingField>,
    /// The passes, by name.
    pub(super) passes: Vec<String>,
    /// Tasks that differ in shared workers.
    pub(super) shared: Vec<Finding>,
    /// Tasks that differ with another number of cores; they need not be wrong.
    pub(super) cores: Vec<Finding>,
    /// How many calls were made.
    pub(super) calls: u64,
}

/// The state of a check.
pub(super) struct Examination<'a> {
    pub(super) caller: &'a Caller,
    pub(super) tasks: &'a [u64],
    /// The number of cores per task, and the other one.
    pub(super) cores: usize,
    pub(super) other_cores: Option<usize>,
    pub(super) without: Uncompared,
    pub(super) opened: Option<&'a mut OpenedFiles>,
    pub(super) verdict: CheckVerdict,
    /// The first result of each task.
    pub(super) first: BTreeMap<u64, Call>,
}

impl Examination<'_> {
    pub(super) fn examine(mut self) -> Result<CheckVerdict> {
        let begun = Instant::now();
        self.twice_alone()?;
        let taken = begun.elapsed().as_secs_f64();
        log::info!("{} so far; the rest takes about twice as long", words::seconds(taken));
        self.in_shared_workers()?;
        self.on_other_cores()?;
        Ok(self.verdict)
    }

    fn run_alone(&mut self, task: u64, place: Slot) -> Result<Call> {
        let call = self.caller.alone(task, place)?;
        self.verdict.calls += 1;
        if let Some(opened) = &mut self.opened {
            opened.note(Some(task));
        }
        Ok(call)
    }

    fn run_pass(&mut self, pass: &CheckPass) -> Result<Vec<Call>> {
        let calls = self.caller.shared(pass)?;
        self.verdict.calls += calls.len() as u64;
        if let Some(opened) = &mut self.opened {
            opened.note(None);
        }
        Ok(calls)
    }

    /// How a call's result differs from the first one of its task.
    fn compare(&self, call: &Call) -> Vec<Difference> {
        let first = &self.first[&call.task];
        differences(&first.result, &call.result, &self.caller.job.score, &self.without)
    }

    /// Whether a task's own result varies, so that nothing else can be told of it.
    fn is_chance(&self, task: u64) -> bool {
        self.verdict.alone.iter().any(|finding| finding.call.task == task)
    }

    fn twice_alone(&mut self) -> Result<()> {
        let place = alone(self.cores);
        for task in self.tasks {
            let call = self.run_alone(*task, place)?;
            self.first.insert(*task, call);
        }
        // In the other order: what calls leave in files is then seen too.
        for task in self.tasks.iter().rev() {
            let call = self.run_alone(*task, place)?;
            if let (Err(why), Err(_)) = (&self.first[task].result, &call.result) {
                self.verdict.failed.insert(*task, why.to_string());
            }
            let found = self.compare(&call);
            let (of_result, of_fields): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|difference| difference.part == DifferencePart::Score);
            for difference in of_fields {
                let field = self.verdict.fields.entry(difference.field.clone());
                let field = field.or_insert(VaryingField { tasks: 0, task: *task, difference });
                field.tasks += 1;
            }
            if !of_result.is_empty() {
                self.find_chance(of_result, call, "alone in a fresh process, again");
            }
        }
        // Nothing can be told of a field that differs by itself.
        self.without.fields.extend(self.verdict.fields.keys().cloned());
        Ok(())
    }

    fn find_chance(&mut self, differences: Vec<Difference>, call: Call, pass: &str) {
        let (cause, pass) = (Cause::Chance, pass.to_string());
        self.verdict.alone.push(Finding { cause, differences, call, pass });
    }

    fn in_shared_workers(&mut self) -> Result<()> {
        let mut passes = passes(self.tasks, self.cores);
        let mut differing: BTreeMap<u64, (usize, Call)> = BTreeMap::new();
        let (fixed, mut number) = (passes.len(), 0);
        while let Some(pass) = passes.get(number) {
            log::info!("{}", pass.name);
            let begun = Instant::now();
            for call in self.run_pass(pass)? {
                if !self.is_chance(call.task) && !self.compare(&call).is_empty() {
                    differing.entry(call.task).or_insert((number, call));
                }
            }
            number += 1;
            if number == passes.len() && number == fixed {
                passes.extend(repeated(self.tasks, self.cores, begun.elapsed().as_secs_f64()));
            }
        }
        if !differing.is_empty() {
            log::info!("{} tasks differ: finding out why", differing.len());
        }
        // The calls of a worker with the same tasks and no neighbours, by pass and rank.
        let mut replayed: BTreeMap<(usize, usize), Vec<Call>> = BTreeMap::new();
        for (task, (number, call)) in differing {
            let again = self.run_alone(task, alone(self.cores))?;
            let by_itself = self.compare(&again);
            if !by_itself.is_empty() {
                self.find_chance(by_itself, again, "alone in a fresh process, a third time");
                continue;
            }
            let there = self.run_alone(task, call.place)?;
            let pass = &passes[number];
            let cause = if !self.compare(&there).is_empty() {
                Cause::Worker
            } else if call.workers == 1 {
                Cause::Before
            } else {
                let at = (number, call.place.rank);
                let calls = match replayed.entry(at) {
                    Entry::Occupied(calls) => calls.into_mut(),
                    Entry::Vacant(place) => {
                        place.insert(self.run_pass(&pass.without_neighbours(call.place.rank))?)
                    }
                };
                let mut replays = calls.iter().filter(|replay| replay.task == task);
                match replays.any(|replay| !self.compare(replay).is_empty()) {
                    true => Cause::Before,
                    false => Cause::Neighbours,
                }
            };
            let (differences, pass) = (self.compare(&call), pass.name.clone());
            self.verdict.shared.push(Finding { cause, differences, call, pass });
        }
        self.verdict.passes = passes.into_iter().map(|pass| pass.name).collect();
        Ok(())
    }

    fn on_other_cores(&mut self) -> Result<()> {
        let Some(cores) = self.other_cores else { return Ok(()) };
        for task in self.tasks {
            if self.is_chance(*task) {
                continue;
            }
            let call = self.run_alone(*task, alone(cores))?;
            let differences = self.compare(&call);
            if !differences.is_empty() {
                let (cause, pass) = (Cause::Cores, format!("alone, OMP_NUM_THREADS={cores}"));
                self.verdict.cores.push(Finding { cause, differences, call, pass });
            }
        }
        Ok(())
    }
}
