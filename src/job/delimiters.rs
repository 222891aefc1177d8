//! What surrounds a template's expressions.

use serde::{Deserialize, Serialize};

/// The delimiters of expressions. With own ones, those of statements and comments are made of them: `<<% if x %>>`,
/// `<<# note #>>`, because a file with braces of its own may have `{%` and `{#` anywhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Delimiters {
    pub(crate) begin: String,
    pub(crate) end: String,
}

impl Default for Delimiters {
    fn default() -> Delimiters {
        Delimiters { begin: "{{".to_string(), end: "}}".to_string() }
    }
}

impl Delimiters {
    /// The error says what cannot delimit an expression.
    pub(crate) fn new(begin: &str, end: &str) -> Result<Delimiters, String> {
        let is_of_words = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_'\"".contains(c);
        for text in [begin, end] {
            if text.is_empty() || text.contains(is_of_words) {
                return Err(format!(
                    "{text:?} cannot delimit an expression: use signs, as in [\"<<\", \">>\"]"
                ));
            }
        }
        Ok(Delimiters { begin: begin.to_string(), end: end.to_string() })
    }

    /// Those of statements, and those of comments.
    pub(crate) fn others(&self) -> [(String, String); 2] {
        if *self == Delimiters::default() {
            return [("{%", "%}"), ("{#", "#}")].map(|(a, b)| (a.to_string(), b.to_string()));
        }
        ['%', '#'].map(|sign| (format!("{}{sign}", self.begin), format!("{sign}{}", self.end)))
    }
}
