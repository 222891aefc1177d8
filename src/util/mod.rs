//! Helpers that depend on no other module: errors, strings, files, clocks, signals.

pub(crate) mod cache;
pub(crate) mod clock;
#[cfg(feature = "jobs")]
pub(crate) mod csv_file;
pub(crate) mod csv_line;
pub(crate) mod duration;
pub(crate) mod error;
#[cfg(feature = "jobs")]
pub(crate) mod file_kind;
pub(crate) mod file_state;
pub(crate) mod files;
pub(crate) mod framing;
pub(crate) mod gzip;
pub(crate) mod invocation;
pub(crate) mod machine;
pub(crate) mod own_children;
pub(crate) mod panic;
pub(crate) mod process;
#[cfg(feature = "jobs")]
pub(crate) mod programs;
pub(crate) mod shared_bytes;
pub(crate) mod signals;
pub(crate) mod stats;
pub(crate) mod text;
pub(crate) mod thread;
pub(crate) mod usage;
