//! Selects runs by a condition, in an order, with the requested columns, and streams the rows.

use rusqlite::types::ValueRef;

use crate::job::RUN_COLUMNS;
use crate::model::Value;
use crate::store::query::columns::{self, Column, ColumnKind};
use crate::store::query::filter::{self, Names};
use crate::store::query::permissions;
use crate::store::{StoreReader, storing};
use crate::util::error::{Error, Result};

/// A query over runs.
pub(crate) struct Select<'a> {
    reader: &'a StoreReader,
    conditions: Vec<String>,
    /// The conditions as the user wrote them.
    clauses: Vec<String>,
    order: Vec<String>,
    limit: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A string, or JSON if the column's type says so.
    Text(&'a str),
}

impl Cell<'_> {
    fn of(value: ValueRef<'_>, kind: ColumnKind) -> Cell<'_> {
        match (value, kind) {
            (ValueRef::Integer(whole), ColumnKind::Bool) => Cell::Bool(whole != 0),
            (ValueRef::Integer(whole), ColumnKind::Float | ColumnKind::Time) => {
                Cell::Float(whole as f64)
            }
            (ValueRef::Integer(whole), _) => Cell::Int(whole),
            (ValueRef::Real(number), _) => Cell::Float(number),
            (ValueRef::Text(text), kind) => match (std::str::from_utf8(text), kind) {
                (Ok(text), ColumnKind::Float) => text.parse().map_or(Cell::Null, Cell::Float),
                (Ok(text), _) => Cell::Text(text),
                (Err(_), _) => Cell::Null,
            },
            (ValueRef::Null | ValueRef::Blob(_), _) => Cell::Null,
        }
    }

    /// As a value of a column of this type.
    pub(crate) fn value(self, kind: ColumnKind) -> Value {
        match self {
            Cell::Null => Value::Null,
            Cell::Bool(truth) => Value::Bool(truth),
            Cell::Int(whole) => Value::Int(whole),
            Cell::Float(number) => Value::Float(number),
            Cell::Text(json) if kind == ColumnKind::Json => {
                Value::parse(json).unwrap_or(json.into())
            }
            Cell::Text(text) => text.into(),
        }
    }
}

impl StoreReader {
    /// The columns of the task and its coordinates.
    pub(crate) fn coordinate_columns(&self) -> Vec<Column> {
        std::iter::once(Column::of_run("task")).chain(columns::coordinates(self.nest())).collect()
    }

    /// The fields of the records that crunch returned. A field with the name of another column is called
    /// `value.FIELD`.
    pub(crate) fn field_columns(&self) -> Result<Vec<Column>> {
        let score = self.note("score")?.unwrap_or_default();
        let found = columns::fields(self.results.connection(), &score);
        let mut found = found.map_err(|error| storing(self.path(), &error))?;
        let taken: Vec<String> = self.plain_columns().into_iter().map(|c| c.name).collect();
        for column in &mut found {
            if taken.contains(&column.name) {
                column.name = format!("value.{}", column.name);
            }
        }
        Ok(found)
    }

    /// Whether crunch returned anything but plain numbers.
    pub(crate) fn has_values(&self) -> Result<bool> {
        self.one("SELECT EXISTS (SELECT 1 FROM runs WHERE value IS NOT NULL)", [], |row| row.get(0))
    }

    fn plain_columns(&self) -> Vec<Column> {
        let mut all = self.coordinate_columns();
        all.extend(RUN_COLUMNS[1..].iter().map(|name| Column::of_run(name)));
        for record in columns::records(self.nest()) {
            if !all.iter().any(|column| column.name == record.name) {
                all.push(record);
            }
        }
        all
    }
}

/// The columns that a condition can name.
struct Known<'a> {
    reader: &'a StoreReader,
    plain: Vec<Column>,
    /// The fields of records, loaded on first use because that reads all runs.
    fields: Option<Vec<Column>>,
}

impl Names for Known<'_> {
    fn find(&mut self, name: &str) -> Result<Option<String>, String> {
        if let Some(column) = self.plain.iter().find(|column| column.name == name) {
            return Ok(Some(column.compared.clone()));
        }
        if self.fields.is_none() {
            self.fields = Some(self.reader.field_columns().map_err(|error| error.to_string())?);
        }
        let bare = name.strip_prefix("value.").unwrap_or(name);
        let mut fields = self.fields.iter().flatten();
        let named = |column: &&Column| column.name == name || column.name == bare;
        Ok(fields.find(named).map(|column| column.compared.clone()))
    }

    fn all(&self) -> Vec<String> {
        let fields = self.fields.iter().flatten();
        self.plain.iter().chain(fields).map(|column| column.name.clone()).collect()
    }
}

impl<'a> Select<'a> {
    /// All runs, in grid order.
    pub(crate) fn from(reader: &'a StoreReader) -> Select<'a> {
        Select {
            reader,
            conditions: Vec::new(),
            clauses: Vec::new(),
            order: Vec::new(),
            limit: None,
        }
    }

    fn known(&self) -> Known<'a> {
        Known { reader: self.reader, plain: self.reader.plain_columns(), fields: None }
    }

    /// Selects failed runs only.
    pub(crate) fn failed(&mut self) {
        self.conditions.push("status = 'failed'".to_string());
    }

    /// Selects runs that meet a condition.
    pub(crate) fn only(&mut self, clause: &str) -> Result<()> {
        let no = |why: String| refused(clause, &why);
        let sql = filter::translate(clause, &mut self.known()).map_err(no)?;
        // SQLite finds the remaining errors.
        let whole = format!("SELECT 1 FROM all_runs WHERE ({sql})");
        let checked = permissions::check(self.reader.results.connection(), &whole);
        checked.map_err(|error| no(in_words(&error)))?;
        self.conditions.push(sql);
        self.clauses.push(clause.to_string());
        Ok(())
    }

    /// Sorts by columns, each optionally followed by `asc` or `desc`.
    pub(crate) fn sort(&mut self, order: &str) -> Result<()> {
        let no = |why: String| Error::input(format!("--sort \"{order}\": {why}"));
        let mut known = self.known();
        let mut rest = Some(order);
        while let Some(part) = rest {
            let (name, behind) = filter::first_name(part).map_err(no)?;
            let (behind, next) = match behind.split_once(',') {
                Some((behind, next)) => (behind, Some(next)),
                None => (behind, None),
            };
            rest = next;
            let mut words = behind.split_whitespace();
            let way = match words.next().map(str::to_lowercase).as_deref() {
                None | Some("asc") => "ASC",
                Some("desc") => "DESC",
                Some(other) => {
                    return Err(no(format!(
                        "expected asc or desc after '{name}', found '{other}'"
                    )));
                }
            };
            if let Some(more) = words.next() {
                return Err(no(format!("'{more}': a ',' goes between columns")));
            }
            let sql = known.find(&name).map_err(no)?;
            let sql = sql.ok_or_else(|| no(known.unknown(&name)))?;
            self.order.push(format!("{sql} {way} NULLS LAST"));
        }
        Ok(())
    }

    /// Limits the number of rows.
    pub(crate) fn limit(&mut self, limit: u64) {
        self.limit = Some(limit);
    }

    /// Calls `each` with every row, in the requested columns.
    pub(crate) fn rows(
        &self,
        columns: &[Column],
        mut each: impl FnMut(&[Cell]) -> Result<()>,
    ) -> Result<()> {
        let wanted: Vec<&str> = columns.iter().map(|column| column.sql.as_str()).collect();
        let mut sql = format!("SELECT {}, task FROM all_runs", wanted.join(", "));
        for (i, condition) in self.conditions.iter().enumerate() {
            sql += &format!(" {} ({condition})", if i == 0 { "WHERE" } else { "AND" });
        }
        let order: Vec<&str> = self.order.iter().map(String::as_str).chain(["task"]).collect();
        sql += &format!(" ORDER BY {}", order.join(", "));
        if let Some(limit) = self.limit {
            sql += &format!(" LIMIT {}", limit.min(i64::MAX as u64));
        }
        let failed = |error: rusqlite::Error| self.no_rows(&error);
        let mut statement = self.reader.results.connection().prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let cell = |(i, column): (usize, &Column)| {
                row.get_ref(i).map(|value| Cell::of(value, column.kind))
            };
            let cells = columns.iter().enumerate().map(cell).collect::<Result<Vec<_>, _>>();
            let cells = cells.map_err(failed)?;
            self.reader.results.check(row.get(columns.len()).map_err(failed)?)?;
            each(&cells)?;
        }
        Ok(())
    }

    /// The error if rows cannot be read: of the store, or of a condition that fails on some rows.
    fn no_rows(&self, error: &rusqlite::Error) -> Error {
        use rusqlite::ffi::ErrorCode::{TooBig, TypeMismatch, Unknown};
        match error.sqlite_error_code() {
            Some(Unknown | TooBig | TypeMismatch) if !self.clauses.is_empty() => {
                refused(&self.clauses.join("\" --where \""), &in_words(error))
            }
            _ => storing(self.reader.path(), error),
        }
    }
}

/// The error message for an invalid condition.
fn refused(clause: &str, why: &str) -> Error {
    Error::input(format!("--where \"{clause}\": {why}"))
}

/// SQLite's message, without the query.
fn in_words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}
