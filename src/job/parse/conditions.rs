//! The conditions of a loop: `where` keeps points of its own, `only_if` says where it applies at all.

use std::collections::BTreeSet;

use crate::condition::{Evaluator, Expression, ExpressionValue, Holds, LoopColumn};
use crate::job::named_words;
use crate::job::parse::keys::TomlEntry;
use crate::model::{Points, Value};
use crate::util::error::Result;
use crate::util::text::did_you_mean;

/// A condition over points of loops.
pub(super) struct Condition<'a> {
    pub(super) entry: TomlEntry<'a>,
    test: Test,
}

enum Test {
    /// Each of these columns has one of the values.
    OneOf(Vec<(LoopColumn, Vec<Value>)>),
    Sql(Expression),
}

impl<'a> Condition<'a> {
    /// A condition over these columns, as SQL.
    pub(super) fn sql(
        entry: TomlEntry<'a>,
        evaluator: &Evaluator,
        columns: &[LoopColumn],
    ) -> Result<Condition<'a>> {
        let text = entry.text()?;
        let expression = evaluator.parse(&text, columns);
        let expression = expression.map_err(|why| entry.error(format!("\"{text}\": {why}")))?;
        Ok(Condition { entry, test: Test::Sql(expression) })
    }

    /// The same, or a table of names and the values that they must have.
    pub(super) fn parse(
        entry: TomlEntry<'a>,
        evaluator: &Evaluator,
        columns: &[LoopColumn],
    ) -> Result<Condition<'a>> {
        if !entry.is_table() {
            return Condition::sql(entry, evaluator, columns);
        }
        let mut all = Vec::new();
        for (name, wanted) in entry.table()?.rest() {
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            let Some(column) = columns.iter().find(|column| column.name == name) else {
                let near = did_you_mean(&name, &names, "'");
                let known = names.join(", ");
                return Err(
                    wanted.error(format!("there is no loop '{name}' here{near} (known: {known})"))
                );
            };
            let values = match wanted.value()? {
                Value::List(values) => values,
                one => vec![one],
            };
            if values.is_empty() {
                return Err(wanted.error("an empty list is never true"));
            }
            for value in &values {
                let is_text = matches!(value, Value::Text(_));
                let what = match column.holds {
                    Holds::Text if !is_text => "strings",
                    Holds::Numbers | Holds::Truth if is_text => "numbers",
                    _ => continue,
                };
                return Err(wanted.error(format!("{name} has {what}, and {value:?} is none")));
            }
            all.push((column.clone(), values));
        }
        if all.is_empty() {
            return Err(entry.error("an empty table says nothing"));
        }
        Ok(Condition { entry, test: Test::OneOf(all) })
    }

    fn columns(&self) -> impl Iterator<Item = &LoopColumn> {
        let (pairs, expression) = match &self.test {
            Test::OneOf(pairs) => (pairs.as_slice(), None),
            Test::Sql(expression) => (&[][..], Some(expression)),
        };
        let of_pairs = pairs.iter().map(|(column, _)| column);
        of_pairs.chain(expression.into_iter().flat_map(|expression| &expression.columns))
    }

    /// The levels of the loops that it names.
    pub(super) fn levels(&self) -> BTreeSet<usize> {
        self.columns().map(|column| column.level).collect()
    }

    /// Whether it is true. `value` gives the point of the loop at a level.
    pub(super) fn holds(
        &self,
        evaluator: &Evaluator,
        value: impl Fn(usize) -> Value,
    ) -> Result<bool> {
        let of = |column: &LoopColumn| column_value(column, value(column.level));
        let expression = match &self.test {
            Test::OneOf(pairs) => {
                let is_one = |(column, values): &(LoopColumn, Vec<Value>)| {
                    let value = of(column);
                    values.iter().any(|wanted| is_equal(wanted, &value))
                };
                return Ok(pairs.iter().all(is_one));
            }
            Test::Sql(expression) => expression,
        };
        let why = match evaluator.evaluate(expression, expression.columns.iter().map(&of)) {
            Ok(ExpressionValue::Number(number)) => return Ok(number != 0.0),
            Ok(ExpressionValue::None) => {
                "it is neither true nor false: something in it is none, or has no result"
                    .to_string()
            }
            Ok(ExpressionValue::Text(text)) => {
                format!("it gives the string '{text}', and a condition is true or false")
            }
            Err(why) => why,
        };
        let place = named_words(expression.columns.iter().map(|column| (&column.name, of(column))));
        Err(self.entry.error(format!("\"{}\" at {place}: {why}", expression.text)))
    }
}

/// The point of a column's loop, or its field.
pub(super) fn column_value(column: &LoopColumn, point: Value) -> Value {
    match &column.field {
        None => point,
        Some(field) => point.field(field).cloned().unwrap_or_default(),
    }
}

fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            one.as_f64() == other.as_f64()
        }
        _ => one == other,
    }
}

/// What conditions can name of a loop with these points: the point, and its fields.
pub(super) fn columns(level: usize, name: &str, points: &Points) -> Vec<LoopColumn> {
    let fields = points.fields();
    let mut held: Vec<Held> = vec![Held::default(); fields.len() + 1];
    match points {
        Points::Range { .. } => held[0].add(&Value::Int(0)),
        Points::Linspace { .. } | Points::Logspace { .. } => held[0].add(&Value::Float(0.0)),
        _ => {
            for point in 0..points.len() {
                let value = points.get(point);
                for (at, field) in fields.iter().enumerate() {
                    held[at + 1].add(value.field(field).unwrap_or(&Value::Null));
                }
                held[0].add(&value);
            }
        }
    }
    let column = |(held, field): (&Held, Option<&String>)| LoopColumn {
        level,
        field: field.cloned(),
        name: field.map_or(name.to_string(), |field| format!("{name}.{field}")),
        holds: held.holds(),
        may_be_none: held.none,
    };
    held.iter().zip(std::iter::once(None).chain(fields.iter().map(Some))).map(column).collect()
}

/// The types of values that a column has.
#[derive(Clone, Default)]
struct Held {
    numbers: bool,
    truths: bool,
    strings: bool,
    others: bool,
    none: bool,
}

impl Held {
    fn add(&mut self, value: &Value) {
        match value {
            Value::Null => self.none = true,
            Value::Bool(_) => self.truths = true,
            Value::Int(_) | Value::Float(_) => self.numbers = true,
            Value::Text(_) => self.strings = true,
            Value::List(_) | Value::Record(_) => self.others = true,
        }
    }

    fn holds(&self) -> Holds {
        match self {
            Held { others: true, .. } => Holds::Both,
            Held { strings: true, numbers: false, truths: false, .. } => Holds::Text,
            Held { strings: false, numbers: true, .. } => Holds::Numbers,
            Held { strings: false, truths: true, .. } => Holds::Truth,
            _ => Holds::Both,
        }
    }
}
