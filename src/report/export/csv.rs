//! Runs as CSV: numbers in full precision, empty cells for missing values.

use std::borrow::Cow;
use std::io::Write;

use crate::model::Value;
use crate::report::export::{names, unwritten};
use crate::store::{Column, ColumnKind, Select};
use crate::util::csv_line::CsvLine;
use crate::util::error::Result;

pub(super) fn write(select: &Select, columns: &[Column], out: &mut impl Write) -> Result<()> {
    let mut line = CsvLine::new(&mut *out);
    line.line(names(columns)).map_err(unwritten)?;
    select.rows(columns, |cells| {
        for (column, cell) in columns.iter().zip(cells) {
            let text = match cell {
                Value::Null => Cow::Borrowed(""),
                Value::Text(text) if column.kind == ColumnKind::Text => Cow::Borrowed(&**text),
                other => Cow::Owned(column.text(other)),
            };
            line.field(&text).map_err(unwritten)?;
        }
        line.end().map_err(unwritten)
    })?;
    out.flush().map_err(unwritten)
}
