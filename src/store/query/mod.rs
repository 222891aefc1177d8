//! Selecting runs: a condition, columns, an order.

pub(crate) mod columns;
pub(crate) mod filter;
pub(crate) mod select;
