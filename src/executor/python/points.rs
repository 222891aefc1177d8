//! Python functions that give the points of a loop: rank 0 calls them while it reads the job file.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, json};

use crate::executor::process::child::Limits;
use crate::executor::python::child::{HOUR, PythonChild, Setup};
use crate::executor::python::protocol::marked;
use crate::job::{PointFunction, PointFunctions};
use crate::model::{FileFunction, Value};
use crate::util::error::Result;
use crate::util::programs::{find_program, named_program};

/// Starts a child for each function.
pub(crate) struct PythonPointFunctions {
    /// How long an import may take, and a call.
    limit: Duration,
}

impl Default for PythonPointFunctions {
    fn default() -> Self {
        PythonPointFunctions { limit: HOUR }
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
        let limits = Limits::new(Some(self.limit), None);
        let setup = Setup::of_points(found, folder, function, around);
        let child = PythonChild::start(&setup, &limits)?;
        let takes = child.imported.field("takes").into_iter().flat_map(Value::texts);
        let takes = takes.map(str::to_string).collect();
        Ok(Box::new(PointChild { child, takes }))
    }
}

struct PointChild {
    child: PythonChild,
    takes: Vec<String>,
}

impl PointFunction for PointChild {
    fn takes(&self) -> &[String] {
        &self.takes
    }

    fn points(&mut self, around: &[(&str, Value)], most: u64) -> Result<Vec<Value>, String> {
        let given = around.iter().map(|(name, value)| (name.to_string(), marked(value)));
        let request = json!({ "around": given.collect::<Map<_, _>>(), "most": most });
        self.child.begin(None);
        match self.child.call(&request)? {
            Value::List(points) => Ok(points),
            other => Err(format!("its answer cannot be read: {other}")),
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
        let short = PythonPointFunctions { limit: Duration::from_secs(2) };
        let import = |around: &[&str]| short.import(&function, folder.path(), "python3", around);
        let mut points = import(&["n", "m"]).unwrap();
        assert_eq!(points.takes(), ["n"]);
        assert_eq!(points.points(&[("n", Value::Int(0))], 10), Ok(vec![Value::Int(1)]));
        let why = points.points(&[("n", Value::Int(1))], 10).unwrap_err();
        assert!(why.contains("timed out: it took more than 2 s"), "{why}");

        std::fs::write(folder.path().join("grid.py"), "while True: pass\n").unwrap();
        let why = import(&[]).err().unwrap();
        assert!(why.contains("timed out: it took more than 2 s"), "{why}");
    }
}
