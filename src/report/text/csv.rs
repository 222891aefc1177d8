//! The result as rows over the outermost loops, written as CSV.

use std::io::Write;

use crate::job::FieldNames;
use crate::model::{GroupSummary, Key, Loop, LoopNest, Reduce, Value};
use crate::report::status;
use crate::report::text::fields::SummaryFields;
use crate::report::text::finals::FinalCells;
use crate::report::text::score_heading::score_field;
use crate::store::Results;
use crate::util::csv_line::CsvLine;
use crate::util::error::{Error, Result};

/// The columns of the result, and how a summary fills them.
pub(crate) struct Rows<'a> {
    nest: &'a LoopNest,
    /// Whether points are shown to people: as labels, where there are some.
    labels: bool,
    /// Columns of the outermost loops: the level, and the field if the points are records.
    coordinates: Vec<RowColumn>,
    /// The same for the loops whose winner is reported.
    best: Vec<RowColumn>,
}

/// A loop by its level, or a field of its points with its usual place in the record.
type RowColumn = (usize, Option<(String, usize)>);

fn columns_of(level: usize, l: &Loop, labels: bool) -> Vec<RowColumn> {
    match l.points.fields() {
        fields if fields.is_empty() || labels && l.has_labels() => vec![(level, None)],
        fields => fields.into_iter().zip(0..).map(|field| (level, Some(field))).collect(),
    }
}

impl<'a> Rows<'a> {
    /// Rows of points, for machines.
    pub(crate) fn new(nest: &'a LoopNest) -> Rows<'a> {
        Rows::of(nest, false)
    }

    /// Rows for people: a loop that has labels has one column of them.
    pub(crate) fn shown(nest: &'a LoopNest) -> Rows<'a> {
        Rows::of(nest, true)
    }

    fn of(nest: &'a LoopNest, labels: bool) -> Rows<'a> {
        let (loops, outer) = (nest.loops(), nest.outer());
        let decided = nest.decided(outer);
        let columns = |levels: std::ops::Range<usize>| {
            levels.flat_map(|level| columns_of(level, &loops[level], labels)).collect()
        };
        let (coordinates, best) = (columns(0..outer), columns(outer..outer + decided));
        Rows { nest, labels, coordinates, best }
    }

    fn name(&self, (level, field): &RowColumn) -> String {
        let name = &self.nest.loops()[*level].name;
        field.as_ref().map_or(name.clone(), |(field, _)| format!("{name}.{field}"))
    }

    pub(crate) fn coordinate_names(&self) -> Vec<String> {
        self.coordinates.iter().map(|column| self.name(column)).collect()
    }

    pub(crate) fn best_names(&self) -> Vec<String> {
        self.best.iter().map(|column| self.name(column)).collect()
    }

    pub(crate) fn coordinates(&self, key: Key) -> Vec<Value> {
        let points = match self.labels {
            true => self.nest.shown(key),
            false => self.nest.coordinates(key),
        };
        self.cells(&self.coordinates, &points)
    }

    /// The winner's coordinates; empty cells if there is no winner.
    pub(crate) fn best(&self, summary: &GroupSummary) -> Vec<Value> {
        let best = summary.result.as_ref().map(|scored| scored.best.as_slice()).unwrap_or_default();
        let points = match self.labels {
            true => self.nest.shown_winners(summary.key, best),
            false => self.nest.winners(summary.key, best),
        };
        self.cells(&self.best, &points)
    }

    /// The cells of these columns; empty ones for loops that are not among the points.
    fn cells(&self, columns: &[RowColumn], points: &[(&str, Value)]) -> Vec<Value> {
        let cell = |(level, field): &RowColumn| {
            let name = &self.nest.loops()[*level].name;
            let (_, value) = points.iter().find(|(of, _)| of == name)?;
            match field {
                Some((field, place)) => value.field_near(field, *place).cloned(),
                None => Some(value.clone()),
            }
        };
        columns.iter().map(|column| cell(column).unwrap_or(Value::Null)).collect()
    }
}

/// The fields of all rows.
fn fields(results: &Results) -> Result<SummaryFields> {
    let nest = results.nest();
    let loops = &nest.loops()[nest.outer()..];
    let mut fields = SummaryFields::with_numbers_as(score_field(loops, &results.score_name()?));
    if results.has_records(nest.outer())? {
        results.summaries(nest.outer(), |summary| {
            if let Ok(scored) = &summary.result {
                fields.add(&scored.value.get(), scored.score);
            }
            Ok(())
        })?;
    } else if loops.first().is_none_or(|l| l.reduce != Some(Reduce::All)) {
        fields.add_of_numbers();
    }
    Ok(fields.without_score())
}

/// Writes the result as CSV: one row per point of the outermost loops.
pub(crate) fn write_csv(results: &Results, mut out: impl Write) -> Result<()> {
    let rows = Rows::new(results.nest());
    let mut csv = CsvLine::new(&mut out);
    let failed =
        |error: std::io::Error| Error::unexpected(format!("CSV cannot be written: {error}"));
    let mut header = rows.coordinate_names();
    header.extend(rows.best_names().iter().map(|name| format!("best_{name}")));
    header.push("score".to_string());
    let fields = fields(results)?;
    let stopped = results.stopped()?;
    let mut last = ["runs", "failed", "status", "error"].map(String::from).to_vec();
    if !stopped.is_empty() {
        let mut names = FieldNames::beside(results.nest());
        last.splice(2..2, ["stopped", "skipped"].map(|name| names.of(name)));
    }
    let mut names = FieldNames::beside(results.nest()).and(&header).and(&last);
    header.extend(fields.paths().map(|path| names.of(path)));
    header.extend(fields.needs_values().then(|| "value".to_string()));
    header.extend(last);
    let finals = FinalCells::of(results)?;
    header.extend(finals.names());
    csv.line(&header).map_err(failed)?;
    results.summaries(results.nest().outer(), |summary| {
        let mut cells: Vec<String> = rows.coordinates(summary.key).iter().map(cell).collect();
        cells.extend(rows.best(&summary).iter().map(cell));
        let (score, value, error) = match &summary.result {
            Ok(scored) => {
                (scored.score.map(Value::Float), Some(scored.value.get().into_owned()), None)
            }
            Err(error) => (None, None, Some(error.clone())),
        };
        cells.push(score.as_ref().map(cell).unwrap_or_default());
        let (own, rest) = fields.cells(&value.unwrap_or_default());
        cells.extend(own.iter().map(cell));
        cells.extend(fields.needs_values().then(|| cell(&rest)));
        cells.extend([summary.runs.to_string(), summary.failed.to_string()]);
        if !stopped.is_empty() {
            let inside = stopped.inside(summary.key);
            cells.extend([inside.stopped.to_string(), inside.skipped.to_string()]);
        }
        cells.push(status(results, &summary).to_string());
        cells.push(error.unwrap_or_default());
        cells.extend(finals.cells(summary.key.index).iter().map(cell));
        csv.line(&cells).map_err(failed)
    })?;
    out.flush().map_err(failed)
}

/// Longest text in a cell: the limit of spreadsheets. (bytes)
const LONGEST_CELL: usize = 32_767;

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        other => other.to_string(),
    };
    match text.len() {
        0..=LONGEST_CELL => text,
        long => format!("({long} bytes, see runs.sqlite)"),
    }
}
