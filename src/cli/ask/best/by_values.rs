//! What `--by` names: each of its values has its own best.

use std::collections::HashMap;

use crate::cli::ask::best::ranking::Ranking;
use crate::model::{Key, Loop, LoopNest, Value};
use crate::util::error::{Error, Result};
use crate::util::text::did_you_mean;

/// The values of loops, or of fields of their points, numbered as they come.
pub(super) struct ByValues {
    columns: Vec<ByColumn>,
    /// By the points of the columns' loops: the number of their values.
    known: HashMap<Vec<u64>, usize>,
    numbers: HashMap<String, usize>,
    values: Vec<Vec<Value>>,
}

struct ByColumn {
    name: String,
    level: usize,
    /// The field, if it is one of the loop's points.
    field: Option<String>,
}

impl ByValues {
    /// Nothing if nothing is named.
    pub(super) fn of(
        nest: &LoopNest,
        ranking: &Ranking,
        names: &[String],
    ) -> Result<Option<ByValues>> {
        let column = |name: &String| {
            ByColumn::of(nest, ranking, name)
                .map_err(|why| Error::input(format!("--by {name}: {why}")))
        };
        let columns = names.iter().map(column).collect::<Result<Vec<_>>>()?;
        let (known, numbers, values) = (HashMap::new(), HashMap::new(), Vec::new());
        Ok((!columns.is_empty()).then_some(ByValues { columns, known, numbers, values }))
    }

    /// The levels of the loops that are named.
    pub(super) fn levels(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().map(|column| column.level)
    }

    /// The number of the values at a point.
    pub(super) fn number(&mut self, nest: &LoopNest, key: Key) -> usize {
        let indices = nest.indices(key);
        let points: Vec<u64> = self.columns.iter().map(|column| indices[column.level]).collect();
        if let Some(number) = self.known.get(&points) {
            return *number;
        }
        let column = |(column, point): (&ByColumn, &u64)| column.value(nest, *point);
        let values: Vec<Value> = self.columns.iter().zip(&points).map(column).collect();
        let text = values.iter().map(Value::to_exact).collect::<Vec<_>>().join("\n");
        let next = self.values.len();
        let number = *self.numbers.entry(text).or_insert(next);
        if number == next {
            self.values.push(values);
        }
        self.known.insert(points, number);
        number
    }

    /// The names of fields, which have no column of their own elsewhere, with their values.
    pub(super) fn fields(&self, number: usize) -> impl Iterator<Item = (&str, &Value)> {
        let named = self.named(number);
        named.zip(&self.columns).filter(|(_, column)| column.field.is_some()).map(|(of, _)| of)
    }

    /// All names, with the values of this number.
    pub(super) fn named(&self, number: usize) -> impl Iterator<Item = (&str, &Value)> {
        let names = self.columns.iter().map(|column| column.name.as_str());
        names.zip(self.values.get(number).into_iter().flatten())
    }

    /// The names of fields.
    pub(super) fn field_names(&self) -> impl Iterator<Item = &str> {
        let fields = self.columns.iter().filter(|column| column.field.is_some());
        fields.map(|column| column.name.as_str())
    }
}

impl ByColumn {
    fn of(nest: &LoopNest, ranking: &Ranking, name: &str) -> Result<ByColumn, String> {
        let (own, field) = match name.split_once('.') {
            Some((own, field)) => (own, Some(field)),
            None => (name, None),
        };
        let loops = nest.loops();
        let ranked: Vec<&str> =
            loops[ranking.group..ranking.level].iter().map(|l| l.name.as_str()).collect();
        let known = format!("loops that are ranked: {}", ranked.join(", "));
        let Some(level) = loops.iter().position(|l| l.name == own) else {
            let near = did_you_mean(own, &ranked, "'");
            return Err(format!(
                "there is no loop '{own}'; {known}{near} (--max or --min ranks by a field of the results)"
            ));
        };
        if level < ranking.group {
            return Err(format!("each row has one point of loop '{own}'; {known}"));
        }
        if level >= ranking.level {
            return Err(format!("loop '{own}' is inside each point that is ranked; {known}"));
        }
        if let Some(field) = field {
            check_field(&loops[level], field)?;
        }
        Ok(ByColumn { name: name.to_string(), level, field: field.map(String::from) })
    }

    /// The value at a point of its loop; null where the loop does not apply, or the point has no such field.
    fn value(&self, nest: &LoopNest, point: u64) -> Value {
        let l = &nest.loops()[self.level];
        match &self.field {
            _ if l.none == Some(point) => Value::Null,
            Some(field) => l.points.get(point).at_path(field).cloned().unwrap_or_default(),
            None => l.points.get(point),
        }
    }
}

/// Fails if no point of the loop has the field.
fn check_field(l: &Loop, field: &str) -> Result<(), String> {
    let fields = l.points.fields();
    let is_there = || (0..l.points.len()).any(|point| l.points.get(point).at_path(field).is_some());
    if fields.iter().any(|known| known == field) || !fields.is_empty() && is_there() {
        return Ok(());
    }
    let names: Vec<&str> = fields.iter().map(String::as_str).collect();
    Err(match names.as_slice() {
        [] => format!("points of loop '{}' have no fields; write --by {}", l.name, l.name),
        names => {
            let near = did_you_mean(field, names, "'");
            let known = names.join(", ");
            format!("points of loop '{}' have no field '{field}'; they have: {known}{near}", l.name)
        }
    })
}
