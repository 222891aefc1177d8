//! What a condition can name.

use crate::condition::tokens::Holds;
use crate::util::text::{did_you_mean, is_slip_of};

/// A column that a condition names.
pub(crate) struct KnownName {
    pub(crate) sql: String,
    pub(crate) holds: Holds,
}

/// The columns that a condition can name.
pub(crate) trait Names {
    /// The column with this name, if it exists.
    fn find(&mut self, name: &str) -> Result<Option<KnownName>, String>;

    /// All column names.
    fn all(&self) -> Vec<String>;

    /// Whether a column may be none, so that a condition must say what it means then.
    fn may_be_none(&self, _name: &str) -> bool {
        false
    }

    /// Whether an unknown name in double quotes is a string.
    fn quotes_strings(&self) -> bool {
        true
    }

    /// Whether a name is likely to be a misspelled column.
    fn is_near(&self, name: &str) -> bool {
        is_slip_of(name, &self.all())
    }

    /// The error message for an unknown column, with the most similar one.
    fn unknown(&self, name: &str) -> String {
        let all = self.all();
        let (near, known) = (did_you_mean(name, &all, "'"), all.join(", "));
        format!("there is no column '{name}'{near} (columns: {known})")
    }
}
