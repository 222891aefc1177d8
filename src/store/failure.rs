//! What is said if SQLite fails.

use std::path::Path;

use crate::util::error::Error;

/// The error message for a failure of SQLite.
pub(super) fn storing(path: &Path, error: &rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let path = path.display();
    Error::unexpected(match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => {
            format!("{path}: the store is damaged ({error}); a start with --fresh moves it aside")
        }
        _ => format!("{path}: the store failed: {error}"),
    })
}
