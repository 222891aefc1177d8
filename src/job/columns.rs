//! The columns that every run has, and what the fields of crunch's records are called beside them.

use std::collections::HashSet;

use crate::model::LoopNest;

/// The columns of every stored run besides its coordinates; no loop may have such a name.
pub(crate) const RUN_COLUMNS: [&str; 11] = [
    "task", "status", "score", "value", "error", "seconds", "started", "rank", "host", "thread",
    "attempt",
];

/// The columns of summary.csv besides coordinates, and those that every run has too.
pub(crate) const SUMMARY_COLUMNS: [&str; 2] = ["runs", "failed"];

/// A column that runs have where there may be anything for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoreColumn {
    /// The peak of the memory of a run's processes in MiB.
    Memory,
    /// The folder that a run has left.
    Workdir,
}

impl MoreColumn {
    /// A loop of this name, and a score, go first.
    pub(crate) fn name(self, nest: &LoopNest, score: &str) -> &'static str {
        let (bare, full) = match self {
            MoreColumn::Memory => ("memory", "run.memory"),
            MoreColumn::Workdir => ("workdir", "run.workdir"),
        };
        let is_same = |name: &str| name.eq_ignore_ascii_case(bare);
        match nest.loops().iter().any(|l| is_same(&l.name)) || is_same(score) {
            true => full,
            false => bare,
        }
    }
}

/// What the score is called unless the job says more.
pub(crate) const SCORE: &str = "score";

/// Stands before the name of a column of every run, or of a loop, where a field of crunch has the name too.
pub(crate) const OF_RUN: &str = "run.";

/// Stands before the name of a field of crunch.
pub(crate) const OF_CRUNCH: &str = "value.";

/// Names the columns of fields: FIELD, or `value.FIELD` where a column of every run or of a loop has that name,
/// if only but for case, which is no difference in SQL.
#[derive(Default)]
pub(crate) struct FieldNames {
    /// In lower case.
    taken: HashSet<String>,
}

impl FieldNames {
    /// For fields beside the columns of a nest's runs.
    pub(crate) fn beside(nest: &LoopNest) -> FieldNames {
        let names = FieldNames::default().and(RUN_COLUMNS);
        nest.loops().iter().fold(names, |names, l| {
            let fields = l.points.fields().into_iter().map(|field| format!("{}.{field}", l.name));
            names.and([&l.name]).and(fields)
        })
    }

    /// The same beside more columns.
    pub(crate) fn and(mut self, more: impl IntoIterator<Item = impl AsRef<str>>) -> FieldNames {
        for name in more {
            let name = name.as_ref().to_ascii_lowercase();
            self.taken.insert(format!("{OF_RUN}{name}"));
            self.taken.insert(name);
        }
        self
    }

    /// The name of a field's column. Each field is named once.
    pub(crate) fn of(&mut self, field: &str) -> String {
        let mut name = field.to_string();
        while self.taken.contains(&name.to_ascii_lowercase()) {
            name = format!("{OF_CRUNCH}{name}");
        }
        if name.len() > field.len() {
            self.taken.insert(name.to_ascii_lowercase()); // another field may be called so
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_names_that_no_other_column_has() {
        let nest = LoopNest::of_sizes(&[2, 3], [None, None]).unwrap();
        let mut names = FieldNames::beside(&nest).and(["runs"]);
        for (field, column) in [
            ("r2", "r2"),
            ("error", "value.error"),
            ("Seconds", "value.Seconds"),
            ("LOOP1", "value.LOOP1"),
            ("runs", "value.runs"),
            ("run.error", "value.run.error"),
            ("value.error", "value.value.error"),
            ("value.r2", "value.r2"),
        ] {
            assert_eq!(names.of(field), column);
        }
    }
}
