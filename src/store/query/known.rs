//! The columns of runs, and which of them a condition names. A name that a column of every run or of a loop has,
//! and a field of crunch too, is refused: `run.NAME` is the one, `value.NAME` the other.

use std::collections::HashMap;

use crate::condition::{Holds, KnownName, Names};
use crate::job::{FieldNames, OF_CRUNCH, OF_RUN, RUN_COLUMNS, SCORE};
use crate::store::query::columns::{self, Column, ColumnKind, ColumnSource};
use crate::store::view::{MoreSql, more_columns, score_column};
use crate::store::{StoreReader, storing};
use crate::util::error::Result;

impl StoreReader {
    /// The columns of the task and its coordinates.
    pub(crate) fn coordinate_columns(&self) -> Vec<Column> {
        std::iter::once(Column::of_run("task")).chain(columns::coordinates(self.nest())).collect()
    }

    /// The columns that runs have where there may be anything for them, behind those that all have.
    pub(crate) fn more_columns(&self) -> Result<Vec<&'static str>> {
        Ok(self.more_sql()?.into_iter().map(|(_, name)| name).collect())
    }

    pub(super) fn more_sql(&self) -> Result<Vec<MoreSql>> {
        let (store, score) = (self.results.connection(), self.results.score_name()?);
        let found = more_columns(store, self.nest(), &score);
        found.map_err(|error| storing(self.path(), &error))
    }

    /// The column that has the score under its own name, if it has one: `r2`, or `value.error`.
    pub(crate) fn score_column(&self) -> Result<Option<Column>> {
        Ok(score_column(self.nest(), &self.results.score_name()?).map(Column::of_score))
    }

    /// The fields of the records that crunch returned, beside the score. A field with the name of another column is
    /// called `value.FIELD`.
    pub(crate) fn field_columns(&self) -> Result<Vec<Column>> {
        let score = self.results.score_name()?;
        let mut names = FieldNames::beside(self.nest()).and(self.more_columns()?);
        if score != SCORE {
            names.of(&score); // its own column has this name
        }
        let mut found = columns::fields(&self.results)?;
        found.retain(|column| column.name != score);
        for column in &mut found {
            column.name = names.of(&column.name);
        }
        Ok(found)
    }

    /// Whether crunch returned anything but plain numbers.
    pub(crate) fn has_values(&self) -> Result<bool> {
        self.has_run("value IS NOT NULL")
    }

    /// Whether crunch returned anything but plain numbers and records.
    pub(crate) fn has_other_values(&self) -> Result<bool> {
        self.has_run("value NOT GLOB '{*'")
    }

    fn has_run(&self, condition: &str) -> Result<bool> {
        let of_a_task = self.results.of_a_task("rowid")?;
        let sql = format!("SELECT EXISTS (SELECT 1 FROM runs WHERE {condition} AND {of_a_task})");
        self.one(&sql, [], |row| row.get(0))
    }

    fn plain_columns(&self) -> Result<Vec<Column>> {
        let mut all = self.coordinate_columns();
        all.extend(self.run_columns()?);
        for record in columns::records(self.nest()) {
            if !all.iter().any(|column| column.name == record.name) {
                all.push(record);
            }
        }
        Ok(all)
    }

    /// The columns that every run has, besides the task.
    pub(crate) fn run_columns(&self) -> Result<Vec<Column>> {
        let all = RUN_COLUMNS[1..].iter().copied().chain(self.more_columns()?);
        Ok(all.map(Column::of_run).collect())
    }
}

/// The columns that a condition can name.
pub(super) struct Known<'a> {
    reader: &'a StoreReader,
    /// Those of every run and of the loops.
    plain: Vec<Column>,
    /// The field that is the score, and its column if that is not called `score`.
    score: (String, Option<Column>),
    /// The other fields of records, loaded on first use because that reads all runs.
    fields: Option<Vec<Column>>,
    /// For plain columns: the name of the field's column that has the same name, if there is one.
    same: HashMap<String, Option<String>>,
    /// Whether a column was named that only runs that are there have.
    pub(super) names_runs: bool,
}

impl<'a> Known<'a> {
    pub(super) fn of(reader: &'a StoreReader) -> Result<Known<'a>> {
        let score = (reader.results.score_name()?, reader.score_column()?);
        let (plain, same) = (reader.plain_columns()?, HashMap::new());
        Ok(Known { reader, plain, score, fields: None, same, names_runs: false })
    }

    fn fields(&mut self) -> Result<&[Column]> {
        if self.fields.is_none() {
            self.fields = Some(self.reader.field_columns()?);
        }
        Ok(self.fields.as_deref().unwrap_or_default())
    }

    /// The column of the field of crunch that has the name of a plain column.
    fn field_called(&mut self, plain: &str) -> Result<Option<String>> {
        if let Some(known) = self.same.get(plain) {
            return Ok(known.clone());
        }
        let is_score = self.score.0.eq_ignore_ascii_case(plain);
        let found = match &self.score.1 {
            Some(column) if is_score => Some(column.name.clone()),
            None if is_score => None,
            _ => match self.reader.field_like(plain, &self.score.0)? {
                Some(field) => {
                    let source = ColumnSource::Result(field);
                    let fields = self.fields()?.iter();
                    fields.filter(|c| c.source == source).map(|c| c.name.clone()).next()
                }
                None => None,
            },
        };
        self.same.insert(plain.to_string(), found.clone());
        Ok(found)
    }

    /// The name of a plain column that nothing else has: `run.NAME`, unless a loop called `run` has such a field.
    fn full_name(&self, plain: &str) -> String {
        let is_plain = |name: &str| self.plain.iter().any(|c| c.name.eq_ignore_ascii_case(name));
        let own = format!("{OF_RUN}{plain}");
        let mut name = own.clone();
        while is_plain(&name) || name != own && is_plain(&name[OF_RUN.len()..]) {
            name = format!("{OF_RUN}{name}");
        }
        name
    }

    /// The plain column that has this full name.
    fn by_full_name(&self, name: &str) -> Option<&Column> {
        let of = |name: &'_ str| name.strip_prefix(OF_RUN).map(str::to_string);
        let bare = std::iter::successors(of(name), |name| of(name));
        let mut columns = bare.filter_map(|bare| self.plain.iter().find(|c| c.name == bare));
        columns.find(|column| self.full_name(&column.name) == name)
    }

    /// The plain column with this name; fails if a field has it too.
    fn plain(&mut self, name: &str) -> std::result::Result<Option<Column>, String> {
        let exact = self.plain.iter().find(|column| column.name == name);
        let same = |column: &&Column| column.name.eq_ignore_ascii_case(name);
        let Some(column) = exact.or_else(|| self.plain.iter().find(same)).cloned() else {
            return Ok(self.by_full_name(name).cloned());
        };
        if let Some(field) = self.field_called(&column.name).map_err(|error| error.to_string())? {
            let of = if column.level().is_some() { "a loop" } else { "every run" };
            return Err(format!(
                "'{name}' is a column of {of} and a field of the results: write {} or {field}",
                self.full_name(&column.name)
            ));
        }
        Ok(Some(column).filter(|column| column.name == name))
    }

    /// The column of a field of crunch, by its name or by `value.NAME`.
    fn of_crunch(&mut self, name: &str) -> Result<Option<Column>> {
        let bare = name.strip_prefix(OF_CRUNCH).unwrap_or(name);
        match &self.score {
            (field, Some(column)) if name == column.name || bare == field => {
                return Ok(Some(column.clone()));
            }
            (field, None) if bare == field => return Ok(Some(Column::of_run(SCORE))),
            _ => {}
        }
        let fields = self.fields()?;
        let find = |name: &str| fields.iter().find(|column| column.name == name);
        Ok(find(name).or_else(|| find(bare)).cloned())
    }
}

impl Names for Known<'_> {
    fn find(&mut self, name: &str) -> std::result::Result<Option<KnownName>, String> {
        let found = match self.plain(name)? {
            Some(column) => Some(column),
            None => self.of_crunch(name).map_err(|error| error.to_string())?,
        };
        self.names_runs |= found.as_ref().is_some_and(|column| !column.is_of_task());
        Ok(found.map(|column| KnownName {
            sql: column.compared(),
            holds: match column.kind {
                ColumnKind::Bool => Holds::Truth,
                ColumnKind::Int | ColumnKind::Float | ColumnKind::Time => Holds::Numbers,
                ColumnKind::Text => Holds::Text,
                ColumnKind::Json => Holds::Both,
            },
        }))
    }

    fn all(&self) -> Vec<String> {
        let fields = self.score.1.iter().chain(self.fields.iter().flatten());
        self.plain.iter().chain(fields).map(|column| column.name.clone()).collect()
    }
}
