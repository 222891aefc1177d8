//! The file to which a program may write its result.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::executor::{RESULT_LIMIT, too_large};
use crate::util::files;

/// The file to which one attempt may write its result, in a folder of its own. No other attempt knows the
/// name. Only a folder that is still empty serves another attempt: to make one takes as long as to start a
/// short program.
pub(super) struct ResultFile {
    folder: tempfile::TempDir,
    number: u64,
}

impl ResultFile {
    pub(super) fn new(scratch: &Path) -> std::io::Result<ResultFile> {
        let folder = tempfile::Builder::new().prefix("attempt-").tempdir_in(scratch)?;
        Ok(ResultFile { folder, number: 0 })
    }

    pub(super) fn is_unused(&self) -> bool {
        fs::read_dir(self.folder.path()).is_ok_and(|mut entries| entries.next().is_none())
    }

    pub(super) fn renamed(self) -> ResultFile {
        ResultFile { number: self.number + 1, ..self }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join(format!("result-{}", self.number))
    }

    /// Reads the file, if the program wrote one.
    pub(super) fn read(&self) -> Result<Option<String>, String> {
        let unreadable = |error| format!("the result file cannot be read: {error}");
        let path = self.path();
        let about = match fs::symlink_metadata(&path) {
            Ok(about) => about,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        if let Some(other) = files::other_kind(&about) {
            return Err(format!(
                "the result file is {other}: write the result itself to the path in GRIDMPI_RESULT"
            ));
        }
        if about.len() > RESULT_LIMIT {
            let limit = format_args!("{} bytes, over the limit of {RESULT_LIMIT}", about.len());
            return Err(too_large(limit));
        }
        let mut text = String::new();
        let file = fs::File::open(&path).map_err(unreadable)?;
        file.take(RESULT_LIMIT).read_to_string(&mut text).map_err(unreadable)?;
        Ok(Some(text))
    }
}
