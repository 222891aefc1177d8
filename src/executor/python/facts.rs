//! What a Python child says of itself in its hello: what it has imported, and which Python it is.

use std::collections::BTreeMap;

use crate::executor::serve::hello::WorkerHello;
use crate::model::Value;

pub(super) struct ChildFacts<'h>(pub(super) &'h WorkerHello);

impl<'h> ChildFacts<'h> {
    /// The files of the user's modules that were imported at the start.
    pub(super) fn modules(&self) -> Vec<&'h str> {
        self.0.texts("files")
    }

    /// The files of the user's modules that only a call imports, where statements in those files say so; known
    /// only if the setup asks for it.
    pub(super) fn late_modules(&self) -> Vec<&'h str> {
        self.0.texts("late")
    }

    /// The states that these files had before they were read, as text; known only then, too.
    pub(super) fn states(&self) -> BTreeMap<String, String> {
        self.named("states")
    }

    /// The versions of the installed packages that are imported at the start, or by calls.
    pub(super) fn packages(&self) -> BTreeMap<String, String> {
        self.named("packages")
    }

    /// Which Python it is, and the versions of the packages that were imported at the start.
    pub(super) fn environment(&self) -> BTreeMap<String, String> {
        let python = self.named("python").into_iter();
        let python = python.map(|(what, value)| (format!("Python's {what}"), value));
        let packages = self.packages().into_iter();
        python.chain(packages.map(|(name, version)| (version_of(&name), version))).collect()
    }

    fn named(&self, field: &str) -> BTreeMap<String, String> {
        texts_of(self.0.field(field))
    }
}

/// The values in a record, by name, as text.
pub(super) fn texts_of(record: Option<&Value>) -> BTreeMap<String, String> {
    match record {
        Some(Value::Record(fields)) => {
            fields.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// What the version of a package is called.
pub(super) fn version_of(package: &str) -> String {
    format!("the version of {package}")
}
