//! Queries over runs: a condition, columns, an order.

pub(crate) mod columns;
pub(crate) mod filter;
mod functions;
mod permissions;
pub(crate) mod select;
mod terms;
mod tokens;
mod types;
