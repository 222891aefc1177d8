//! Long-lived children in any language, which speak the protocol of docs/writing-a-worker.md over two named pipes.

pub(crate) mod child;
pub(crate) mod client;
pub(crate) mod crunch;
pub(crate) mod finals;
pub(crate) mod hello;
pub(crate) mod lines;
mod pipes;
pub(crate) mod ready;
pub(crate) mod reducer;
pub(crate) mod start;
#[cfg(feature = "cli")]
pub(crate) mod trial;
