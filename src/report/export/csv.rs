//! Runs as CSV: numbers in full precision, empty cells for missing values.

use std::io::Write;

use crate::model::Value;
use crate::report::export::{names, unwritten};
use crate::store::{Column, ColumnKind, Select};
use crate::util::error::Result;

pub(super) fn write(select: &Select, columns: &[Column], out: &mut impl Write) -> Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(names(columns)).map_err(unwritten)?;
    select.rows(columns, |cells| {
        for (column, cell) in columns.iter().zip(cells) {
            let written = match cell {
                Value::Null => csv.write_field(""),
                Value::Text(text) if column.kind == ColumnKind::Text => csv.write_field(text),
                other => csv.write_field(column.text(other)),
            };
            written.map_err(unwritten)?;
        }
        csv.write_record(None::<&[u8]>).map_err(unwritten)
    })?;
    csv.flush().map_err(unwritten)
}
