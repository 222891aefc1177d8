//! `gridmpi runs`: a list of runs, filtered and sorted.

use std::path::PathBuf;

use clap::Args;

use crate::cli::ask::{Array, ListFormat, stream};
use crate::model::{LoopNest, Value, error_line, json_object};
use crate::report::{Lines, beginning, in_words};
use crate::store::{Column, ColumnKind, Select, StoreReader};
use crate::util::error::{Exit, Result};

/// Maximum printed width of an error or a record. (characters)
const WIDEST: usize = 80;

/// So few runs are looked at for whether any has a value, rather than all runs of the store.
const FEW: u64 = 1000;

#[derive(Args)]
#[command(after_help = "\
Examples:
  gridmpi runs results/NAME --failed                        what failed and why
  gridmpi runs results/NAME --where \"alpha<1 and fold=0\"    by a condition
  gridmpi runs results/NAME --sort \"score desc\" --limit 10  the ten best runs
  gridmpi runs results/NAME --where \"seconds>60\" --format json
  gridmpi runs results/NAME --where \"status='skipped'\"      what is not needed

The status of a run is ok, failed or skipped. A task is skipped if its point was stopped early (stop in the \
job): its row has the reason as error, and nothing of a run. If an earlier start has computed it all the same, \
the row has that run too; it counts nowhere. A condition that names anything but the task, its coordinates, \
status and error sees no task that has no run.

A condition is an SQL expression over these columns: task, the names of the loops (LOOP.FIELD if \
points are records), status, score, value, error, seconds, started, rank, host, thread, attempt, \
memory where runs have processes of their own, workdir where they have folders of their own, and the fields of the results. Where a field has the name of another column, run.NAME is that column and \
value.NAME the field. Strings stand in single quotes.")]
pub(in crate::cli) struct Arguments {
    /// Results folder
    folder: PathBuf,
    /// Only runs that failed
    #[arg(long)]
    failed: bool,
    /// Only runs that meet this condition
    #[arg(long = "where", value_name = "CONDITION")]
    clauses: Vec<String>,
    /// Columns to sort by, such as score or "score desc, alpha" [default: grid order]
    #[arg(long, value_name = "COLUMNS")]
    sort: Option<String>,
    /// List at most this many runs
    #[arg(long, value_name = "RUNS")]
    limit: Option<u64>,
    /// What to print
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    format: ListFormat,
}

/// The selection of runs that the options describe.
pub(super) fn select<'a>(
    reader: &'a StoreReader,
    failed: bool,
    clauses: &[String],
    sort: Option<&str>,
    limit: Option<u64>,
) -> Result<Select<'a>> {
    let mut select = Select::from(reader);
    if failed {
        select.failed();
    }
    clauses.iter().try_for_each(|clause| select.only(clause))?;
    if let Some(sort) = sort {
        select.sort(sort)?;
    }
    if let Some(limit) = limit {
        select.limit(limit);
    }
    Ok(select)
}

pub(super) fn runs(arguments: &Arguments) -> Result<Exit> {
    let reader = crate::cli::ask::reader(&arguments.folder)?;
    let Arguments { failed, clauses, sort, limit, format, .. } = arguments;
    let mut select = select(&reader, *failed, clauses, sort.as_deref(), *limit)?;
    match format {
        ListFormat::Table => {
            select.small_values();
            table(&reader, &select, limit.is_some_and(|limit| limit <= FEW))
        }
        ListFormat::Json => as_json(&reader, &select),
    }
}

fn table(reader: &StoreReader, select: &Select, are_few: bool) -> Result<Exit> {
    let mut columns = reader.coordinate_columns();
    columns.extend(["status", "score"].map(Column::of_run));
    columns.extend(reader.score_column()?);
    let has_values = are_few || reader.has_values()?;
    columns.extend(has_values.then(|| Column::of_run("value")));
    columns.extend(["seconds", "rank", "host", "attempt"].map(Column::of_run));
    columns.extend(reader.more_columns()?.into_iter().map(Column::of_run));
    columns.push(Column::of_run("error"));
    let nest = reader.nest();
    let mut shown = shown(nest, &columns);
    let status = columns.iter().position(|column| column.name == "status").unwrap_or_default();
    let text = |shown: &Shown, cells: &[Value]| match shown {
        Shown::Label(level) => in_words(&label(nest, *level, &cells[0])),
        Shown::Column(at) => match (columns[*at].name.as_str(), &cells[*at]) {
            ("error", Value::Text(error)) => {
                let is_skipped = cells[status] == Value::from("skipped");
                beginning(&error_line(error), if is_skipped { 3 * WIDEST } else { WIDEST })
            }
            ("value", value) => beginning(&in_words(value), WIDEST),
            (_, value) => in_words(value),
        },
    };
    let texts = |shown: &[Shown], cells: &[Value]| -> Vec<String> {
        shown.iter().map(|shown| text(shown, cells)).collect()
    };
    let header = |shown: &[Shown]| {
        let names = shown.iter().map(|shown| match shown {
            Shown::Label(level) => (nest.loops()[*level].name.clone(), false),
            Shown::Column(at) => {
                let Column { name, kind, .. } = &columns[*at];
                (name.clone(), matches!(kind, ColumnKind::Int | ColumnKind::Float))
            }
        });
        Lines::new(names)
    };
    stream(|sink| {
        if !are_few {
            let mut lines = header(&shown);
            select.rows(&columns, |cells| {
                let written = lines.row(texts(&shown, cells));
                sink.write(&written)
            })?;
            return sink.write(&lines.rest());
        }
        let own = |name: &str| columns.iter().position(|column| column.name == name);
        let (score, value) = (own("score").unwrap_or_default(), own("value").unwrap_or_default());
        let (mut rows, mut has_values) = (Vec::new(), false);
        select.rows(&columns, |cells| {
            has_values |= !matches!(&cells[value], Value::Null) && cells[value] != cells[score];
            rows.push(texts(&shown, cells));
            Ok(())
        })?;
        if !has_values {
            let at =
                shown.iter().position(|shown| matches!(shown, Shown::Column(at) if *at == value));
            if let Some(at) = at {
                shown.remove(at);
                rows.iter_mut().for_each(|row| drop(row.remove(at)));
            }
        }
        let mut lines = header(&shown);
        for row in rows {
            sink.write(&lines.row(row))?;
        }
        sink.write(&lines.rest())
    })
}

/// A column of the table.
enum Shown {
    /// Of a run.
    Column(usize),
    /// The labels of the loop at a level, in place of its points and their fields.
    Label(usize),
}

fn shown(nest: &LoopNest, columns: &[Column]) -> Vec<Shown> {
    let labelled = |column: &Column| column.level().filter(|l| nest.loops()[*l].has_labels());
    let mut shown = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        match labelled(column) {
            None => shown.push(Shown::Column(at)),
            Some(level) => match shown.last() {
                Some(Shown::Label(last)) if *last == level => {}
                _ => shown.push(Shown::Label(level)),
            },
        }
    }
    shown
}

/// What is shown for the point of a loop at a task.
fn label(nest: &LoopNest, level: usize, task: &Value) -> Value {
    let task = match task {
        Value::Int(task) => nest.task(*task as u64),
        _ => return Value::Null,
    };
    nest.loops()[level].shown(nest.point(nest.ancestor(task, level + 1)))
}

fn as_json(reader: &StoreReader, select: &Select) -> Result<Exit> {
    let coordinates = reader.coordinate_columns();
    let mut columns = coordinates.clone();
    columns.extend(reader.run_columns()?);
    columns.extend(reader.score_column()?);
    stream(|sink| {
        let mut array = Array::begin(sink)?;
        select.rows(&columns, |cells| {
            let mut all = columns
                .iter()
                .zip(cells)
                .map(|(column, cell)| (column.name.as_str(), cell.to_json()));
            let task = all.by_ref().take(1).collect::<Vec<_>>();
            let place = json_object(all.by_ref().take(coordinates.len() - 1));
            let entry = task.into_iter().chain([("coordinates", place)]).chain(all);
            array.push(sink, &json_object(entry))
        })?;
        array.end(sink)
    })
}
