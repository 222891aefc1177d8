//! The nest of a job file whose loops depend on each other: what each loop has at the points around it is
//! found once for each combination of the loops that it names.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;

use crate::condition::{Evaluator, LoopColumn};
use crate::job::check_fields;
use crate::job::parse::conditions::{Condition, columns};
use crate::job::parse::dependent_sources::{Around, DependentSource};
use crate::job::parse::found_points::{ListedPoints, with_none};
use crate::job::parse::keys::TomlEntry;
use crate::job::parse::matched::MatchedRows;
use crate::job::parse::progress::NestProgress;
use crate::job::parse::python_points::{GivenPoints, PointCalls, PythonPoints};
use crate::model::{
    Completeness, Dependencies, Loop, LoopNest, MOST_EVALUATED, NestShape, Points, Reduce,
    Selection, Value, add_point,
};
use crate::util::error::{Error, Result};
use crate::util::text::count;

/// Most points of a loop that depends on others: the store lists them.
const MOST_LISTED: usize = 10_000_000;

/// Most calls of a function that gives the points of a loop: they take minutes.
const MOST_ASKED: u64 = 1_000_000;

fn asked_too_often(name: &str, combinations: u64) -> String {
    format!(
        "the function of loop '{name}' would be called for {} combinations of points or more; {} are possible: let it take the points of fewer loops",
        count(combinations),
        count(MOST_ASKED)
    )
}

/// A loop as the job file has it.
pub(super) struct ParsedLoop<'a> {
    pub(super) entry: TomlEntry<'a>,
    pub(super) name: String,
    pub(super) reduce: Option<Reduce>,
    pub(super) require: Option<Completeness>,
    pub(super) source: ParsedSource<'a>,
    pub(super) matched: Option<MatchedRows<'a>>,
    pub(super) only_if: Option<TomlEntry<'a>>,
    pub(super) condition: Option<TomlEntry<'a>>,
}

pub(super) enum ParsedSource<'a> {
    /// The same points everywhere.
    Fixed(Points),
    Dependent(Box<dyn DependentSource + 'a>),
    /// A function that is to be imported.
    Python(PythonPoints<'a>),
}

impl<'a> ParsedLoop<'a> {
    fn is_independent(&self) -> bool {
        matches!(self.source, ParsedSource::Fixed(_))
            && self.matched.is_none()
            && self.only_if.is_none()
            && self.condition.is_none()
    }

    /// Whether a function gives its points.
    pub(super) fn is_called(&self) -> bool {
        matches!(self.source, ParsedSource::Python(_))
    }

    /// The same with its function imported, if it has one, which may take points of the loops `around`.
    fn imported(
        self,
        around: &[String],
        calls: Option<&PointCalls>,
        progress: &NestProgress,
    ) -> Result<ParsedLoop<'a>> {
        let ParsedSource::Python(function) = self.source else { return Ok(self) };
        let around: Vec<&str> = around.iter().map(String::as_str).collect();
        let source = match function.import(&self.name, &around, calls, progress)? {
            GivenPoints::Fixed(points) => ParsedSource::Fixed(points),
            GivenPoints::Dependent(source) => ParsedSource::Dependent(source),
        };
        Ok(ParsedLoop { source, ..self })
    }
}

/// A nest that was stored, with the tables' own text of the rows that it has.
pub(super) fn with_cells(nest: &LoopNest, parsed: Vec<ParsedLoop>) -> Result<LoopNest, String> {
    let mut loops = nest.loops().to_vec();
    for (l, parsed) in loops.iter_mut().zip(parsed) {
        if let ParsedSource::Fixed(points @ Points::Rows { .. }) = parsed.source {
            let points = with_none(points, l.none);
            if points.len() == l.points.len() {
                l.points = points;
            }
        }
    }
    LoopNest::of_rows(loops, &nest.shape_rows().collect::<Vec<_>>())
}

/// The nest of these loops. `calls` calls functions that give points, if any may.
pub(super) fn nest(
    parsed: Vec<ParsedLoop>,
    folder: &Path,
    calls: Option<&PointCalls>,
) -> Result<LoopNest> {
    let progress = NestProgress::default();
    let _reports = match parsed.iter().all(ParsedLoop::is_independent) {
        true => None,
        false => Some(progress.report()?),
    };
    let names: Vec<String> = parsed.iter().map(|l| l.name.clone()).collect();
    let imported =
        (0..).zip(parsed).map(|(level, l)| l.imported(&names[..level], calls, &progress));
    nest_of(imported.collect::<Result<_>>()?, folder, &progress)
}

fn nest_of(parsed: Vec<ParsedLoop>, folder: &Path, progress: &NestProgress) -> Result<LoopNest> {
    let last = parsed.last().map(|last| last.entry.clone());
    let no = |why: String| match &last {
        Some(last) => last.error(why),
        None => Error::input(why),
    };
    if parsed.iter().all(ParsedLoop::is_independent) {
        let l = |l: ParsedLoop| match l.source {
            ParsedSource::Fixed(points) => {
                Loop { require: l.require, ..Loop::new(l.name, points, l.reduce) }
            }
            _ => unreachable!("all are independent"),
        };
        return LoopNest::new(parsed.into_iter().map(l).collect()).map_err(no);
    }
    let evaluator = Evaluator::new().map_err(Error::unexpected)?;
    let progress = progress.clone();
    let mut loops = DependentLoops { evaluator, folder, progress, loops: Vec::new(), failed: None };
    let mut known: Vec<LoopColumn> = Vec::new();
    for (level, mut l) in parsed.into_iter().enumerate() {
        let condition = l.condition.take();
        loops.loops.push(DependentLoop::new(l, &loops.evaluator, &known)?);
        if loops.loops[level].tells_types() {
            // A condition may name what the points have, so all of them are found first.
            loops.check_calls(level)?;
            loops.shape(no)?;
            loops.loops.iter_mut().for_each(DependentLoop::forget_counts);
        }
        loops.loops[level].add_condition(level, condition, &loops.evaluator, &mut known)?;
    }
    let shaped = loops.shape(no)?;
    loops.loops.iter().for_each(DependentLoop::warn_if_everywhere);
    let made = loops.loops.into_iter().map(DependentLoop::finish).collect();
    shaped.nest(made).map_err(no)
}

struct DependentLoops<'a> {
    evaluator: Evaluator,
    folder: &'a Path,
    progress: NestProgress,
    loops: Vec<DependentLoop<'a>>,
    /// The error that ended the selection, with its place in the job file.
    failed: Option<Error>,
}

struct DependentLoop<'a> {
    entry: TomlEntry<'a>,
    name: String,
    reduce: Option<Reduce>,
    require: Option<Completeness>,
    points: KnownPoints<'a>,
    matched: Option<MatchedRows<'a>>,
    only_if: Option<Condition<'a>>,
    condition: Option<Condition<'a>>,
    on: Dependencies,
    none: Option<u64>,
    /// For how many combinations `only_if` was true and false; how many points `where` kept and dropped.
    applied: [u64; 2],
    kept: [u64; 2],
}

/// The points of a loop that are known so far.
enum KnownPoints<'a> {
    Fixed(Points),
    Dependent {
        source: Box<dyn DependentSource + 'a>,
        listed: ListedPoints,
        /// By the points of the loops that the source names. Nothing if it is asked once for each.
        found: Option<HashMap<Vec<u64>, Vec<Range<u64>>>>,
    },
}

impl KnownPoints<'_> {
    fn get(&self, point: u64) -> Value {
        match self {
            KnownPoints::Fixed(points) => {
                if point < points.len() {
                    points.get(point)
                } else {
                    Value::Null
                }
            }
            KnownPoints::Dependent { listed, .. } => listed.get(point),
        }
    }
}

impl<'a> DependentLoop<'a> {
    fn new(
        parsed: ParsedLoop<'a>,
        evaluator: &Evaluator,
        known: &[LoopColumn],
    ) -> Result<DependentLoop<'a>> {
        let ParsedLoop { entry, name, reduce, require, source, matched, only_if, .. } = parsed;
        let parse = |entry| Condition::parse(entry, evaluator, known);
        let only_if = only_if.map(parse).transpose()?;
        let points = match source {
            ParsedSource::Fixed(points) => KnownPoints::Fixed(points),
            ParsedSource::Dependent(mut source) => {
                source.prepare(evaluator, known)?;
                // The points of those that tell types are asked for a second time.
                let found = source.holds().is_none().then(HashMap::new);
                KnownPoints::Dependent { source, listed: ListedPoints::default(), found }
            }
            ParsedSource::Python(_) => unreachable!("it is imported"),
        };
        let mut on = BTreeSet::new();
        on.extend(only_if.iter().flat_map(Condition::levels));
        on.extend(matched.iter().flat_map(MatchedRows::levels));
        if let KnownPoints::Dependent { source, .. } = &points {
            on.extend(source.levels());
        }
        if let (KnownPoints::Fixed(fixed), Some(only_if)) = (&points, &only_if)
            && fixed.len() > MOST_LISTED as u64
        {
            return Err(only_if.entry.error(format!(
                "the points of a loop that does not apply everywhere are listed, and {} are more than {}",
                count(fixed.len()),
                count(MOST_LISTED as u64)
            )));
        }
        let is_fixed = matches!(points, KnownPoints::Fixed(_)) && matched.is_none();
        let on = (!is_fixed || only_if.is_some()).then_some(on);
        let none = match &points {
            KnownPoints::Fixed(points) if only_if.is_some() => Some(points.len()),
            _ => None,
        };
        Ok(DependentLoop {
            entry,
            name,
            reduce,
            require,
            points,
            matched,
            only_if,
            condition: None,
            on,
            none,
            applied: [0; 2],
            kept: [0; 2],
        })
    }

    /// Whether its points are to be found before a condition names them.
    fn tells_types(&self) -> bool {
        matches!(&self.points, KnownPoints::Dependent { source, .. } if source.holds().is_none())
    }

    /// Adds its `where`, and what the conditions of loops further in may name of it.
    fn add_condition(
        &mut self,
        level: usize,
        condition: Option<TomlEntry<'a>>,
        evaluator: &Evaluator,
        known: &mut Vec<LoopColumn>,
    ) -> Result<()> {
        let own = match &self.points {
            KnownPoints::Fixed(points) => columns(level, &self.name, points),
            KnownPoints::Dependent { source, listed, .. } => {
                match source.holds() {
                    Some(holds) => {
                        let (field, name) = (None, self.name.clone());
                        vec![LoopColumn { level, field, name, holds, may_be_none: false }]
                    }
                    None => {
                        let points = listed.without(self.none);
                        // Each call's points have been checked, but not those of several together.
                        check_fields(&points).map_err(|why| {
                        let name = &self.name;
                        self.entry.error(format!("in the points of loop '{name}', of all calls of its function, {why}"))
                    })?;
                        columns(level, &self.name, &points)
                    }
                }
            }
        };
        // Where the loop does not apply, its condition is not asked.
        let first = known.len();
        known.extend(own);
        if let Some(entry) = condition {
            let condition = Condition::sql(entry, evaluator, known)?;
            let on = self.on.get_or_insert_default();
            on.extend(condition.levels().into_iter().filter(|on| *on != level));
            self.condition = Some(condition);
        }
        for column in &mut known[first..] {
            column.may_be_none |= self.only_if.is_some();
        }
        if let (KnownPoints::Dependent { source, found, .. }, Some(on)) =
            (&mut self.points, &self.on)
            && !on.is_subset(source.levels())
        {
            found.get_or_insert_default();
        }
        Ok(())
    }

    /// What was counted while points were found for the first time counts again.
    fn forget_counts(&mut self) {
        (self.applied, self.kept) = ([0; 2], [0; 2]);
    }

    /// The point that stands for none. Points that are listed while the nest is made have it where it is
    /// first needed.
    fn none(&mut self) -> u64 {
        match &mut self.points {
            KnownPoints::Fixed(points) => points.len(),
            KnownPoints::Dependent { listed, .. } => *self.none.get_or_insert_with(|| {
                listed.values.push(Value::Null);
                listed.values.len() as u64 - 1
            }),
        }
    }

    /// Says so if its `only_if` is always true.
    fn warn_if_everywhere(&self) {
        if let (Some(only_if), 1.., 0) = (&self.only_if, self.applied[0], self.applied[1]) {
            log::warn!("{}", only_if.entry.error("it is true everywhere"));
        }
    }

    /// Fails if a condition is never true.
    fn check(&self) -> Result<()> {
        if let (Some(only_if), 0, 1..) = (&self.only_if, self.applied[0], self.applied[1]) {
            let why = format!("it is true nowhere, so loop '{}' applies nowhere", self.name);
            return Err(only_if.entry.error(why));
        }
        if let (Some(condition), 0, 1..) = (&self.condition, self.kept[0], self.kept[1]) {
            let why = format!("it keeps none of the points of loop '{}'", self.name);
            return Err(condition.entry.error(why));
        }
        Ok(())
    }

    fn finish(self) -> Loop {
        let points = match self.points {
            KnownPoints::Dependent { listed, .. } => listed.finish(self.none),
            KnownPoints::Fixed(points) => with_none(points, self.none),
        };
        let DependentLoop { name, reduce, require, none, .. } = self;
        Loop { none, require, ..Loop::new(name, points, reduce) }
    }
}

impl DependentLoops<'_> {
    /// Fails if the source of a loop is certain to be asked too often.
    fn check_calls(&self, level: usize) -> Result<()> {
        let own = &self.loops[level];
        let KnownPoints::Dependent { source, .. } = &own.points else { return Ok(()) };
        let size = |at: &usize| match &self.loops[*at] {
            DependentLoop { points: KnownPoints::Fixed(points), on: None, .. } => points.len(),
            _ => 1, // or more
        };
        let combinations = source.levels().iter().map(size).fold(1, u64::saturating_mul);
        match own.only_if.is_none() && combinations > MOST_ASKED {
            true => Err(own.entry.error(asked_too_often(&own.name, combinations))),
            false => Ok(()),
        }
    }

    /// The shape of the loops so far.
    fn shape(&mut self, no: impl Fn(String) -> Error) -> Result<NestShape> {
        let on = self.loops.iter().map(|l| l.on.clone()).collect();
        let shaped = NestShape::of(on, self);
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.loops.iter().try_for_each(DependentLoop::check)?;
        shaped.map_err(no)
    }

    fn selected(&mut self, level: usize, around: &[u64]) -> Result<Vec<Range<u64>>> {
        let (outer, rest) = self.loops.split_at_mut(level);
        let own = &mut rest[0];
        let point = |level: usize| outer[level].points.get(around[level]);
        if let Some(only_if) = &own.only_if {
            let applies = only_if.holds(&self.evaluator, point)?;
            self.progress.evaluated();
            own.applied[usize::from(!applies)] += 1;
            if !applies {
                let none = own.none();
                return Ok(std::iter::once(none..none + 1).collect());
            }
        }
        let runs = match &mut own.points {
            KnownPoints::Fixed(points) => match &own.matched {
                None => std::iter::once(0..points.len()).collect(),
                Some(matched) => matched.rows(&Around {
                    name: &|level| &outer[level].name,
                    point: &point,
                    levels: matched.levels(),
                })?,
            },
            KnownPoints::Dependent { source, listed, found } => {
                let key = || source.levels().iter().map(|at| around[*at]).collect::<Vec<u64>>();
                let known = found.as_ref().and_then(|found| found.get(&key()).cloned());
                match known {
                    Some(known) => known,
                    None => {
                        let place = Around {
                            name: &|level| &outer[level].name,
                            point: &point,
                            levels: source.levels(),
                        };
                        let asked = found.as_ref().map_or(0, HashMap::len) as u64;
                        if source.holds().is_none() && asked >= MOST_ASKED {
                            let why = asked_too_often(&own.name, MOST_ASKED + 1);
                            return Err(own.entry.error(why));
                        }
                        let mut points = source.points(self.folder, &self.evaluator, &place)?;
                        if own.only_if.is_some() {
                            points = points.listed(); // none is one of them
                        }
                        let runs = listed.take(points);
                        if listed.values.len() > MOST_LISTED {
                            let why = format!("more than {MOST_LISTED} points in all");
                            return Err(own.entry.error(why));
                        }
                        if let Some(found) = found {
                            found.insert(key(), runs.clone());
                        }
                        runs
                    }
                }
            }
        };
        let Some(condition) = &own.condition else { return Ok(runs) };
        let asked = runs.iter().map(|run| run.end - run.start).sum::<u64>();
        let combinations = own.kept.iter().sum::<u64>().saturating_add(asked);
        if combinations > MOST_EVALUATED {
            let (most, at_least) = (count(MOST_EVALUATED), count(combinations));
            return Err(condition.entry.error(format!(
                "it would be evaluated for {at_least} combinations of points or more; {most} are possible"
            )));
        }
        let mut kept: Vec<Range<u64>> = Vec::new();
        for candidate in runs.into_iter().flatten() {
            let value = |at: usize| match at == level {
                true => own.points.get(candidate),
                false => point(at),
            };
            let keeps = condition.holds(&self.evaluator, value)?;
            self.progress.evaluated();
            own.kept[usize::from(!keeps)] += 1;
            if keeps {
                add_point(&mut kept, candidate);
            }
        }
        Ok(kept)
    }
}

impl Selection for DependentLoops<'_> {
    fn size(&self, level: usize) -> u64 {
        match &self.loops[level].points {
            KnownPoints::Fixed(points) => points.len(),
            KnownPoints::Dependent { .. } => 0, // it depends on others
        }
    }

    fn select(&mut self, level: usize, around: &[u64]) -> Result<Vec<Range<u64>>, String> {
        self.selected(level, around).map_err(|error| {
            let why = error.to_string();
            self.failed = Some(error);
            why
        })
    }
}
