//! The error type that users see, and the process's exit codes.

use std::fmt;
use std::process::ExitCode;

use crate::util::text::visible_lines;

/// The exit code of gridmpi.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Every run is done.
    Complete = 0,
    /// An unexpected error, such as a full disk or a lost connection.
    Unexpected = 1,
    /// The command line, the job file or the data is wrong; nothing was crunched.
    BadInput = 2,
    /// Interrupted by a signal or a time limit; another start resumes the job.
    Interrupted = 75,
    /// Some runs failed.
    SomeFailed = 100,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error message, with the exit code of the process.
#[derive(Clone)]
pub struct Error {
    /// The exit code that belongs to this error.
    pub exit: Exit,
    message: String,
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Prints it on stderr.
    pub(crate) fn print(&self) {
        eprintln!("gridmpi: error: {self:?}");
    }

    /// The same error with the place where it happened.
    pub(crate) fn within(self, place: &str) -> Error {
        Error { exit: self.exit, message: format!("{place}: {}", self.message) }
    }

    /// An error in the user's input. The message says where, what was expected and what to do.
    pub(crate) fn input(message: impl fmt::Display) -> Error {
        Error { exit: Exit::BadInput, message: message.to_string() }
    }

    /// A file that the user named cannot be read.
    pub(crate) fn unreadable(file: &std::path::Path, error: &std::io::Error) -> Error {
        Error::input(format!("{}: cannot be read: {error}", file.display()))
    }

    /// The same error with what to do about it.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn with_hint(self, hint: &str) -> Error {
        Error { message: format!("{}; {hint}", self.message), ..self }
    }

    /// Interrupted by a signal or a time limit.
    pub(crate) fn interrupted(message: impl fmt::Display) -> Error {
        Error { exit: Exit::Interrupted, message: message.to_string() }
    }

    /// Too many runs failed, and the job was stopped.
    pub(crate) fn failures(message: impl fmt::Display) -> Error {
        Error { exit: Exit::SomeFailed, message: message.to_string() }
    }

    /// A bug in gridmpi; the user can only report it.
    pub(crate) fn bug(what: impl fmt::Display) -> Error {
        Error::unexpected(format!("a bug in gridmpi: {what}"))
    }

    /// This error, and a second one that it caused.
    pub(crate) fn and(self, also: &Error) -> Error {
        Error { exit: self.exit, message: format!("{}; {}", self.message, also.message) }
    }

    /// Any other error. The message names the file, rank or host.
    pub(crate) fn unexpected(message: impl fmt::Display) -> Error {
        Error { exit: Exit::Unexpected, message: message.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

/// The message for a terminal, because a `main` that returns the error prints its Debug form.
impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&visible_lines(&self.message))
    }
}

impl std::error::Error for Error {}
