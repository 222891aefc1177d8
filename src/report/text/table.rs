//! The result as a table for a terminal.

use crate::model::{LoopNest, Reduce, Value};
use crate::report::text::lines::Lines;
use crate::report::text::means::{NOTE, OVER_ALL, mean_over_all};
use crate::report::{Rows, status};
use crate::store::Results;
use crate::util::error::Result;
use crate::util::text::beginning;

/// Maximum number of rows printed; summary.csv has them all.
pub(crate) const TABLE_ROWS: usize = 200;

/// Maximum width of a summary. (characters)
const WIDEST: usize = 80;

/// One row per point of the outermost loops.
pub(crate) fn table(results: &Results) -> Result<String> {
    let nest = results.nest();
    let rows = Rows::shown(nest);
    let mut header = rows.coordinate_names();
    let texts = header.len();
    header.extend(rows.best_names().iter().map(|name| format!("best {name}")));
    header.extend([score_name(nest), "runs".to_string()]);
    let score = header.len() - 2;
    // The output of the user's own summarize is shown in full.
    let native = nest.loops().get(nest.outer()).is_some_and(|l| l.reduce == Some(Reduce::Native));
    let has_kept = results.kept_runs(0..nest.tasks())? > 0;
    let (mut all, mut over_all, mut number) = (Vec::new(), Vec::new(), 0);
    results.summaries(nest.outer(), |summary| {
        number += 1;
        if number > TABLE_ROWS {
            return Ok(());
        }
        let mut cells: Vec<String> = rows.coordinates(summary.key).iter().map(cell).collect();
        cells.extend(rows.best(&summary).iter().map(cell));
        cells.push(match &summary.result {
            Ok(scored) => match scored.score {
                Some(score) if !native => cell(&Value::Float(score)),
                _ => beginning(&cell(&scored.value.get()), WIDEST),
            },
            Err(error) => format!("{}: {}", status(results, &summary), in_a_line(error)),
        });
        let total = summary.runs + summary.failed;
        let kept = match has_kept {
            true => results.kept_runs(nest.tasks_below(summary.key))?,
            false => 0,
        };
        let kept = match kept {
            0 => String::new(),
            kept => format!(", {kept} kept from an earlier crunch"),
        };
        cells.push(match summary.failed {
            0 => format!("{} of {total}{kept}", summary.runs),
            failed => format!("{} of {total}, {failed} failed{kept}", summary.runs),
        });
        all.push(cells);
        over_all.push(mean_over_all(results, &summary)?);
        Ok(())
    })?;
    let differs = over_all.iter().any(Option::is_some);
    if differs {
        header.insert(score + 1, OVER_ALL.to_string());
    }
    let header = header.into_iter().enumerate().map(|(i, name)| (name, i >= texts));
    let mut lines = Lines::new(header);
    let mut text = String::new();
    for (mut cells, mean) in all.into_iter().zip(over_all) {
        if differs {
            // Where both are the same number, or the row has none, the score says it all.
            let mean = mean.map(|mean| cell(&Value::Float(mean)));
            cells.insert(score + 1, mean.unwrap_or_default());
        }
        text += &lines.row(cells);
    }
    text += &lines.rest();
    if differs {
        text += &format!("{NOTE}\n");
    }
    if number > TABLE_ROWS {
        text += &format!("... and {} rows more in summary.csv", number - TABLE_ROWS);
    }
    Ok(text.trim_end().to_string())
}

/// The header of the result column: how the loops are reduced.
pub(crate) fn score_name(nest: &LoopNest) -> String {
    let reduces = nest.loops().iter().filter_map(|l| l.reduce.as_ref()).map(Reduce::name);
    let name = reduces.collect::<Vec<_>>().join(" of ");
    if name.is_empty() { "score".to_string() } else { name }
}

/// The most informative line of an error: of a Python traceback, the last one.
pub(crate) fn in_a_line(error: &str) -> &str {
    let mut lines = error.lines();
    let line = if error.starts_with("Traceback") { lines.next_back() } else { lines.next() };
    line.unwrap_or_default()
}

/// Numbers with six digits; summary.csv has full precision.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Float(0.0) => "0".to_string(),
        Value::Float(f) if f.is_finite() => number(*f),
        Value::List(items) => {
            format!("[{}]", items.iter().map(inner).collect::<Vec<_>>().join(", "))
        }
        Value::Record(fields) => {
            let field = |(name, value): &(String, Value)| format!("{name} {}", inner(value));
            fields.iter().map(field).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// A point beside a name or as a label, where an empty cell would say nothing.
pub(crate) fn called(value: &Value) -> String {
    if *value == Value::Null { "none".to_string() } else { cell(value) }
}

fn inner(value: &Value) -> String {
    match value {
        Value::Null => "null".to_string(),
        Value::Record(_) => format!("({})", cell(value)),
        other => cell(other),
    }
}

fn number(f: f64) -> String {
    let digits = 5 - f.abs().log10().floor() as i32;
    match digits {
        0..=10 => {
            let text = format!("{f:.*}", digits as usize);
            let text = if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.')
            } else {
                &text
            };
            text.to_string()
        }
        _ => format!("{f:.5e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.48232705219, "0.482327"),
            (-3.0, "-3"),
            (1e-4, "0.0001"),
            (0.00044984, "0.00044984"),
            (123456.7, "123457"),
            (1.5e9, "1.50000e9"),
            (0.0, "0"),
        ] {
            assert_eq!(cell(&Value::Float(number)), text);
        }
    }
}
