//! The time by the wall clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The current time, in seconds since 1970.
pub(crate) fn since_1970() -> f64 {
    seconds(SystemTime::now())
}

/// A time in seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> f64 {
    since(time).as_secs_f64()
}

/// A unique string for this process and the current time.
pub(crate) fn process_stamp() -> String {
    format!("{}-{}", std::process::id(), since(SystemTime::now()).as_nanos())
}

fn since(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
