//! The one error a user sees, and the exit code that goes with it.

use std::fmt;
use std::process::ExitCode;

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

/// What most of gridmpi returns.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Says it on stderr.
    pub(crate) fn print(&self) {
        eprintln!("gridmpi: error: {self}");
    }

    /// The same error, saying where it happened.
    pub(crate) fn within(self, place: &str) -> Error {
        Error { exit: self.exit, message: format!("{place}: {}", self.message) }
    }

    /// The user's input is wrong: say where, what was expected and what to do.
    pub(crate) fn input(message: impl fmt::Display) -> Error {
        Error { exit: Exit::BadInput, message: message.to_string() }
    }

    /// A file the user named cannot be read.
    #[cfg(any(feature = "cli", feature = "jobs"))]
    pub(crate) fn unreadable(file: &std::path::Path, error: &std::io::Error) -> Error {
        Error::input(format!("{}: cannot be read: {error}", file.display()))
    }

    /// A signal asked for an end.
    pub(crate) fn interrupted(message: impl fmt::Display) -> Error {
        Error { exit: Exit::Interrupted, message: message.to_string() }
    }

    /// So many runs failed that the job was stopped.
    pub(crate) fn failures(message: impl fmt::Display) -> Error {
        Error { exit: Exit::SomeFailed, message: message.to_string() }
    }

    /// Something happened that cannot; the user can only report it.
    pub(crate) fn bug(what: impl fmt::Display) -> Error {
        Error::unexpected(format!("a bug in gridmpi: {what}"))
    }

    /// This error, and what went wrong because of it.
    pub(crate) fn and(self, also: &Error) -> Error {
        Error { exit: self.exit, message: format!("{}; {}", self.message, also.message) }
    }

    /// Something else went wrong: say which file, rank or host.
    pub(crate) fn unexpected(message: impl fmt::Display) -> Error {
        Error { exit: Exit::Unexpected, message: message.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

/// The message: it is what a `main` that returns the error prints.
impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
