//! Runs as Parquet: columns with their types, written a group of rows at a time.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use crate::model::value::Value;
use crate::report::export::unwritten;
use crate::store::{Cell, Column, Kind, Select};
use crate::util::error::Result;

/// How many rows are gathered before they are written, and how much text at most. (bytes)
const ROWS: usize = 1 << 16;
const TEXT: usize = 32 << 20;

/// The values of a column that wait, those that are there.
enum Values {
    Bools(Vec<bool>),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Texts(Vec<ByteArray>),
}

struct Waiting {
    values: Values,
    /// For each row, whether it has one.
    there: Vec<i16>,
}

pub(super) fn write(
    select: &Select,
    columns: &[Column],
    out: &mut (impl Write + Send),
) -> Result<()> {
    let schema = schema(columns).map_err(unwritten)?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let writer = SerializedFileWriter::new(out, schema, Arc::new(properties));
    let mut writer = writer.map_err(unwritten)?;
    let mut waiting: Vec<Waiting> = columns.iter().map(Waiting::of).collect();
    let (mut rows, mut text) = (0, 0);
    select.rows(columns, |cells| {
        for ((cell, column), waiting) in cells.iter().zip(columns).zip(&mut waiting) {
            text += waiting.push(*cell, column.kind);
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

fn schema(columns: &[Column]) -> Result<TypePtr, ParquetError> {
    let field = |column: &Column| {
        let (physical, logical) = match column.kind {
            Kind::Bool => (Physical::BOOLEAN, None),
            Kind::Int => (Physical::INT64, None),
            Kind::Float => (Physical::DOUBLE, None),
            Kind::Text | Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Time => {
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
    Type::group_type_builder("run").with_fields(fields).build().map(Arc::new)
}

fn write_group<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    waiting: &mut [Waiting],
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    for column in waiting {
        let Some(mut to) = group.next_column()? else { break };
        let there = Some(column.there.as_slice());
        match (to.untyped(), &mut column.values) {
            (ColumnWriter::BoolColumnWriter(to), Values::Bools(values)) => {
                to.write_batch(values, there, None)?;
                values.clear();
            }
            (ColumnWriter::Int64ColumnWriter(to), Values::Ints(values)) => {
                to.write_batch(values, there, None)?;
                values.clear();
            }
            (ColumnWriter::DoubleColumnWriter(to), Values::Floats(values)) => {
                to.write_batch(values, there, None)?;
                values.clear();
            }
            (ColumnWriter::ByteArrayColumnWriter(to), Values::Texts(values)) => {
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

impl Waiting {
    fn of(column: &Column) -> Waiting {
        let values = match column.kind {
            Kind::Bool => Values::Bools(Vec::new()),
            Kind::Int | Kind::Time => Values::Ints(Vec::new()),
            Kind::Float => Values::Floats(Vec::new()),
            Kind::Text | Kind::Json => Values::Texts(Vec::new()),
        };
        Waiting { values, there: Vec::new() }
    }

    /// Takes a cell; how many bytes of text it has.
    fn push(&mut self, cell: Cell, kind: Kind) -> usize {
        let mut text = 0;
        let there = match (&mut self.values, cell) {
            (_, Cell::Null) => false,
            (Values::Bools(values), Cell::Bool(truth)) => {
                values.push(truth);
                true
            }
            (Values::Ints(values), Cell::Float(seconds)) if kind == Kind::Time => {
                values.push((seconds * 1e6).round() as i64);
                true
            }
            (Values::Ints(values), Cell::Int(whole)) => {
                values.push(whole);
                true
            }
            (Values::Floats(values), Cell::Float(number)) => {
                values.push(number);
                true
            }
            (Values::Texts(values), Cell::Text(written)) => {
                text = written.len();
                values.push(written.into());
                true
            }
            // A column of several kinds.
            (Values::Texts(values), other) => {
                let written = match other.value(kind) {
                    Value::Text(text) => text,
                    other => other.to_json().to_string(),
                };
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
