//! Reads a finished store: summaries, runs, and each worker's share.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};

use crate::job::LARGE_FOLDER;
use crate::model::{GroupSummary, Key, LoopNest, Value};
use crate::store::grid_order::in_grid_order;
use crate::store::row_keys::RowKeys;
use crate::store::row_reader::{GROUP, RUN, Reader};
use crate::store::starts::LEFT_OUT;
use crate::store::{large, starts, storing};
use crate::util::error::{Exit, Result};
use crate::wire::codec;

/// The exact form of a record, beside its JSON.
pub(crate) enum ExactForm {
    /// The JSON is exact.
    Same,
    Value(Value),
    /// It is the user's Rust, of which only the JSON is known.
    Unknown,
}

impl ExactForm {
    /// Whether a field whose JSON is the string for a number that JSON lacks is that number.
    pub(super) fn has_number(&self, field: &str) -> bool {
        match self {
            ExactForm::Same => false,
            ExactForm::Value(value) => matches!(value.field(field), Some(Value::Float(_))),
            ExactForm::Unknown => true,
        }
    }
}

/// A finished store. Only how the run ended is still written to it.
pub(crate) struct Results {
    path: PathBuf,
    connection: Connection,
    pub(super) keys: RowKeys,
    nest: LoopNest,
    native: bool,
    /// Whether summaries and runs have all values, or name the files of large ones.
    loads_large: bool,
    /// Whether any group is partial, once that was looked for.
    pub(super) has_partial: OnceCell<bool>,
    /// The crunch of the last start, if runs of several are there.
    pub(super) latest_crunch: Option<i64>,
    /// Set once the connection has the function `has_task`, which cannot be added again while rows are read.
    has_task: OnceCell<()>,
}

/// One worker's share of the runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WorkerShare {
    pub(crate) rank: u64,
    pub(crate) host: String,
    pub(crate) runs: u64,
    /// Their total time, in seconds.
    pub(crate) seconds: f64,
}

impl Results {
    pub(crate) fn new(
        path: PathBuf,
        (connection, keys): (Connection, RowKeys),
        nest: LoopNest,
        native: bool,
    ) -> Results {
        let latest_crunch = starts::latest_of_several(&connection).ok().flatten();
        Results {
            path,
            connection,
            keys,
            nest,
            native,
            loads_large: false,
            has_partial: OnceCell::new(),
            latest_crunch,
            has_task: OnceCell::new(),
        }
    }

    /// The same with all values in summaries and runs, however large: their files may go with this process.
    pub(crate) fn loading_large(self) -> Results {
        Results { loads_large: true, ..self }
    }

    pub(crate) fn nest(&self) -> &LoopNest {
        &self.nest
    }

    /// Which points of loops have no task, a line per loop.
    pub(crate) fn left_out(&self) -> Result<Vec<String>> {
        let lines = starts::note(&self.connection, LEFT_OUT);
        let lines = lines.map_err(|error| storing(&self.path, &error))?;
        Ok(lines.and_then(|lines| serde_json::from_str(&lines).ok()).unwrap_or_default())
    }

    /// What the score is called: the field of crunch's records that it is.
    pub(crate) fn score_name(&self) -> Result<String> {
        starts::score_name(&self.connection).map_err(|error| storing(&self.path, &error))
    }

    #[cfg(feature = "cli")]
    pub(crate) fn is_native(&self) -> bool {
        self.native
    }

    /// Calls `each` with every summary whose key has `level` coordinates, in grid order. At the deepest
    /// level these are the runs.
    pub(crate) fn summaries(
        &self,
        level: usize,
        each: impl FnMut(GroupSummary) -> Result<()>,
    ) -> Result<()> {
        self.summaries_read_by(self.reader(), level, each)
    }

    /// The same with all of their values, also those that are in files of their own: where what counts is a field. One is
    /// in memory at a time.
    #[cfg(feature = "cli")]
    pub(crate) fn whole_summaries(
        &self,
        level: usize,
        each: impl FnMut(GroupSummary) -> Result<()>,
    ) -> Result<()> {
        self.summaries_read_by(Reader { loads_large: true, ..self.reader() }, level, each)
    }

    fn summaries_read_by(
        &self,
        reader: Reader,
        level: usize,
        each: impl FnMut(GroupSummary) -> Result<()>,
    ) -> Result<()> {
        if level == self.nest.depth() {
            return self.runs_read_by(reader, 0..self.nest.tasks(), each);
        }
        self.groups_read_by(reader, level, 0..self.nest.keys(level), each)
    }

    /// Whether a summary at a level is a record.
    pub(crate) fn has_records(&self, level: usize) -> Result<bool> {
        // The name of a large value's file stands for a record, too.
        let is_record = format!("(value GLOB '{{*' OR value GLOB '{LARGE_FOLDER}/*')");
        self.has_any(level, &is_record)
    }

    /// Whether a summary at a level is anything but a plain number.
    #[cfg(feature = "cli")]
    pub(crate) fn has_more_than_numbers(&self, level: usize) -> Result<bool> {
        self.has_any(level, "value IS NOT NULL")
    }

    /// Whether a row at a level meets a condition.
    fn has_any(&self, level: usize, condition: &str) -> Result<bool> {
        let (table, own) = match level == self.nest.depth() {
            true => ("runs", String::new()),
            false => ("groups", format!("level = {level} AND ")),
        };
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE {own}{condition})");
        let mut found = false;
        self.query(
            &sql,
            [],
            |row| row.get(0).map(Ok),
            |is_there| {
                found = is_there;
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// Calls `each` with the summaries of a range of groups at a level, in grid order.
    pub(crate) fn groups(
        &self,
        level: usize,
        numbers: std::ops::Range<u64>,
        each: impl FnMut(GroupSummary) -> Result<()>,
    ) -> Result<()> {
        self.groups_read_by(self.reader(), level, numbers, each)
    }

    fn groups_read_by(
        &self,
        reader: Reader,
        level: usize,
        numbers: std::ops::Range<u64>,
        mut each: impl FnMut(GroupSummary) -> Result<()>,
    ) -> Result<()> {
        let sql = format!(
            "SELECT {GROUP} FROM groups
             WHERE level = ?1 AND number >= ?2 AND number < ?3 ORDER BY number"
        );
        let range = params![level as i64, numbers.start as i64, numbers.end as i64];
        self.query(
            &sql,
            range,
            |row| reader.summary(row, level),
            |mut summary| {
                self.mark_partial(&mut summary)?;
                each(summary)
            },
        )
    }

    /// Calls `each` with the summary of one group, if it is closed.
    #[cfg(feature = "cli")]
    pub(crate) fn summary(&self, key: Key, mut each: impl FnMut(GroupSummary)) -> Result<()> {
        let sql = format!("SELECT {GROUP} FROM groups WHERE level = ?1 AND number = ?2");
        let place = params![key.level as i64, key.index as i64];
        self.query(
            &sql,
            place,
            |row| self.reader().summary(row, key.level),
            |mut summary| {
                self.mark_partial(&mut summary)?;
                each(summary);
                Ok(())
            },
        )
    }

    /// Calls `each` with the runs of a range of tasks, in grid order.
    pub(crate) fn runs(
        &self,
        tasks: std::ops::Range<u64>,
        each: impl FnMut(GroupSummary) -> Result<()>,
    ) -> Result<()> {
        self.runs_read_by(self.reader(), tasks, each)
    }

    fn runs_read_by(
        &self,
        reader: Reader,
        tasks: std::ops::Range<u64>,
        mut each: impl FnMut(GroupSummary) -> Result<()>,
    ) -> Result<()> {
        let level = self.nest.depth();
        let read = |row: &Row| reader.run(row);
        self.in_grid_order(RUN, tasks, read, |task, run| {
            let key = Key { level, index: task };
            let runs = u64::from(run.result.is_ok());
            let result = run.result.map_err(|error| error.to_string());
            each(GroupSummary { key, result, runs, failed: 1 - runs })
        })
    }

    /// Calls `each` with columns of every run of these tasks, in grid order; the first column is the row's key.
    pub(super) fn in_grid_order<T>(
        &self,
        columns: &str,
        tasks: std::ops::Range<u64>,
        read: impl Fn(&Row) -> Result<Result<T>, rusqlite::Error>,
        each: impl FnMut(u64, T) -> Result<()>,
    ) -> Result<()> {
        let done = in_grid_order((&self.connection, &self.keys), columns, tasks, read, each);
        done.map_err(|error| storing(&self.path, &error))?
    }

    /// Each worker's share since the last start, by rank.
    pub(crate) fn shares(&self) -> Result<Vec<WorkerShare>> {
        let sql = "SELECT w.rank, w.host, count(r.rowid), coalesce(sum(r.seconds), 0.0)
                   FROM workers w LEFT JOIN runs r ON r.worker = w.worker
                   WHERE w.session = (SELECT max(session) FROM workers)
                   GROUP BY w.worker ORDER BY w.rank";
        let share = |row: &Row| {
            let (rank, runs): (i64, i64) = (row.get(0)?, row.get(2)?);
            let (host, seconds) = (row.get(1)?, row.get(3)?);
            Ok(Ok(WorkerShare { rank: rank as u64, host, runs: runs as u64, seconds }))
        };
        let mut shares = Vec::new();
        self.query(sql, params![], share, |share| {
            shares.push(share);
            Ok(())
        })?;
        Ok(shares)
    }

    /// Records how the job ended, with the exit code of this process (a launcher may change it), and why
    /// if it was interrupted.
    pub(crate) fn end(&self, state: &str, exit: Exit, why: &str) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO job (key, value)
                   VALUES ('state', ?1), ('exit_code', ?2), ('why', ?3)";
        let marked = self.connection.execute(sql, params![state, exit as i64, why]);
        marked.map(drop).map_err(|error| storing(&self.path, &error))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The results folder, with the files of large values.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// For queries beyond results.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What the column `exact` of a run holds.
    pub(super) fn exact_form(&self, column: ValueRef) -> ExactForm {
        match large::fetch(self.folder(), column) {
            Ok(bytes) if bytes.is_empty() => ExactForm::Same,
            Ok(bytes) if !self.native => {
                codec::decode(&bytes).map_or(ExactForm::Unknown, ExactForm::Value)
            }
            _ => ExactForm::Unknown,
        }
    }

    /// An SQL condition for rows of tasks that the job has, by the SQL of the row's key.
    pub(super) fn of_a_task(&self, key: &str) -> Result<String> {
        if self.keys.left_over() == 0 {
            return Ok("1".to_string());
        }
        if self.has_task.get().is_none() {
            let keys = self.keys.clone();
            let pure = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
            let has_task = move |context: &Context| Ok(keys.task(context.get(0)?).is_some());
            let added = self.connection.create_scalar_function("has_task", 1, pure, has_task);
            added.map_err(|error| storing(&self.path, &error))?;
            let _ = self.has_task.set(());
        }
        Ok(format!("has_task({key})"))
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader {
            results: self.folder(),
            keys: Some(&self.keys),
            native: self.native,
            loads_large: self.loads_large,
        }
    }

    /// The JSON that the column `value` of a run holds, or that is in the file it names.
    #[cfg(feature = "cli")]
    pub(super) fn whole_json<'c>(&self, column: &'c str) -> Result<std::borrow::Cow<'c, str>> {
        large::json(self.folder(), column)
    }

    pub(crate) fn query<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl Fn(&Row) -> Result<Result<T>, rusqlite::Error>,
        mut each: impl FnMut(T) -> Result<()>,
    ) -> Result<()> {
        let failed = |error: rusqlite::Error| storing(&self.path, &error);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(parameters).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            each(read(row).map_err(failed)??)?;
        }
        Ok(())
    }
}
