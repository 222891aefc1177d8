//! The failed runs of a store, grouped by their message, and why a group has no value. SQLite groups them, on disk where memory does not do,
//! however many messages there are.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::{Error as SqlError, Row, params};

use crate::model::{LoopNest, Value, error_kind, error_line};
use crate::store::{Results, StoppedPoints, storing};
use crate::util::error::Result;

/// Failed runs whose messages are of one kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FailedRuns {
    pub(crate) runs: u64,
    /// The first task, in grid order, and its message in one line.
    pub(crate) first: u64,
    pub(crate) message: String,
}

impl Results {
    /// The number of failed runs, and their commonest messages, at most so many. Those of stopped points that were not
    /// asked for count nowhere.
    pub(crate) fn failed_runs(&self, most: usize) -> Result<(u64, Vec<FailedRuns>)> {
        let stopped = self.stopped()?;
        self.add_functions(stopped).map_err(|error| storing(self.path(), &error))?;
        let sql = "SELECT count(*) FROM runs WHERE failed AND task_of(rowid) IS NOT NULL";
        let mut all = 0;
        self.query(
            sql,
            [],
            |row| row.get::<_, i64>(0).map(Ok),
            |runs| {
                all = runs as u64;
                Ok(())
            },
        )?;
        let sql = "SELECT count(*), min(task_of(rowid)) FROM runs
                   WHERE failed AND task_of(rowid) IS NOT NULL
                   GROUP BY kind_of(rowid, error) ORDER BY 1 DESC, 2 LIMIT ?1";
        let read = |row: &Row| Ok(Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)));
        let mut found = Vec::new();
        self.query(sql, params![most as i64], read, |kind| {
            found.push(kind);
            Ok(())
        })?;
        let mut kinds = Vec::new();
        for (runs, first) in found {
            let mut message = String::new();
            let sql = "SELECT coalesce(error, '') FROM runs WHERE rowid = ?1";
            let read = |row: &Row| row.get::<_, String>(0).map(Ok);
            self.query(sql, params![self.keys.key(first)], read, |error| {
                message = error_line(&error);
                Ok(())
            })?;
            kinds.push(FailedRuns { runs, first, message });
        }
        Ok((all, kinds))
    }

    /// Why the first group without a value has none, in one line.
    pub(crate) fn first_incomplete(&self) -> Result<Option<String>> {
        let sql =
            "SELECT error FROM groups WHERE error IS NOT NULL ORDER BY level DESC, number LIMIT 1";
        let mut found = None;
        self.query(
            sql,
            [],
            |row| row.get::<_, String>(0).map(Ok),
            |error| {
                found = Some(error_line(&error));
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// The first groups at a level that have no value, from a number on; at most so many.
    pub(crate) fn incomplete_groups(
        &self,
        level: usize,
        from: u64,
        most: usize,
    ) -> Result<Vec<u64>> {
        let sql =
            "SELECT number FROM groups WHERE level = ?1 AND number >= ?2 AND error IS NOT NULL
                   ORDER BY number LIMIT ?3";
        let mut found = Vec::new();
        let which = params![level as i64, from as i64, most as i64];
        let read = |row: &Row| row.get::<_, i64>(0).map(Ok);
        self.query(sql, which, read, |number| {
            found.push(number as u64);
            Ok(())
        })?;
        Ok(found)
    }

    /// Adds `task_of(row key)`, null for a run that counts nowhere, and `kind_of(row key, error)`.
    fn add_functions(&self, stopped: StoppedPoints) -> Result<(), SqlError> {
        let pure = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        let keys = self.keys.clone();
        let task = move |context: &Context| {
            let task = keys.task(context.get(0)?);
            Ok(task.filter(|task| stopped.skips(*task).is_none()).map(|task| task as i64))
        };
        self.connection().create_scalar_function("task_of", 1, pure, task)?;
        let (keys, nest) = (self.keys.clone(), self.nest().clone());
        let temporary = std::env::temp_dir().to_string_lossy().into_owned();
        let kind = move |context: &Context| {
            let points = keys.task(context.get(0)?).map(|task| points(&nest, task));
            let error = context.get_raw(1).as_str().unwrap_or_default();
            let kind = error_kind(&error_line(error), &points.unwrap_or_default(), &temporary);
            // Groups of short keys need little room.
            let digest = blake3::hash(kind.as_bytes());
            Ok(digest.as_bytes().first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes)))
        };
        self.connection().create_scalar_function("kind_of", 2, pure, kind)
    }
}

/// The texts of a task's points, the longest first; of a file, also its name and its stem.
fn points(nest: &LoopNest, task: u64) -> Vec<String> {
    let mut texts = Vec::new();
    let mut add = |value: &Value| {
        if let Value::Text(text) = value {
            let name = text.rsplit('/').next().unwrap_or_default();
            let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
            texts.extend([text, name, stem].map(String::from));
        }
    };
    for (_, value) in nest.coordinates(nest.task(task)) {
        match &value {
            Value::Record(fields) => fields.iter().for_each(|(_, field)| add(field)),
            plain => add(plain),
        }
    }
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    texts.dedup();
    texts.retain(|text| !text.is_empty());
    texts
}
