//! The state of a file, which differs whenever its content was changed: size, times and inode. Comparing
//! it is cheap, unlike reading the content.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

const NANOSECONDS: i64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileState {
    pub(crate) size: u64,
    /// When the content and when the inode changed last, in nanoseconds since 1970.
    pub(crate) modified: i64,
    pub(crate) changed: i64,
    pub(crate) inode: u64,
}

impl FileState {
    /// The state of the file at this path; links are followed.
    pub(crate) fn of(path: &Path) -> std::io::Result<FileState> {
        path.metadata().map(|metadata| FileState::from(&metadata))
    }
}

/// Tells a file or folder from any other one that takes its place; None if nothing is there.
pub(crate) fn file_id(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

impl From<&Metadata> for FileState {
    fn from(metadata: &Metadata) -> FileState {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(NANOSECONDS) + rest;
        FileState {
            size: metadata.size(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}
