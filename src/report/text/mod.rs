//! Results as text: a table, JSON, CSV.

#[cfg(feature = "cli")]
pub(crate) mod cells;
pub(crate) mod csv;
#[cfg(feature = "cli")]
pub(crate) mod field_columns;
pub(crate) mod fields;
pub(crate) mod finals;
pub(crate) mod json;
#[cfg(feature = "cli")]
pub(crate) mod lines;
#[cfg(feature = "cli")]
pub(crate) mod means;
pub(crate) mod score_heading;
#[cfg(feature = "cli")]
pub(crate) mod table;
#[cfg(feature = "cli")]
pub(crate) mod words;
