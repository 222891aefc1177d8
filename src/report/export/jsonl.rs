//! Runs as a JSON object a line.

use std::io::Write;

use serde_json::{Map, Value as Json};

use super::unwritten;
use crate::error::Result;
use crate::store::{Column, Select};

pub(super) fn write(select: &Select, columns: &[Column], out: &mut impl Write) -> Result<()> {
    select.rows(columns, |cells| {
        let pairs = columns.iter().zip(cells);
        let object: Map<String, Json> = pairs
            .map(|(column, cell)| (column.name.clone(), cell.value(column.kind).to_json()))
            .collect();
        serde_json::to_writer(&mut *out, &object).map_err(unwritten)?;
        out.write_all(b"\n").map_err(unwritten)
    })
}
