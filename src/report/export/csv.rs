//! Rows as CSV: numbers in full precision, empty cells for missing values.

use std::borrow::Cow;
use std::io::Write;

use crate::model::Value;
use crate::report::export::table::ExportTable;
use crate::report::export::unwritten;
use crate::store::ColumnKind;
use crate::util::csv_line::CsvLine;
use crate::util::error::Result;

pub(super) fn write(table: &ExportTable, out: &mut impl Write) -> Result<()> {
    let mut line = CsvLine::new(&mut *out);
    line.line(table.names()).map_err(unwritten)?;
    (table.rows)(&mut |cells| {
        for (column, cell) in table.columns.iter().zip(cells) {
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
