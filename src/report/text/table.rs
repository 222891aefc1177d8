//! The result as a table for a terminal.

use crate::model::{Key, Reduce, Value};
use crate::report::text::cells::cell;
use crate::report::text::field_columns::FieldColumns;
use crate::report::text::finals::FinalCells;
use crate::report::text::lines::Lines;
use crate::report::text::means::{NOTE, OVER_ALL, mean_over_all};
use crate::report::text::words::things;
use crate::report::{Rows, remark};
use crate::store::Results;
use crate::util::error::Result;
use crate::util::text::beginning;

/// Maximum number of rows printed; summary.csv has them all.
pub(crate) const TABLE_ROWS: usize = 200;

/// Maximum width of a summary. (characters)
const WIDEST: usize = 80;

/// The most columns of what final calls gave; summary.csv has them all.
const MOST_OF_FINALS: usize = 4;

/// One row per point of the outermost loops.
pub(crate) fn table(results: &Results) -> Result<String> {
    let nest = results.nest();
    let rows = Rows::shown(nest);
    let mut header = rows.coordinate_names();
    let texts = header.len();
    header.extend(rows.best_names().iter().map(|name| format!("best {name}")));
    let score = header.len();
    // The output of the user's own summarize is shown in full.
    let native = nest.loops().get(nest.outer()).is_some_and(|l| l.reduce == Some(Reduce::Native));
    let stopped = results.stopped()?;
    let has_kept = results.kept_runs(&stopped, Key::ROOT)? > 0;
    let columns = match native {
        true => FieldColumns::default(),
        false => FieldColumns::of(results, TABLE_ROWS)?,
    };
    header.push(columns.heading(nest, &results.score_name()?));
    header.extend(columns.names());
    let finals = FinalCells::of(results)?;
    let (final_names, final_cells) = finals.few(MOST_OF_FINALS);
    header.extend(final_names);
    header.push("runs".to_string());
    let (mut all, mut over_all, mut remarks, mut number) = (Vec::new(), Vec::new(), Vec::new(), 0);
    results.summaries(nest.outer(), |summary| {
        number += 1;
        if number > TABLE_ROWS {
            return Ok(());
        }
        let mut cells: Vec<String> = rows.coordinates(summary.key).iter().map(cell).collect();
        let best = cells.len()..;
        cells.extend(rows.best(&summary).iter().map(cell));
        if summary.best_of().is_some()
            && let Some(first) = cells[best].iter_mut().find(|cell| !cell.is_empty())
        {
            first.push('*');
        }
        remarks.push(remark(results, &stopped, &summary));
        let value = summary.result.as_ref().map(|scored| scored.value.get()).unwrap_or_default();
        cells.push(match &summary.result {
            Ok(scored) => match scored.score {
                Some(score) if !native => columns.score(score, &value),
                _ if columns.have_all(&value) => String::new(),
                _ => beginning(&cell(&value), WIDEST),
            },
            Err(_) => String::new(),
        });
        cells.extend(columns.cells(&value));
        let made = final_cells(summary.key.index);
        cells.extend(made.iter().map(|value| beginning(&cell(value), WIDEST)));
        let skipped = stopped.skipped(summary.key);
        let total = summary.runs + summary.failed + skipped;
        let kept = match has_kept {
            true => results.kept_runs(&stopped, summary.key)?,
            false => 0,
        };
        let kept = match kept {
            0 => String::new(),
            kept => format!(", {kept} kept from an earlier crunch"),
        };
        let mut runs = format!("{} of {total}", summary.runs);
        for (number, what) in [(summary.failed, "failed"), (skipped, "skipped")] {
            if number > 0 {
                runs += &format!(", {number} {what}");
            }
        }
        cells.push(runs + &kept);
        all.push(cells);
        over_all.push(mean_over_all(results, &summary)?);
        Ok(())
    })?;
    let differs = over_all.iter().any(Option::is_some);
    if differs {
        header.insert(score + 1, OVER_ALL.to_string());
    }
    let mut header: Vec<(String, bool)> =
        header.into_iter().enumerate().map(|(i, name)| (name, i >= texts)).collect();
    if remarks.iter().any(|remark| !remark.is_empty()) {
        header.push((String::new(), false));
        all.iter_mut().zip(remarks).for_each(|(cells, remark)| cells.push(remark));
    }
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
    if columns.more > 0 {
        text += &format!("... and {} in summary.csv\n", things(columns.more as u64, "field"));
    }
    if number > TABLE_ROWS {
        text += &format!("... and {} rows more in summary.csv", number - TABLE_ROWS);
    }
    Ok(text.trim_end().to_string())
}
