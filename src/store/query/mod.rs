//! Queries over runs: a condition, columns, an order.

pub(crate) mod columns;
mod functions;
pub(crate) mod select;
