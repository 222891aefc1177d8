//! Queries over runs: a condition, columns, an order.

mod columns;
mod field_search;
mod functions;
mod known;
mod select;

pub(crate) use columns::{Column, ColumnKind};
pub(crate) use select::Select;
