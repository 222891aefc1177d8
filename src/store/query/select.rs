//! Selects runs by a condition, in an order, with the requested columns, and streams the rows.

use std::sync::Arc;

use rusqlite::Rows;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::types::ValueRef;
use serde_json::Map;

use crate::condition::{self, Names, Permissions};
use crate::job::SCORE;
use crate::model::Value;
use crate::store::query::columns::{Column, ColumnKind, ColumnSource};
use crate::store::query::functions;
use crate::store::query::known::Known;
use crate::store::score_rows::{RunValue, unread};
use crate::store::view::{all_runs, runs_of};
use crate::store::{StoreReader, skipped_runs, storing};
use crate::util::error::{Error, Result};
use crate::util::text::quoted;

/// A column beside those of the view: the key of the row. No loop or field can have this name.
const KEY: &str = "row key";

/// A query over runs.
pub(crate) struct Select<'a> {
    reader: &'a StoreReader,
    conditions: Vec<String>,
    /// The conditions as the user wrote them.
    clauses: Vec<String>,
    order: Vec<String>,
    limit: Option<u64>,
    /// Whether values are delivered whatever their size.
    all_values: bool,
    /// Whether a condition names what only runs that are there have, so that no skipped one meets it.
    names_runs: bool,
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
            all_values: true,
            names_runs: false,
        }
    }

    fn known(&self) -> Result<Known<'a>> {
        let results = &self.reader.results;
        let folder = results.folder().to_path_buf();
        let added = functions::add(results.connection(), self.reader.nest(), folder);
        added.map_err(|error| storing(self.reader.path(), &error))?;
        Known::of(self.reader)
    }

    /// Selects failed runs only.
    pub(crate) fn failed(&mut self) {
        self.conditions.push("status = 'failed'".to_string());
    }

    /// Selects runs that meet a condition.
    pub(crate) fn only(&mut self, clause: &str) -> Result<()> {
        let no = |why: String| refused(clause, &why);
        let mut known = self.known()?;
        let sql = condition::translate(clause, &mut known).map_err(no)?;
        self.names_runs |= known.names_runs;
        // SQLite finds the remaining errors.
        let whole = format!("SELECT 1 FROM all_runs WHERE ({sql})");
        let permissions = Permissions { view: "all_runs", functions: &functions::OWN };
        let checked = permissions.check(self.reader.results.connection(), &whole);
        checked.map_err(|error| no(condition::in_words(&error)))?;
        self.conditions.push(sql);
        self.clauses.push(clause.to_string());
        Ok(())
    }

    /// Sorts by columns, each optionally followed by `asc` or `desc`.
    pub(crate) fn sort(&mut self, order: &str) -> Result<()> {
        let no = |why: String| Error::input(format!("--sort \"{order}\": {why}"));
        let mut known = self.known()?;
        let mut rest = Some(order);
        while let Some(part) = rest {
            let (name, behind) = condition::first_name(part).map_err(no)?;
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
            let found = known.find(&name).map_err(no)?;
            let found = found.ok_or_else(|| no(known.unknown(&name)))?;
            self.order.push(format!("{} {way} NULLS LAST", found.sql));
        }
        Ok(())
    }

    /// Limits the number of rows.
    pub(crate) fn limit(&mut self, limit: u64) {
        self.limit = Some(limit);
    }

    /// Leaves large values unread: rows then have a text that says how large they are.
    pub(crate) fn small_values(&mut self) {
        self.all_values = false;
    }

    /// Calls `each` with every row, in the requested columns. Values are read one by one, and only if they are
    /// among them, so that none has to be sorted.
    pub(crate) fn rows(
        &self,
        columns: &[Column],
        mut each: impl FnMut(&[Value]) -> Result<()>,
    ) -> Result<()> {
        let of_result = |column: &Column| matches!(column.source, ColumnSource::Result(_));
        let (has_fields, has_value) = (columns.iter().any(of_result), columns.iter().any(is_value));
        let all_values = self.all_values && (has_fields || has_value);
        let mut sql = format!("SELECT \"{KEY}\", task");
        for column in columns.iter().filter(|column| !is_value(column)) {
            match &column.source {
                ColumnSource::Run => sql += &format!(", {}", quoted(&column.name, '"')),
                ColumnSource::Score => sql += &format!(", {SCORE}"),
                ColumnSource::Point { .. } | ColumnSource::Result(_) => {}
            }
        }
        let queries = self.queries(&sql)?;
        let failed = |error: rusqlite::Error| self.no_rows(&error);
        let nest = self.reader.nest();
        let store = self.reader.results.connection();
        let prepared = queries.iter().map(|sql| store.prepare(sql));
        let mut statements = prepared.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let queried = statements.iter_mut().map(|statement| statement.query([]));
        let mut sources = queried.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        sources.iter_mut().try_for_each(Rows::advance).map_err(failed)?;
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut values = Vec::with_capacity(columns.len());
        while let Some((task, at)) = first(&sources).map_err(failed)?
            && left > 0
        {
            left -= 1;
            let Some(row) = sources[at].get() else { break };
            let points = nest.indices(nest.task(task as u64));
            let (mut record, mut whole) = (Map::new(), Value::Null);
            let key = row.get(0).map_err(failed)?;
            self.reader.results.value(key, all_values, |value| match value {
                RunValue::Json(json) => {
                    if has_fields {
                        record = functions::parsed(&json);
                    }
                    if has_value {
                        whole = Value::parse(&json).unwrap_or_else(|_| (*json).into());
                    }
                }
                RunValue::Score(score) => whole = Value::Float(score),
                RunValue::Unread(bytes) => whole = unread(bytes),
                RunValue::None => {}
            })?;
            let mut next = 2;
            for column in columns {
                let value = match &column.source {
                    ColumnSource::Run if is_value(column) => std::mem::take(&mut whole),
                    ColumnSource::Run | ColumnSource::Score => {
                        next += 1;
                        let read = row.get_ref(next - 1).map_err(failed)?;
                        match read.as_str() {
                            Ok(text) if column.kind == ColumnKind::Json => {
                                let json = self.reader.results.whole_json(text)?;
                                Value::parse(&json).unwrap_or_else(|_| (*json).into())
                            }
                            _ => of_sql(read),
                        }
                    }
                    ColumnSource::Point { .. } => column.at(nest, &points),
                    ColumnSource::Result(field) => {
                        // Left in its place, so that the others keep theirs.
                        let json = record.get_mut(field).map(serde_json::Value::take);
                        Value::from_json(json.unwrap_or_default())
                    }
                };
                values.push(column.kind.fit(value));
            }
            each(&values)?;
            values.clear();
            sources[at].advance().map_err(failed)?;
        }
        Ok(())
    }

    /// The queries for the rows, each in order: that of the runs that are there and, in grid order, that of those that
    /// were skipped. `sql` selects columns.
    fn queries(&self, sql: &str) -> Result<Vec<String>> {
        let results = &self.reader.results;
        let (keys, more) = (&results.keys, self.reader.more_sql()?);
        let (own_key, stopped) = (Some(("r.rowid", KEY)), results.stopped()?);
        let ended = |query: &str, last: Option<&str>| {
            let mut sql = format!("{sql} FROM ({query}) all_runs");
            for (i, condition) in self.conditions.iter().enumerate() {
                sql += &format!(" {} ({condition})", if i == 0 { "WHERE" } else { "AND" });
            }
            let order: Vec<&str> = self.order.iter().map(String::as_str).chain(last).collect();
            if !order.is_empty() {
                sql += &format!(" ORDER BY {}", order.join(", "));
            }
            if let Some(limit) = self.limit {
                sql += &format!(" LIMIT {}", limit.min(i64::MAX as u64));
            }
            sql
        };
        // By the key, SQLite need not sort.
        let by_key = format!("\"{KEY}\"");
        let last = if keys.are_in_grid_order() { &*by_key } else { "task" };
        if stopped.is_empty() {
            return Ok(vec![ended(&all_runs(keys, own_key, &more), Some(last))]);
        }
        let added = skipped_runs::add_functions(results, &Arc::new(stopped));
        added.map_err(|error| storing(self.reader.path(), &error))?;
        let made = runs_of(&skipped_runs::MADE, keys, own_key, &more);
        if self.names_runs {
            return Ok(vec![ended(&made, Some(last))]);
        }
        let skipped = runs_of(&skipped_runs::SKIPPED, keys, own_key, &more);
        Ok(match self.order.is_empty() {
            true => vec![ended(&made, Some(last)), ended(&skipped, None)],
            false => vec![ended(&format!("{made} UNION ALL {skipped}"), Some("task"))],
        })
    }

    /// The error if rows cannot be read: of the store, or of a condition that fails on some rows.
    fn no_rows(&self, error: &rusqlite::Error) -> Error {
        use rusqlite::ffi::ErrorCode::{TooBig, TypeMismatch, Unknown};
        match error.sqlite_error_code() {
            Some(Unknown | TooBig | TypeMismatch) if !self.clauses.is_empty() => {
                refused(&self.clauses.join("\" --where \""), &condition::in_words(error))
            }
            _ => storing(self.reader.path(), error),
        }
    }
}

/// The first task among the rows where queries are, and which of these has it. One query is in an order of its own.
fn first(sources: &[Rows]) -> Result<Option<(i64, usize)>, rusqlite::Error> {
    let mut found: Option<(i64, usize)> = None;
    for (at, source) in sources.iter().enumerate() {
        let Some(row) = source.get() else { continue };
        let task = row.get(1)?;
        if found.is_none_or(|(first, _)| task < first) {
            found = Some((task, at));
        }
    }
    Ok(found)
}

/// Whether this is the column of what crunch returned.
fn is_value(column: &Column) -> bool {
    column.source == ColumnSource::Run && column.name == "value"
}

fn of_sql(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Integer(whole) => Value::Int(whole),
        ValueRef::Real(number) => Value::Float(number),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => text.into(),
            Err(_) => Value::Null,
        },
        ValueRef::Null | ValueRef::Blob(_) => Value::Null,
    }
}

/// The error message for an invalid condition.
fn refused(clause: &str, why: &str) -> Error {
    Error::input(format!("--where \"{clause}\": {why}"))
}
