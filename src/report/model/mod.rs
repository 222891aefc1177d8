//! What a report shows, worked out from the store; pure.

pub(crate) mod axis;
pub(crate) mod failures;
pub(crate) mod landscape;
pub(crate) mod timeline;
