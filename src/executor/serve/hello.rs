//! The first messages: gridmpi says which versions of the protocol it speaks, and the worker picks one.

use crate::executor::RESULT_LIMIT;
use crate::executor::serve::lines::{self, NumberForms, record, texts};
use crate::model::Value;

/// The versions of the protocol that this gridmpi speaks.
const VERSIONS: [i64; 1] = [1];

/// What a worker has said of itself.
#[derive(Debug, Default)]
pub(crate) struct WorkerHello {
    pub(super) forms: NumberForms,
    /// Whether it can end a call that is cancelled, and go on.
    pub(super) cancels: bool,
    /// Whether it opens the pipes for each message, and closes them after it.
    pub(super) reopens: bool,
    /// Whether it tells which of the user's files and which packages calls import.
    pub(super) tells_imports: bool,
    pub(crate) version: i64,
    /// All of it.
    fields: Vec<(String, Value)>,
}

/// The hello of gridmpi, for a worker that is called as `role`, with the loops whose points it gets.
pub(crate) fn of_gridmpi(role: &str, loops: Value) -> Vec<(String, Value)> {
    record([
        ("type", "hello".into()),
        ("versions", Value::List(VERSIONS.map(Value::Int).to_vec())),
        ("gridmpi", env!("CARGO_PKG_VERSION").into()),
        ("role", role.into()),
        ("loops", loops),
        ("limit", Value::Int(RESULT_LIMIT as i64)),
    ])
}

impl WorkerHello {
    pub(super) fn of(fields: Vec<(String, Value)>) -> Result<WorkerHello, String> {
        let mut hello = WorkerHello { fields, ..WorkerHello::default() };
        let speaks = match (hello.field("version"), hello.field("versions")) {
            (Some(Value::Int(version)), _) if VERSIONS.contains(version) => {
                hello.version = *version;
                None
            }
            (Some(Value::Null) | None, Some(Value::List(versions))) => Some(versions.clone()),
            (Some(version), _) => Some(vec![version.clone()]),
            (None, _) => {
                return Err(
                    "its hello has no version: it picks one of the versions of gridmpi's hello"
                        .to_string(),
                );
            }
        };
        if let Some(versions) = speaks {
            let list = |versions: &[Value]| {
                versions.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
            };
            let own = list(&VERSIONS.map(Value::Int));
            return Err(format!(
                "no version of the protocol in common: gridmpi speaks {own}, it speaks {}",
                list(&versions)
            ));
        }
        hello.forms.strings = hello.chosen("nonfinite", &["words", "strings"])? == 1;
        hello.forms.hexadecimal = hello.chosen("floats", &["decimal", "hexadecimal"])? == 1;
        hello.cancels = hello.is("cancel")?;
        hello.reopens = hello.is("reopens")?;
        hello.tells_imports = hello.is("imports")?;
        Ok(hello)
    }

    /// Whether a field is true; it is not where it is missing.
    fn is(&self, name: &str) -> Result<bool, String> {
        match self.field(name) {
            None => Ok(false),
            Some(Value::Bool(is)) => Ok(*is),
            Some(other) => Err(format!("its hello has {name} = {other}, not true or false")),
        }
    }

    /// Which of the known values a field has; the first one where it is missing.
    fn chosen(&self, name: &str, known: &[&str]) -> Result<usize, String> {
        let Some(value) = self.field(name) else { return Ok(0) };
        let at = known.iter().position(|known| *value == Value::from(*known));
        at.ok_or_else(|| format!("its hello has {name} = {value} (known: {})", known.join(", ")))
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        lines::field(&self.fields, name)
    }

    /// Whether the function takes the point of a loop; it does if the worker does not say what it takes.
    pub(super) fn takes(&self, loop_name: &str) -> bool {
        self.field("takes").is_none_or(|takes| takes.texts().contains(&loop_name))
    }

    /// The strings in a field.
    pub(crate) fn texts(&self, name: &str) -> Vec<&str> {
        self.field(name).map(Value::texts).unwrap_or_default()
    }
}

/// The hello of a trial, for a worker whose loops are the names of these points.
#[cfg(feature = "cli")]
pub(super) fn of_trial(points: &[(String, Value)]) -> Vec<(String, Value)> {
    of_gridmpi("crunch", texts(points.iter().map(|(name, _)| name.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_picks_one_of_our_versions() {
        let hello = |fields: &[(&str, Value)]| {
            let named = fields.iter().map(|(name, value)| (name.to_string(), value.clone()));
            WorkerHello::of(named.collect())
        };
        assert_eq!(hello(&[("version", Value::Int(1))]).unwrap().version, 1);
        let versions = Value::List(vec![Value::Int(2), Value::Int(3)]);
        for (fields, why) in [
            (vec![("version", Value::Int(2))], "gridmpi speaks 1, it speaks 2"),
            (vec![("versions", versions.clone())], "gridmpi speaks 1, it speaks 2, 3"),
            (vec![("version", Value::Null), ("versions", versions)], "it speaks 2, 3"),
            (vec![], "no version"),
            (vec![("version", Value::Int(1)), ("nonfinite", "null".into())], "words, strings"),
            (vec![("version", Value::Int(1)), ("cancel", Value::Int(1))], "not true or false"),
        ] {
            let error = hello(&fields).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
