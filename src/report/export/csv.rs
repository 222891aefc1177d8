//! Runs as CSV: numbers in full precision, empty cells for missing values.

use std::io::Write;

use crate::model::Value;
use crate::report::export::{names, unwritten};
use crate::store::{Cell, Column, Select};
use crate::util::error::Result;

pub(super) fn write(select: &Select, columns: &[Column], out: &mut impl Write) -> Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(names(columns)).map_err(unwritten)?;
    select.rows(columns, |cells| {
        for cell in cells {
            let written = match cell {
                Cell::Null => csv.write_field(""),
                Cell::Bool(truth) => csv.write_field(if *truth { "true" } else { "false" }),
                Cell::Int(whole) => csv.write_field(whole.to_string()),
                Cell::Float(number) => csv.write_field(Value::Float(*number).to_string()),
                Cell::Text(text) => csv.write_field(text),
            };
            written.map_err(unwritten)?;
        }
        csv.write_record(None::<&[u8]>).map_err(unwritten)
    })?;
    csv.flush().map_err(unwritten)
}
