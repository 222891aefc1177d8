//! The line of `shell = "..."`. Values reach it in variables and are never read as code.

#[cfg(feature = "jobs")]
mod nested;
#[cfg(feature = "jobs")]
mod scan;
#[cfg(feature = "jobs")]
pub(crate) mod script;

use std::fmt;

use serde::{Deserialize, Serialize};

/// A command line with placeholders, and the shell that runs it: the same one on every rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShellLine {
    pub(crate) line: String,
    /// `bash` or `sh`. They differ in more than pipes, in `echo` for example.
    pub(crate) shell: String,
}

impl fmt::Display for ShellLine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.line)
    }
}
