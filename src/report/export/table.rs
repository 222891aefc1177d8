//! What is exported: columns, and rows that are given one after another.

use crate::model::Value;
use crate::store::{Column, ColumnKind};
use crate::util::error::Result;

/// A column of an export.
#[derive(Clone)]
pub(super) struct ExportColumn {
    pub(super) name: String,
    pub(super) kind: ColumnKind,
    /// Whether it has points of a loop.
    is_point: bool,
}

impl ExportColumn {
    pub(super) fn new(name: impl Into<String>, kind: ColumnKind) -> ExportColumn {
        ExportColumn { name: name.into(), kind, is_point: false }
    }

    /// A column of runs.
    pub(super) fn of(column: &Column) -> ExportColumn {
        let (name, kind) = (column.name.clone(), column.kind);
        ExportColumn { name, kind, is_point: column.level().is_some() }
    }

    /// A value of this column as text: strings of results stand in quotes where other types do too.
    pub(super) fn text(&self, value: &Value) -> String {
        match self.kind {
            ColumnKind::Json if !self.is_point => value.to_json().to_string(),
            _ => value.to_string(),
        }
    }
}

/// Takes a row.
pub(super) type TakeRow<'t> = &'t mut dyn FnMut(&[Value]) -> Result<()>;

/// Columns and rows.
pub(super) struct ExportTable<'a> {
    pub(super) columns: Vec<ExportColumn>,
    /// Passes all rows on; called once.
    pub(super) rows: Box<dyn Fn(TakeRow) -> Result<()> + 'a>,
}

impl ExportTable<'_> {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }
}
