//! The result table: one row per point of the outermost loops, with what its summary has.

use std::fmt::Write;

use crate::job::FieldNames;
use crate::model::{Scored, Value};
use crate::report::html::Facts;
use crate::report::html::markup::{escape, paragraph, wrapping};
use crate::report::text::finals::FinalCells;
use crate::report::text::means::{NOTE, mean_over_all};
use crate::report::text::score_heading::{score_field, score_heading};
use crate::report::text::words::{count, things};
use crate::report::{PARTIAL, beginning, in_words, remark, status};
use crate::util::error::Result;

/// Maximum number of rows.
const ROWS: usize = 10_000;

/// Maximum number of columns for the fields of summaries.
const FIELDS: usize = 24;

/// The last two columns.
const OWN: [&str; 2] = ["runs", "status"];

/// The width up to which a column is not made narrower. (characters)
const WRAPPED: usize = 28;

/// Maximum length of a cell. (characters)
const CELL: usize = 200;

struct TableRow {
    class: &'static str,
    /// The coordinates, the best point, and the score.
    cells: Vec<Value>,
    /// The cell of a best that is one of less than all points.
    marked: Option<usize>,
    /// The other fields of a summary that is a record, by their column.
    fields: Vec<(usize, Value)>,
    runs: (u64, u64),
    skipped: u64,
    status: String,
}

pub(crate) fn table(facts: &Facts) -> Result<String> {
    let (nest, results) = (facts.reader.nest(), &facts.reader.results);
    let mut header = facts.rows.coordinate_names();
    header.extend(facts.rows.best_names().iter().map(|name| format!("best {name}")));
    let called = results.score_name()?;
    header.push(score_heading(nest, nest.outer(), &called));
    let called = score_field(&nest.loops()[nest.outer()..], &called);
    let (mut rows, mut fields): (Vec<TableRow>, Vec<String>) = (Vec::new(), Vec::new());
    let (mut number, mut bad, mut partial, mut more_fields) = (0u64, 0u64, 0u64, false);
    let mut over_all = None;
    let finals = FinalCells::of(results)?;
    let final_names = finals.names();
    let stopped = &facts.stopped;
    results.scores(nest.outer(), |row| {
        number += 1;
        bad += u64::from(row.error.is_some());
        if number > ROWS as u64 {
            partial += u64::from(row.error.is_none() && row.failed > 0);
            return Ok(());
        }
        let mut summary = row.summary();
        results.mark_partial(&mut summary)?;
        let class = status(results, &summary);
        let mut cells: Vec<Value> = facts.rows.coordinates(summary.key);
        let best = cells.len()..;
        cells.extend(facts.rows.best(&summary));
        partial += u64::from(class == PARTIAL);
        let first = cells[best.clone()].iter().position(|cell| *cell != Value::Null);
        let marked = first.filter(|_| summary.best_of().is_some()).map(|first| best.start + first);
        let value = match &summary.result {
            Ok(_) if row.size > 0 => results.small_value(&row)?,
            _ => Value::Null,
        };
        let mut own = Vec::new();
        let made = finals.cells(summary.key.index);
        let made = final_names.iter().zip(made).filter(|(_, cell)| *cell != Value::Null);
        let score = match (&summary.result, value) {
            (Ok(Scored { score, .. }), Value::Record(all)) => {
                for (name, value) in all {
                    if name == called && value.as_f64().is_some() && value.as_f64() == *score {
                        continue; // it is the score
                    }
                    let known = fields.iter().position(|field| *field == name);
                    match known.or_else(|| (fields.len() < FIELDS).then_some(fields.len())) {
                        Some(place) => {
                            if place == fields.len() {
                                fields.push(name);
                            }
                            own.push((place, value));
                        }
                        None => more_fields = true,
                    }
                }
                score.map_or(Value::Null, Value::Float)
            }
            (Ok(Scored { score: Some(score), .. }), _) => Value::Float(*score),
            (Ok(_), value) => value,
            (Err(_), _) => Value::Null,
        };
        for (name, value) in made {
            let known = fields.iter().position(|field| field == name);
            let place = known.or_else(|| (fields.len() < FIELDS).then_some(fields.len()));
            more_fields |= place.is_none();
            if let Some(place) = place {
                if place == fields.len() {
                    fields.push(name.clone());
                }
                own.push((place, value));
            }
        }
        cells.push(score);
        if over_all.is_none()
            && let Some(mean) = mean_over_all(results, &summary)?
        {
            let score = cells.last().map(in_words).unwrap_or_default();
            over_all = Some((number, score, in_words(&Value::Float(mean))));
        }
        let status = match remark(results, stopped, &summary) {
            remark if remark.starts_with(class) => beginning(&remark, 300),
            remark if remark.is_empty() => class.to_string(),
            remark => format!("{class}: {remark}"),
        };
        let runs = (summary.runs, summary.runs + summary.failed);
        let skipped = stopped.skipped(summary.key);
        rows.push(TableRow { class, cells, marked, fields: own, runs, skipped, status });
        Ok(())
    })?;
    let mut notes = Vec::new();
    let expected = nest.keys(nest.outer());
    if number < expected {
        notes.push(format!("Not there yet: {}.", things(expected - number, "row")));
    }
    if number > ROWS as u64 {
        notes.push(format!(
            "The first {} of {} rows; all of them are in summary.csv. Of all rows, {} failed or incomplete.",
            count(ROWS as u64), count(number), count(bad)
        ));
    } else if bad > 0 {
        notes.push(format!("{} failed or incomplete.", things(bad, "row")));
    }
    if partial > 0 {
        let is = if partial == 1 { "is" } else { "are" };
        notes.push(format!(
            "{} {is} partial, as require allows: a best with * is that of the points that have a result.",
            things(partial, "row")
        ));
    }
    if more_fields {
        notes.push(format!("Summaries have more than {FIELDS} fields; summary.json has them all."));
    }
    if let Some((row, score, mean)) = over_all {
        notes.push(format!(
            "{NOTE} In row {row} it is {score}, and the mean over all runs is {mean}."
        ));
    }
    // What has no field at all needs no column of its own beside them.
    let without_score = !fields.is_empty()
        && rows.iter().all(|row| row.cells.last().is_none_or(|score| *score == Value::Null));
    if without_score {
        header.pop();
        rows.iter_mut().for_each(|row| drop(row.cells.pop()));
    }
    let mut names = FieldNames::beside(nest).and(&header).and(OWN);
    header.extend(fields.iter().map(|name| names.of(name)));
    let is_number = |place: usize| {
        let own = |row: &TableRow| cell_at(row, place).and_then(Value::as_f64).is_some();
        rows.iter().any(own)
    };
    // Names wrap only where a column would be wide; on a narrow page the table scrolls.
    let width = |place: usize| {
        let length = |row: &TableRow| {
            cell_at(row, place).map_or(0, |cell| in_words(cell).chars().take(WRAPPED).count())
        };
        rows.iter().map(length).max().unwrap_or(0)
    };
    let heads = header.iter().enumerate().map(|(i, name)| match is_number(i) {
        true => head("class=\"number\"", name),
        false => head(&at_least(width(i)), name),
    });
    let status = rows.iter().map(|row| row.status.len().min(WRAPPED)).max().unwrap_or(0);
    let heads = heads.chain([head("class=\"number\"", OWN[0]), head(&at_least(status), OWN[1])]);
    let heads: String = heads.collect();
    let body: String = rows.iter().map(|row| line(row, header.len())).collect();
    Ok(format!(
        "<section id=\"summary\"><h2>Summary</h2>\n{}<p class=\"note\" data-rows=\"rows\" aria-live=\"polite\">{}</p>\n<div class=\"scroll\"><table class=\"sorted\" id=\"rows\"><thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody></table></div></section>\n",
        paragraph("note", &notes),
        things(rows.len() as u64, "row"),
    ))
}

fn at_least(width: usize) -> String {
    format!("style=\"min-width:min({width}ch,40vw)\"")
}

fn head(attributes: &str, name: &str) -> String {
    format!("<th {attributes}><button>{}</button></th>", wrapping(name))
}

/// The cell of a column before those of runs and status, if the row has it.
fn cell_at(row: &TableRow, place: usize) -> Option<&Value> {
    let field = |place| row.fields.iter().find(|(own, _)| *own == place).map(|(_, value)| value);
    row.cells.get(place).or_else(|| field(place - row.cells.len()))
}

fn line(row: &TableRow, columns: usize) -> String {
    let mut line = format!("<tr class=\"{}\">", row.class);
    for place in 0..columns {
        let Some(cell) = cell_at(row, place) else {
            line += "<td></td>";
            continue;
        };
        let mark = if row.marked == Some(place) { "*" } else { "" };
        let text = beginning(&in_words(cell), CELL) + mark;
        let _ = match cell.as_f64().filter(|number| !number.is_nan()) {
            Some(number) => {
                // As JavaScript reads it.
                let value = number.to_string().replace("inf", "Infinity");
                write!(line, "<td class=\"number\" data-value=\"{value}\">{}</td>", escape(&text))
            }
            None => write!(line, "<td>{}</td>", wrapping(&text)),
        };
    }
    let (runs, total) = row.runs;
    let skipped = match row.skipped {
        0 => String::new(),
        skipped => format!(", {} skipped", count(skipped)),
    };
    let _ = writeln!(
        line,
        "<td class=\"number\" data-value=\"{runs}\">{} of {}{skipped}</td><td>{}</td></tr>",
        count(runs),
        count(total + row.skipped),
        wrapping(&row.status)
    );
    line
}
