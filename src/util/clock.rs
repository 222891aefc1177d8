//! What time it is.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time now, in seconds since 1970.
pub(crate) fn since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
