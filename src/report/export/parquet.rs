//! Rows as Parquet: typed columns, written one row group after another.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use crate::model::Value;
use crate::report::export::table::{ExportColumn, ExportTable};
use crate::report::export::unwritten;
use crate::store::ColumnKind;
use crate::util::error::Result;

/// Row group limits: number of rows, and bytes of text.
const ROWS: usize = 1 << 16;
const TEXT: usize = 32 << 20;

/// The values of a column's current row group, without missing ones.
enum ColumnValues {
    Bools(Vec<bool>),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Texts(Vec<ByteArray>),
}

struct PendingRows {
    values: ColumnValues,
    /// Definition levels: for each row, whether it has a value.
    there: Vec<i16>,
}

pub(super) fn write(table: &ExportTable, out: &mut (impl Write + Send)) -> Result<()> {
    let columns = table.columns.as_slice();
    let schema = schema(columns).map_err(unwritten)?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let writer = SerializedFileWriter::new(out, schema, Arc::new(properties));
    let mut writer = writer.map_err(unwritten)?;
    let mut waiting: Vec<PendingRows> = columns.iter().map(PendingRows::of).collect();
    let (mut rows, mut text) = (0, 0);
    (table.rows)(&mut |cells| {
        for ((cell, column), waiting) in cells.iter().zip(columns).zip(&mut waiting) {
            text += waiting.push(cell, column);
        }
        rows += 1;
        if rows == ROWS || text > TEXT {
            (rows, text) = (0, 0);
            write_group(&mut writer, &mut waiting).map_err(unwritten)?;
        }
        Ok(())
    })?;
    if rows > 0 {
        write_group(&mut writer, &mut waiting).map_err(unwritten)?;
    }
    writer.close().map(drop).map_err(unwritten)
}

fn schema(columns: &[ExportColumn]) -> Result<TypePtr, ParquetError> {
    let field = |column: &ExportColumn| {
        let (physical, logical) = match column.kind {
            ColumnKind::Bool => (Physical::BOOLEAN, None),
            ColumnKind::Int => (Physical::INT64, None),
            ColumnKind::Float => (Physical::DOUBLE, None),
            ColumnKind::Text | ColumnKind::Json => {
                (Physical::BYTE_ARRAY, Some(LogicalType::String))
            }
            ColumnKind::Time => {
                let logical = LogicalType::timestamp(true, TimeUnit::MICROS);
                (Physical::INT64, Some(logical))
            }
        };
        let field = Type::primitive_type_builder(&column.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical);
        field.build().map(Arc::new)
    };
    let fields = columns.iter().map(field).collect::<Result<_, _>>()?;
    Type::group_type_builder("row").with_fields(fields).build().map(Arc::new)
}

fn write_group<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    waiting: &mut [PendingRows],
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    for column in waiting {
        let Some(mut to) = group.next_column()? else { break };
        let there = Some(column.there.as_slice());
        match (to.untyped(), &mut column.values) {
            (ColumnWriter::BoolColumnWriter(to), ColumnValues::Bools(values)) => {
                to.write_batch(values, there, None)?;
                values.clear();
            }
            (ColumnWriter::Int64ColumnWriter(to), ColumnValues::Ints(values)) => {
                to.write_batch(values, there, None)?;
                values.clear();
            }
            (ColumnWriter::DoubleColumnWriter(to), ColumnValues::Floats(values)) => {
                to.write_batch(values, there, None)?;
                values.clear();
            }
            (ColumnWriter::ByteArrayColumnWriter(to), ColumnValues::Texts(values)) => {
                to.write_batch(values, there, None)?;
                values.clear();
            }
            _ => return Err(ParquetError::General("a column of another type".to_string())),
        }
        to.close()?;
        column.there.clear();
    }
    group.close().map(drop)
}

impl PendingRows {
    fn of(column: &ExportColumn) -> PendingRows {
        let values = match column.kind {
            ColumnKind::Bool => ColumnValues::Bools(Vec::new()),
            ColumnKind::Int | ColumnKind::Time => ColumnValues::Ints(Vec::new()),
            ColumnKind::Float => ColumnValues::Floats(Vec::new()),
            ColumnKind::Text | ColumnKind::Json => ColumnValues::Texts(Vec::new()),
        };
        PendingRows { values, there: Vec::new() }
    }

    /// Adds a cell; returns its bytes of text.
    fn push(&mut self, cell: &Value, column: &ExportColumn) -> usize {
        let mut text = 0;
        let there = match (&mut self.values, cell) {
            (_, Value::Null) => false,
            (ColumnValues::Bools(values), Value::Bool(truth)) => {
                values.push(*truth);
                true
            }
            (ColumnValues::Ints(values), Value::Float(seconds))
                if column.kind == ColumnKind::Time =>
            {
                values.push((seconds * 1e6).round() as i64);
                true
            }
            (ColumnValues::Ints(values), Value::Int(whole)) => {
                values.push(*whole);
                true
            }
            (ColumnValues::Floats(values), Value::Float(number)) => {
                values.push(*number);
                true
            }
            // Strings, and columns of mixed types.
            (ColumnValues::Texts(values), other) => {
                let written = column.text(other);
                text = written.len();
                values.push(written.as_str().into());
                true
            }
            _ => false,
        };
        self.there.push(i16::from(there));
        text
    }
}
