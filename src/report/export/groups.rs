//! The points of loops as rows, with what the loops inside them were folded to: what scikit-learn calls the
//! results of a search. They are streamed; what is held of a group are its scores, to rank its points.

use std::collections::HashMap;

use crate::job::{FieldNames, named_json};
use crate::model::{GroupSummary, Key, LoopNest, StoppedPoint, Value, Winner};
use crate::report::export::ranks::{self, Ranks};
use crate::report::export::table::{ExportColumn, ExportTable, TakeRow};
use crate::report::status;
use crate::report::text::fields::SummaryFields;
use crate::store::{Column, ColumnKind, Results, RunCounts, StoppedPoints, StoreReader};
use crate::util::error::{Error, Result};
use crate::util::text::did_you_mean;

/// The word for all loops.
const ALL: &str = "all";

/// The status of what a stopped point has not.
const SKIPPED: &str = "skipped";

/// The loops whose points are exported.
pub(crate) struct ChosenLoops {
    levels: Vec<usize>,
    /// Whether a column says which loop a row is of.
    are_all: bool,
}

impl ChosenLoops {
    /// Those that a user names: one loop, or all.
    pub(crate) fn named(nest: &LoopNest, name: &str) -> Result<ChosenLoops> {
        let loops = nest.loops();
        // Runs of a joined loop go into the group of the loop around, past its points.
        let has_rows = |level: &usize| {
            let inside = level + 1;
            !nest.is_joined(*level) && (inside == nest.depth() || !nest.is_joined(inside))
        };
        let all: Vec<usize> = (0..nest.depth()).filter(has_rows).collect();
        let mut known: Vec<&str> = all.iter().map(|level| loops[*level].name.as_str()).collect();
        let level = loops.iter().position(|l| l.name == name);
        let why = match level {
            _ if all.is_empty() => {
                "no loop has points with a value of their own, because the runs of the inner loops are joined; export without --groups has the runs".to_string()
            }
            _ if name == ALL => return Ok(ChosenLoops { levels: all, are_all: true }),
            Some(level) if all.contains(&level) => {
                return Ok(ChosenLoops { levels: vec![level], are_all: false });
            }
            Some(level) if nest.is_joined(level) => format!(
                "loop '{name}' joins its runs to those of the loop around it, and has no groups of its own; export without --groups has the runs"
            ),
            Some(level) => format!(
                "the runs of loop '{}' inside it are joined, so that no point of '{name}' has a value of its own",
                loops[level + 1].name
            ),
            None => {
                known.push(ALL);
                format!("there is no loop '{name}'{}", did_you_mean(name, &known, "'"))
            }
        };
        let known = match all.is_empty() {
            true => String::new(),
            false => {
                known.retain(|name| *name != ALL);
                format!(" (--groups takes {}, or {ALL})", known.join(", "))
            }
        };
        Err(Error::input(format!("--groups {name}: {why}{known}")))
    }
}

/// The table of the points of these loops.
pub(super) fn table<'a>(
    reader: &'a StoreReader,
    chosen: &'a ChosenLoops,
) -> Result<ExportTable<'a>> {
    let rows = GroupTable::of(reader, chosen)?;
    rows.check_ranks()?;
    Ok(ExportTable { columns: rows.columns(), rows: Box::new(move |take| rows.each(take)) })
}

struct GroupTable<'a> {
    results: &'a Results,
    chosen: &'a ChosenLoops,
    /// Of the loops whose points are rows, and of those around them.
    coordinates: Vec<Column>,
    /// Of the loops inside whose best point is known.
    best: Vec<Column>,
    fields: SummaryFields,
    /// By path.
    kinds: HashMap<String, Option<ColumnKind>>,
    stopped: StoppedPoints,
}

impl<'a> GroupTable<'a> {
    fn of(reader: &'a StoreReader, chosen: &'a ChosenLoops) -> Result<GroupTable<'a>> {
        let (nest, results) = (reader.nest(), &reader.results);
        let mut fields = SummaryFields::with_numbers_as(&results.score_name()?);
        let mut kinds: HashMap<String, Option<ColumnKind>> = HashMap::new();
        for level in chosen.levels.iter().map(|level| level + 1) {
            if !results.has_more_than_numbers(level)? {
                fields.add_of_numbers();
                continue;
            }
            results.summaries(level, |summary| {
                let Ok(scored) = &summary.result else { return Ok(()) };
                let value = scored.value.get();
                if value.as_f64().is_some() && value.as_f64() == scored.score {
                    fields.add_of_numbers();
                    return Ok(());
                }
                fields.add(&value, scored.score);
                value.each_field(&mut |path, value| {
                    let kind = ColumnKind::of(value);
                    match kinds.get_mut(&*path) {
                        Some(known) => *known = ColumnKind::common([*known, kind]),
                        None => drop(kinds.insert(path.into_owned(), kind)),
                    }
                });
                Ok(())
            })?;
        }
        let deepest = chosen.levels.iter().max().copied().unwrap_or_default();
        let is_best = |level: usize| {
            let mut inside = chosen.levels.iter().map(|of| of + 1);
            inside.any(|from| (from..from + nest.decided(from)).contains(&level))
        };
        let all = reader.coordinate_columns();
        let of = |is: &dyn Fn(usize) -> bool| -> Vec<Column> {
            all.iter().filter(|column| column.level().is_some_and(is)).cloned().collect()
        };
        let (coordinates, best) = (of(&|level| level <= deepest), of(&is_best));
        let fields = fields.without_score();
        let stopped = results.stopped()?;
        Ok(GroupTable { results, chosen, coordinates, best, fields, kinds, stopped })
    }

    fn columns(&self) -> Vec<ExportColumn> {
        use ColumnKind::{Float, Int, Json, Text};
        let mut columns: Vec<ExportColumn> =
            self.coordinates.iter().map(ExportColumn::of).collect();
        if self.chosen.are_all {
            let mut name = "loop".to_string();
            while columns.iter().any(|column| column.name.eq_ignore_ascii_case(&name)) {
                name = format!("group.{name}");
            }
            columns.insert(0, ExportColumn::new(name, Text));
        }
        columns.extend(self.best.iter().map(|column| {
            let mut own = ExportColumn::of(column);
            own.name = format!("best_{}", own.name);
            own
        }));
        let own = |(name, kind): (&str, _)| ExportColumn::new(name, kind);
        let last = [("runs", Int), ("failed", Int), ("status", Text), ("error", Text)];
        let mut last: Vec<ExportColumn> = last.map(own).to_vec();
        if !self.stopped.is_empty() {
            let mut names = FieldNames::beside(self.results.nest());
            let of_stopped = |name| ExportColumn::new(names.of(name), Int);
            last.splice(2..2, ["stopped", "skipped"].map(of_stopped));
        }
        columns.extend([("rank", Int), ("score", Float)].map(own));
        let taken = columns.iter().map(|column| column.name.clone());
        let mut names = FieldNames::beside(self.results.nest())
            .and(taken.collect::<Vec<_>>())
            .and(last.iter().map(|column| &column.name));
        for path in self.fields.paths() {
            columns.push(ExportColumn::new(names.of(path), self.kind(path)));
        }
        columns.extend(self.fields.leave_something().then(|| ExportColumn::new("value", Json)));
        columns.extend(last);
        columns
    }

    /// The type of a field; that of plain numbers is known.
    fn kind(&self, path: &str) -> ColumnKind {
        match self.kinds.get(path) {
            Some(known) if self.fields.is_of_numbers(path) => {
                ColumnKind::common([*known, Some(ColumnKind::Float)]).unwrap_or(ColumnKind::Float)
            }
            Some(known) => known.unwrap_or(ColumnKind::Text),
            None => ColumnKind::Float,
        }
    }

    fn each(&self, take: TakeRow) -> Result<()> {
        let nest = self.results.nest();
        let kinds: Vec<ColumnKind> = self.fields.paths().map(|path| self.kind(path)).collect();
        for level in &self.chosen.levels {
            let mut ranks: Option<Ranks> = None;
            let mut next = Key { level: level + 1, index: 0 };
            self.results.summaries(level + 1, |summary| {
                let key = summary.key;
                self.skipped(next, key.index, &kinds, take)?;
                next.index = key.index + 1;
                let group = nest.ancestor(key, *level);
                if ranks.as_ref().is_none_or(|ranks| ranks.group != group) {
                    ranks = Some(Ranks::of(self.results, group)?);
                }
                let rank = ranks.as_ref().and_then(|ranks| ranks.rank(key));
                match self.stopped.why_run_skipped(&summary) {
                    None => {
                        let status = status(self.results, &summary);
                        take(&self.cells(summary, status, rank, &kinds))
                    }
                    Some(why) => {
                        let mut cells = self.cells(summary, SKIPPED, None, &kinds);
                        cells.splice(cells.len() - 1.., [why.as_str().into()]);
                        take(&cells)
                    }
                }
            })?;
            self.skipped(next, nest.keys(level + 1), &kinds, take)?;
        }
        Ok(())
    }

    /// The rows of the keys from one on that are stopped points or in one, and have no row of their own.
    fn skipped(&self, from: Key, end: u64, kinds: &[ColumnKind], take: TakeRow) -> Result<()> {
        let nest = self.results.nest();
        let Some(level) = self.stopped.level() else { return Ok(()) };
        if from.level < level || from.index >= end {
            return Ok(());
        }
        for point in self.stopped.from(from) {
            let keys = nest.keys_below(point.key, from.level);
            if keys.start >= end {
                break;
            }
            for index in keys.start.max(from.index)..keys.end.min(end) {
                let key = Key { index, ..from };
                let is_run = key.level == nest.depth();
                if is_run && self.stopped.skips(index).is_none() {
                    continue; // asked for, and not there yet
                }
                let made = match is_run {
                    true => RunCounts::default(),
                    false => self.results.runs_of_stopped(point, key, true)?,
                };
                let result = Err(point.words(nest));
                let (runs, failed) = (made.runs - made.failed, made.failed);
                let row = GroupSummary { key, result, runs, failed };
                take(&self.cells(row, SKIPPED, None, kinds))?;
            }
        }
        Ok(())
    }

    /// Refuses to rank points where stopped ones may belong between them.
    fn check_ranks(&self) -> Result<()> {
        let (nest, all) = (self.results.nest(), self.stopped.all());
        let group = |point: &StoppedPoint| nest.ancestor(point.key, point.key.level - 1);
        for points in all.chunk_by(|a, b| group(a) == group(b)) {
            let group = group(&points[0]);
            if self.chosen.levels.contains(&group.level)
                && !ranks::are_known(self.results, group, points)?
            {
                let inside = self.stopped.inside(group);
                let place = match nest.coordinates(group) {
                    all if all.is_empty() => String::new(),
                    all => format!(" at {}", named_json(&all)),
                };
                let name = &nest.loops()[group.level].name;
                return Err(Error::input(format!(
                    "--groups: {} of the {} points of loop '{name}'{place} were stopped early and are not ranked, and which places they leave to the others is not known: remove `stop` and run again, which computes only what is missing (export without --groups has all runs)",
                    inside.stopped, inside.points
                )));
            }
        }
        Ok(())
    }

    fn cells(
        &self,
        summary: GroupSummary,
        status: &str,
        rank: Option<u64>,
        kinds: &[ColumnKind],
    ) -> Vec<Value> {
        let nest = self.results.nest();
        let level = summary.key.level;
        let points = nest.indices(winner(nest, &summary));
        let whole = |number: u64| Value::Int(number as i64);
        let mut cells = Vec::new();
        cells.extend(self.chosen.are_all.then(|| nest.loops()[level - 1].name.as_str().into()));
        cells.extend(self.coordinates.iter().map(|column| column.at(nest, &points[..level])));
        cells.extend(self.best.iter().map(|column| match column.level() {
            Some(at) if at >= level => column.at(nest, &points),
            _ => Value::Null,
        }));
        let (scored, error) = match summary.result {
            Ok(scored) => (scored, None),
            Err(error) => (Default::default(), Some(error)),
        };
        cells.push(rank.map_or(Value::Null, whole));
        cells.push(scored.score.map_or(Value::Null, Value::Float));
        let (own, rest) = self.fields.cells(&scored.value.into_value());
        cells.extend(own.into_iter().zip(kinds).map(|(cell, kind)| kind.fit(cell)));
        cells.extend(self.fields.leave_something().then_some(rest));
        cells.extend([whole(summary.runs), whole(summary.failed)]);
        if !self.stopped.is_empty() {
            let inside = self.stopped.inside(summary.key);
            cells.extend([whole(inside.stopped), whole(inside.skipped)]);
        }
        cells.push(status.into());
        cells.push(error.map_or(Value::Null, |error| error.as_str().into()));
        cells
    }
}

/// The key of the best points inside a group; its own where there are none.
fn winner(nest: &LoopNest, summary: &GroupSummary) -> Key {
    let best = summary.result.as_ref().map(|scored| scored.best.as_slice()).unwrap_or_default();
    let inside = |key, winner: &Winner| nest.child(key, winner.slot);
    best.iter().try_fold(summary.key, inside).unwrap_or(summary.key)
}
