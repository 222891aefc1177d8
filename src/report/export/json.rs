//! Rows as JSON: one object per line, bare or in one array.

use std::io::Write;

use serde_json::{Map, Value as Json};

use crate::report::export::table::ExportTable;
use crate::report::export::unwritten;
use crate::util::error::Result;

pub(super) fn write_lines(table: &ExportTable, out: &mut impl Write) -> Result<()> {
    objects(table, |object| {
        serde_json::to_writer(&mut *out, &object).map_err(unwritten)?;
        out.write_all(b"\n").map_err(unwritten)
    })
}

pub(super) fn write_array(table: &ExportTable, out: &mut impl Write) -> Result<()> {
    let mut before = "[\n";
    objects(table, |object| {
        out.write_all(before.as_bytes()).map_err(unwritten)?;
        before = ",\n";
        serde_json::to_writer(&mut *out, &object).map_err(unwritten)
    })?;
    let end = if before == "[\n" { "[]\n" } else { "\n]\n" };
    out.write_all(end.as_bytes()).map_err(unwritten)
}

fn objects(
    table: &ExportTable,
    mut each: impl FnMut(Map<String, Json>) -> Result<()>,
) -> Result<()> {
    (table.rows)(&mut |cells| {
        let pairs = table.columns.iter().zip(cells);
        each(pairs.map(|(column, cell)| (column.name.clone(), cell.to_json())).collect())
    })
}
