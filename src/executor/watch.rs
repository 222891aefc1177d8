//! Looks whether the files that crunch consists of, and those that points name, are what they were when
//! rank 0 began: on any host, before and after an attempt. Reading a state is cheap; the content is read
//! only if the state differs, as it may on another host.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::executor::{CallResult, Executor, Task};
use crate::job::placeholders::Template;
use crate::job::{DigestedFile, Job, WatchedFile};
use crate::model::{RunError, Value};
use crate::util::clock;
use crate::util::file_state::FileState;
use crate::util::machine;
use crate::util::programs::find_program;

/// What to do about a file that is not what it was.
pub(crate) const CHANGED: &str = "what the attempts with it gave is not kept, what was done before is; put it back and start again, or start with --keep to go on with it as it is, or with --fresh; a file that runs write is left out with ignore in [crunch]";

/// What to do about a host that differs from rank 0's.
pub(crate) const SAME_EVERYWHERE: &str = "nothing that this host gave is kept; give all hosts the same environment, or set allow_mixed = true in [crunch]";

/// How long a file that is replaced may be away.
const MOMENT: Duration = Duration::from_millis(200);

/// Shared by the threads of a worker.
#[derive(Debug, Default)]
pub(crate) struct FileWatch {
    /// Other states in which a file had the same content, such as that on this host.
    same: Mutex<HashMap<PathBuf, FileState>>,
}

impl FileWatch {
    /// Checks the files that crunch consists of.
    pub(crate) fn check_crunch(&self, job: &Job) -> Result<(), RunError> {
        job.watched.always.iter().try_for_each(|file| self.check(&job.folder, file))
    }

    /// Checks that the programs which crunch names without a path are what rank 0's host has.
    pub(crate) fn check_programs(&self, job: &Job) -> Result<(), RunError> {
        job.common.programs.iter().try_for_each(|(word, program)| {
            let differs = |here: String| {
                let (host, path) = (machine::host(), program.path.display());
                RunError::FileChanged(format!(
                    "{word} on host {host} {here}, and on the host of rank 0 it is {path}; {SAME_EVERYWHERE}"
                ))
            };
            let found = find_program(Path::new(word)).map_err(&differs)?;
            if found == program.path {
                return Ok(()); // its content is checked with each attempt
            }
            match DigestedFile::read(&found) {
                Ok(here) if here.digest == program.digest => Ok(()),
                Ok(_) => Err(differs(format!("is another program, {}", found.display()))),
                Err(error) => Err(differs(format!("cannot be read: {error}"))),
            }
        })
    }

    /// Checks that a host has the Python and the packages that rank 0's has.
    pub(crate) fn check_python(
        &self,
        job: &Job,
        here: &BTreeMap<String, String>,
    ) -> Result<(), RunError> {
        for (what, common) in &job.common.python {
            let here = here.get(what).map_or("unknown", String::as_str);
            if here != common {
                let host = machine::host();
                return Err(RunError::FileChanged(format!(
                    "{what} on host {host} is {here}, and on the host of rank 0 it is {common}; {SAME_EVERYWHERE}"
                )));
            }
        }
        Ok(())
    }

    /// Checks the files that these points name.
    pub(crate) fn check_points<'v>(
        &self,
        job: &Job,
        points: impl IntoIterator<Item = &'v Value>,
    ) -> Result<(), RunError> {
        if job.watched.named.is_empty() {
            return Ok(());
        }
        points.into_iter().flat_map(Value::texts).try_for_each(|name| self.check_name(job, name))
    }

    /// Checks a file that may be one of those that points name.
    fn check_name(&self, job: &Job, name: &str) -> Result<(), RunError> {
        let path = job.folder.join(name);
        let known = path.to_str().and_then(|path| job.watched.named.get(path));
        known.map_or(Ok(()), |file| self.check(&job.folder, file))
    }

    fn check(&self, folder: &Path, file: &WatchedFile) -> Result<(), RunError> {
        let path = Path::new(&file.name).to_path_buf();
        let name = path.strip_prefix(folder).unwrap_or(&path).display();
        // It may be there on other hosts, or nowhere: then no worker is left that can work.
        let unfit = |error| {
            let host = machine::host();
            RunError::Unfit(format!("{name} cannot be read any more on host {host}: {error}"))
        };
        let state = FileState::of(&path).or_else(|_| {
            std::thread::sleep(MOMENT); // it may just be replaced
            FileState::of(&path)
        });
        let state = state.map_err(unfit)?;
        if state == file.state || self.same.lock().get(&path) == Some(&state) {
            return Ok(());
        }
        match DigestedFile::read(&path) {
            Ok(now) if now.digest == file.digest => {
                self.same.lock().insert(path.clone(), now.state);
                Ok(())
            }
            Ok(_) => Err(RunError::FileChanged(format!(
                "{name} on host {} is not what it was at the start: then it was of {} UTC, now it is of {} UTC; {CHANGED}",
                machine::host(),
                clock::utc(file.state.modified),
                clock::utc(state.modified)
            ))),
            Err(error) => Err(unfit(error)),
        }
    }
}

/// An executor of programs, with a check before and after each attempt.
pub(crate) struct WatchedExecutor {
    pub(crate) job: Arc<Job>,
    pub(crate) watch: Arc<FileWatch>,
    pub(crate) inner: Box<dyn Executor>,
    /// Words with placeholders that may become the names of files.
    pub(crate) words: Vec<Template>,
    /// Whether the programs were compared with rank 0's.
    pub(crate) is_compared: bool,
}

impl WatchedExecutor {
    fn check(&self, task: &Task, coordinates: &[(&str, Value)]) -> Result<(), RunError> {
        self.watch.check_crunch(&self.job)?;
        self.watch.check_points(&self.job, coordinates.iter().map(|(_, value)| value))?;
        if self.words.is_empty() {
            return Ok(());
        }
        let points = self.job.nest.indices(self.job.nest.task(task.index));
        self.words.iter().try_for_each(|word| {
            let cells = self.job.cells(|level| points.get(level).copied());
            let name = word.fill(coordinates, cells);
            name.map_or(Ok(()), |name| self.watch.check_name(&self.job, &name))
        })
    }
}

impl Executor for WatchedExecutor {
    fn prepare(&mut self) -> Result<(), String> {
        self.inner.prepare()
    }

    fn expect(&mut self, tasks: Range<u64>, attempt: u32) {
        self.inner.expect(tasks, attempt);
    }

    fn seconds(&self) -> Option<f64> {
        self.inner.seconds()
    }

    fn crunch(&mut self, task: &Task) -> CallResult {
        if !self.is_compared {
            if let Err(error) = self.watch.check_programs(&self.job) {
                return CallResult::from(Err(error));
            }
            self.is_compared = true;
        }
        if self.job.watched.is_empty() {
            return self.inner.crunch(task);
        }
        let coordinates = task.coordinates();
        if let Err(error) = self.check(task, &coordinates) {
            return CallResult::from(Err(error));
        }
        let result = self.inner.crunch(task);
        match self.check(task, &coordinates) {
            Ok(()) => result,
            Err(error) => CallResult::from(Err(error)),
        }
    }
}
