//! Turns panics of the user's functions into errors.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls the user's function; a panic becomes an error.
pub(crate) fn caught<T>(what: &str, call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(format!("{what} panicked: {}", panic_text(panic.as_ref()))))
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)")
}
