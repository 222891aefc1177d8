//! Python functions that give the points of a loop: rank 0 calls them while it reads the job file.

use std::path::Path;
use std::time::Duration;

use crate::executor::process::child::Limits;
use crate::executor::python::setup::Setup;
use crate::executor::serve::child::{CallEnd, HOUR, ServeChild};
use crate::executor::serve::lines::record;
use crate::job::{PointFunction, PointFunctions};
use crate::model::{FileFunction, Value};
use crate::util::error::Result;
use crate::util::programs::{find_program, named_program};

/// Starts a child for each function.
pub(crate) struct PythonPointFunctions {
    /// How long an import may take, and a call.
    import: Duration,
    call: Duration,
}

impl Default for PythonPointFunctions {
    fn default() -> Self {
        PythonPointFunctions { import: HOUR, call: HOUR }
    }
}

impl PointFunctions for PythonPointFunctions {
    fn import(
        &self,
        function: &FileFunction,
        folder: &Path,
        interpreter: &str,
        around: &[&str],
    ) -> Result<Box<dyn PointFunction>, String> {
        let file = folder.join(&function.file);
        if !file.is_file() {
            return Err(format!("there is no file {}", file.display()));
        }
        let found = find_program(&named_program(interpreter, folder))
            .map_err(|why| format!("\"{interpreter}\" {why}"))?;
        let setup = Setup::of_points(found, folder, function, around);
        let mut child = ServeChild::spawn(&setup)?;
        child.exchange_hellos(&setup.hello, Limits::new(Some(self.import), None), None)?;
        let takes = child.hello.texts("takes").into_iter().map(str::to_string).collect();
        let limits = Limits::new(Some(self.call), None);
        Ok(Box::new(PointChild { child, takes, limits }))
    }
}

struct PointChild {
    child: ServeChild,
    takes: Vec<String>,
    /// Of a call.
    limits: Limits,
}

impl PointFunction for PointChild {
    fn takes(&self) -> &[String] {
        &self.takes
    }

    fn points(&mut self, around: &[(&str, Value)], most: u64) -> Result<Vec<Value>, String> {
        let given = around.iter().map(|(name, value)| (name.to_string(), value.clone()));
        let given = Value::Record(given.collect());
        let fields = record([("points", given), ("most", Value::Int(most as i64))]);
        match self.child.call("task", &[&fields], &self.limits) {
            Ok(CallEnd::Answer(Ok(Value::List(points)))) => Ok(points),
            Ok(CallEnd::Answer(Ok(other))) => Err(format!("its answer cannot be read: {other}")),
            Ok(CallEnd::Answer(Err(why)) | CallEnd::Cancelled(why)) => Err(why),
            Err(error) => Err(self.child.give_up(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_does_not_end_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let text = "def points(n):\n    while n: pass\n    return [1]\n";
        std::fs::write(folder.path().join("grid.py"), text).unwrap();
        let function = FileFunction { file: "grid.py".to_string(), function: "points".to_string() };
        let import = |within: Duration, around: &[&str]| {
            let functions = PythonPointFunctions { import: within, call: Duration::from_secs(5) };
            functions.import(&function, folder.path(), "python3", around)
        };
        let mut points = import(HOUR, &["n", "m"]).unwrap();
        assert_eq!(points.takes(), ["n"]);
        assert_eq!(points.points(&[("n", Value::Int(0))], 10), Ok(vec![Value::Int(1)]));
        let why = points.points(&[("n", Value::Int(1))], 10).unwrap_err();
        assert!(why.contains("timed out: it took more than 5 s"), "{why}");

        std::fs::write(folder.path().join("grid.py"), "while True: pass\n").unwrap();
        let why = import(Duration::from_secs(2), &[]).err().unwrap();
        assert!(why.contains("timed out: it took more than 2 s"), "{why}");
    }
}
