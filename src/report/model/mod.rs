//! What a report shows, computed from the store; pure.

pub(crate) mod axis;
pub(crate) mod deviation;
pub(crate) mod durations;
pub(crate) mod failures;
pub(crate) mod family;
pub(crate) mod landscape;
pub(crate) mod landscape_plan;
pub(crate) mod timeline;
