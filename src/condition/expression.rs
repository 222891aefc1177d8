//! Expressions over the points of loops: conditions, and the bounds of numbers.

use rusqlite::types::{ToSqlOutput, Value as Sql, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::condition::names::{KnownName, Names};
use crate::condition::permissions::Permissions;
use crate::condition::tokens::Holds;
use crate::condition::translate::translate;
use crate::model::Value;
use crate::util::text::did_you_mean;

/// A value that an expression can name: the point of a loop, or a field of it.
#[derive(Clone, Debug)]
pub(crate) struct LoopColumn {
    /// The loop's level.
    pub(crate) level: usize,
    pub(crate) field: Option<String>,
    pub(crate) name: String,
    pub(crate) holds: Holds,
    pub(crate) may_be_none: bool,
}

/// An expression, translated and checked.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    /// As the user wrote it.
    pub(crate) text: String,
    /// What it names, in the order of its parameters.
    pub(crate) columns: Vec<LoopColumn>,
    sql: String,
}

/// What an expression gives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ExpressionValue {
    Number(f64),
    /// SQL's null: something that it compares is none, or the computation has no result.
    None,
    Text(String),
}

/// Translates expressions, and evaluates them.
pub(crate) struct Evaluator(Connection);

/// The most statements that are kept: one per expression of a job.
const STATEMENTS: usize = 200;

impl Evaluator {
    pub(crate) fn new() -> Result<Evaluator, String> {
        let connection = Connection::open_in_memory().map_err(|error| error.to_string())?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Evaluator(connection))
    }

    /// An expression over these columns.
    pub(crate) fn parse(&self, text: &str, columns: &[LoopColumn]) -> Result<Expression, String> {
        let mut named = NamedColumns { all: columns, used: Vec::new() };
        let sql = format!("SELECT ({})", translate(text, &mut named)?);
        let permissions = Permissions { view: "", functions: &[] };
        permissions.check(&self.0, &sql).map_err(|error| in_words(&error))?;
        let columns = named.used.iter().map(|at| columns[*at].clone()).collect();
        Ok(Expression { text: text.to_string(), columns, sql })
    }

    /// The value of an expression for the values of its columns, which are in their order.
    pub(crate) fn evaluate(
        &self,
        expression: &Expression,
        values: impl Iterator<Item = Value>,
    ) -> Result<ExpressionValue, String> {
        let mut statement =
            self.0.prepare_cached(&expression.sql).map_err(|error| in_words(&error))?;
        let values = values.map(|value| ToSqlOutput::Owned(sql_value(value)));
        let outcome = statement.query_row(params_from_iter(values), |row| {
            Ok(match row.get_ref(0)? {
                ValueRef::Integer(whole) => ExpressionValue::Number(whole as f64),
                ValueRef::Real(number) => ExpressionValue::Number(number),
                ValueRef::Null => ExpressionValue::None,
                ValueRef::Text(text) | ValueRef::Blob(text) => {
                    ExpressionValue::Text(String::from_utf8_lossy(text).into_owned())
                }
            })
        });
        outcome.map_err(|error| in_words(&error))
    }
}

/// SQLite's message, without the query.
pub(crate) fn in_words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}

/// A value as SQL has it.
pub(crate) fn sql_value(value: Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Bool(truth) => Sql::Integer(truth.into()),
        Value::Int(whole) => Sql::Integer(whole),
        Value::Float(number) => Sql::Real(number),
        Value::Text(text) => Sql::Text(text),
        json => Sql::Text(json.to_string()),
    }
}

/// The columns, each a parameter of the statement once it is named.
struct NamedColumns<'a> {
    all: &'a [LoopColumn],
    used: Vec<usize>,
}

impl Names for NamedColumns<'_> {
    fn find(&mut self, name: &str) -> Result<Option<KnownName>, String> {
        let Some(at) = self.all.iter().position(|column| column.name == name) else {
            return Ok(None);
        };
        let used = self.used.iter().position(|used| *used == at);
        let number = used.unwrap_or_else(|| {
            self.used.push(at);
            self.used.len() - 1
        });
        let sql = format!("?{}", number + 1);
        Ok(Some(KnownName { sql, holds: self.all[at].holds }))
    }

    fn all(&self) -> Vec<String> {
        self.all.iter().map(|column| column.name.clone()).collect()
    }

    fn may_be_none(&self, name: &str) -> bool {
        self.all.iter().any(|column| column.name == name && column.may_be_none)
    }

    fn quotes_strings(&self) -> bool {
        false
    }

    fn unknown(&self, name: &str) -> String {
        let all = self.all();
        let near = did_you_mean(name, &all, "'");
        match all.is_empty() {
            true => format!("there is no loop '{name}' around it"),
            false => format!("there is no loop '{name}' here{near} (known: {})", all.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(level: usize, name: &str, holds: Holds) -> LoopColumn {
        let field = name.split_once('.').map(|(_, field)| field.to_string());
        LoopColumn { level, field, name: name.to_string(), holds, may_be_none: name == "alpha" }
    }

    fn parsed(text: &str) -> Result<Expression, String> {
        let mut all = vec![
            column(0, "model", Holds::Text),
            column(1, "alpha", Holds::Numbers),
            column(2, "case.folds", Holds::Numbers),
        ];
        all.extend(
            ["order", "case", "to", "and", "in", "group", "limit", "select", "is"]
                .map(|name| column(3, name, Holds::Numbers)),
        );
        Evaluator::new().unwrap().parse(text, &all)
    }

    fn value(text: &str, values: &[Value]) -> ExpressionValue {
        let expression = parsed(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(expression.columns.len(), values.len(), "{text}");
        Evaluator::new().unwrap().evaluate(&expression, values.iter().cloned()).unwrap()
    }

    #[test]
    fn expressions_are_evaluated() {
        let text = |text: &str| Value::Text(text.to_string());
        for (expression, values, expected) in [
            ("5 / 2", vec![], ExpressionValue::Number(2.5)),
            ("7 - 5 / 2 * 2", vec![], ExpressionValue::Number(2.0)),
            ("case.folds * 2", vec![Value::Int(3)], ExpressionValue::Number(6.0)),
            ("model = 'ridge'", vec![text("ridge")], ExpressionValue::Number(1.0)),
            ("alpha is null or alpha < 1", vec![Value::Null], ExpressionValue::Number(1.0)),
            ("alpha is null or alpha < 1", vec![Value::Float(3.0)], ExpressionValue::Number(0.0)),
            ("coalesce(alpha, 0) < 1", vec![Value::Null], ExpressionValue::Number(1.0)),
            ("1 / 0", vec![], ExpressionValue::None),
            ("lower(model)", vec![text("A")], ExpressionValue::Text("a".to_string())),
        ] {
            assert_eq!(value(expression, &values), expected, "{expression}");
        }
        for name in ["order", "case", "to", "and", "in", "group", "limit", "select", "is"] {
            let sum = value(&format!("{name} + 1 > 2 and not {name} < 2"), &[Value::Int(2)]);
            assert_eq!(sum, ExpressionValue::Number(1.0), "{name}");
        }
    }

    #[test]
    fn what_sql_would_answer_surprisingly_is_refused() {
        for (expression, says) in [
            ("alpha < 1", "write what is meant then, as in (alpha is null or alpha < 1)"),
            ("alpha = null", "alpha is null"),
            ("model = 3", "write model = '3'"),
            ("\"rigde\" = model", "there is no loop 'rigde' here"),
            ("modell = 'ridge'", "did you mean 'model'?"),
            ("datetime('now') > 'a'", "not 'now'"),
            ("random() < 3", "there is no function 'random'"),
            ("(select 1)", "syntax error"),
            ("model = lower(", "a ')' is missing"),
        ] {
            match parsed(expression) {
                Ok(parsed) => panic!("{expression} became {}", parsed.sql),
                Err(why) => assert!(why.contains(says), "{expression}: {why}"),
            }
        }
    }
}
