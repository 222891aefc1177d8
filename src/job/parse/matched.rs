//! `match` of rows: which rows of a table belong to which points of the loops around.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use crate::job::parse::dependent_sources::Around;
use crate::job::parse::keys::TomlEntry;
use crate::job::placeholders::Template;
use crate::model::{Points, Value, add_point};
use crate::util::error::Result;
use crate::util::text::{did_you_mean, nearest};

/// The rows of a table by the cells of the columns that are matched.
pub(super) struct MatchedRows<'a> {
    entry: TomlEntry<'a>,
    /// The columns, and the text that their cells must be.
    columns: Vec<(String, Template)>,
    rows: HashMap<Vec<String>, Vec<Range<u64>>>,
    levels: BTreeSet<usize>,
}

impl<'a> MatchedRows<'a> {
    /// The rows of a table by the columns that `match` in the loop's `rows` names; these leave the records.
    pub(super) fn of(
        rows: &TomlEntry<'a>,
        points: &mut Points,
        known: &[&str],
    ) -> Result<Option<MatchedRows<'a>>> {
        let entry = match rows.is_table() {
            true => rows.table()?.take("match"),
            false => None,
        };
        let (Some(entry), Points::Rows { records, cells }) = (entry, points) else {
            return Ok(None);
        };
        let mut wanted = Vec::new();
        if entry.is_table() {
            for (column, text) in entry.table()?.rest() {
                let template = Template::parse(&text.text()?).map_err(|why| text.error(why))?;
                wanted.push((column, template, text));
            }
        } else {
            for column in entry.array()? {
                let name = column.text()?;
                let template = Template::parse(&format!("{{{name}}}"));
                wanted.push((name, template.map_err(|why| column.error(why))?, column));
            }
        }
        let (mut levels, mut columns) = (BTreeSet::new(), Vec::new());
        let names: Vec<String> = match records.first() {
            Some(Value::Record(fields)) => fields.iter().map(|(name, _)| name.clone()).collect(),
            _ => Vec::new(),
        };
        for (column, template, place) in wanted {
            if !names.contains(&column) {
                let near = did_you_mean(&column, &names, "'");
                let all = names.join(", ");
                return Err(
                    place.error(format!("there is no column '{column}'{near} (columns: {all})"))
                );
            }
            for name in template.loops() {
                let Some(level) = known.iter().position(|known| *known == name) else {
                    let near = did_you_mean(name, known, "'");
                    let all = known.join(", ");
                    return Err(place.error(format!(
                        "{{{name}}} is no loop around this one{near} (loops: {all})"
                    )));
                };
                levels.insert(level);
            }
            columns.push((column, template));
        }
        if columns.is_empty() {
            return Err(entry.error("it names no column"));
        }
        if columns.len() == names.len() {
            return Err(
                entry.error("all columns are matched, so that no column is left for points")
            );
        }
        let at: Vec<usize> = columns
            .iter()
            .map(|(column, _)| names.iter().position(|name| name == column).unwrap_or_default())
            .collect();
        let mut rows: HashMap<Vec<String>, Vec<Range<u64>>> = HashMap::new();
        for (row, record) in (0..).zip(records.iter()) {
            let Value::Record(fields) = record else { continue };
            let text = |at: &usize| match cells.get(&(row, *at)) {
                Some(cell) => cell.clone(),
                None => fields[*at].1.to_string(),
            };
            let runs = rows.entry(at.iter().map(text).collect()).or_default();
            add_point(runs, row);
        }
        // The matched columns leave the records, and the others move up.
        let left = |column: usize| column - at.iter().filter(|gone| **gone < column).count();
        for record in records.iter_mut() {
            if let Value::Record(fields) = record {
                let mut column = 0;
                fields.retain(|_| {
                    column += 1;
                    !at.contains(&(column - 1))
                });
            }
        }
        let kept =
            std::mem::take(cells).into_iter().filter(|((_, column), _)| !at.contains(column));
        *cells = kept.map(|((row, column), text)| ((row, left(column)), text)).collect();
        Ok(Some(MatchedRows { entry, columns, rows, levels }))
    }

    /// The levels of the loops that it names.
    pub(super) fn levels(&self) -> &BTreeSet<usize> {
        &self.levels
    }

    /// The rows for the points of the loops around.
    pub(super) fn rows(&self, around: &Around) -> Result<Vec<Range<u64>>> {
        let coordinates: Vec<(&str, Value)> = self
            .levels
            .iter()
            .map(|level| ((around.name)(*level), (around.point)(*level)))
            .collect();
        let text = |(_, template): &(String, Template)| template.fill(&coordinates, |_, _| None);
        let wanted = self.columns.iter().map(text).collect::<Result<Vec<_>, _>>();
        let wanted = wanted.map_err(|why| self.entry.error(why))?;
        if let Some(rows) = self.rows.get(&wanted) {
            return Ok(rows.clone());
        }
        let mut cells: Vec<&String> = self.rows.keys().flatten().collect();
        cells.sort();
        let near = wanted.iter().find_map(|text| nearest(text, &cells));
        let near = near.map_or(String::new(), |near| format!("; the nearest cell is \"{near}\""));
        let wanted = self.columns.iter().zip(&wanted);
        let wanted: Vec<String> =
            wanted.map(|((column, _), text)| format!("\"{text}\" in column {column}")).collect();
        Err(self.entry.error(format!(
            "no row has {} at {}{near}",
            wanted.join(" and "),
            around.in_words()
        )))
    }
}
