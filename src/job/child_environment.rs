//! What a job says of the environment of crunch's processes.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChildEnvironment {
    /// Variables and their values, which may have placeholders.
    pub(crate) set: Vec<(String, String)>,
    /// Names of the launcher's variables that are not taken out; one may end with `*`.
    pub(crate) keep: Vec<String>,
}

impl ChildEnvironment {
    /// What is set, for crunch's identity: nothing where nothing is.
    pub(crate) fn identity(&self) -> String {
        match self.set.is_empty() {
            true => String::new(),
            false => format!(", env {:?}", self.set),
        }
    }

    /// Whether a variable stays that would be taken out.
    pub(crate) fn keeps(&self, name: &str) -> bool {
        self.keep.iter().any(|kept| match kept.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => kept == name,
        })
    }
}
