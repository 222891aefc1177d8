//! Looks whether the files that crunch consists of, and those that points name, are what they were when
//! rank 0 began: on any host, before and after an attempt. Reading a state is cheap; the content is read
//! only if the state differs, as it may on another host. If it has differed during an attempt, the attempt is
//! made again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Error, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::executor::{CallResult, Executor, Task};
use crate::job::placeholders::Template;
use crate::job::{DigestedFile, Job, WatchedFile};
use crate::model::{Loop, RunError, Value};
use crate::util::clock;
use crate::util::file_state::FileState;
use crate::util::machine;
use crate::util::programs::find_program;
use crate::wire::requests::{MasterClient, Reply, Request};

/// What to do about a file that is not what it was.
pub(crate) const CHANGED: &str = "what the attempts with it gave is not kept, what was done before is; put it back and start again, or start with --keep to go on with it as it is, or with --fresh; a file that runs write is left out with ignore in [crunch]";

/// What to do about a file that is gone.
const GONE: &str = "what the attempts without it gave is not kept, what was done before is; put it back and start again";

/// What to do about a host that differs from rank 0's.
pub(crate) const SAME_EVERYWHERE: &str = "nothing that this host gave is kept; give all hosts the same environment, or set allow_mixed = true in [crunch]";

/// How long a file that is replaced may be away.
const MOMENT: Duration = Duration::from_millis(200);

/// A loop with more points is taken to name files that are watched.
const MOST_LOOKED_THROUGH: u64 = 100_000;

/// Shared by the threads of a worker.
#[derive(Debug, Default)]
pub(crate) struct FileWatch {
    /// Other states in which a file had the same content, such as that on this host.
    same: Mutex<HashMap<PathBuf, FileState>>,
    /// Files that were touched during an attempt and have the same content.
    touched: Mutex<HashSet<String>>,
}

impl FileWatch {
    /// Checks the files that crunch consists of.
    pub(crate) fn check_crunch(
        &self,
        job: &Job,
        master: &dyn MasterClient,
    ) -> Result<(), RunError> {
        let mut files = job.watched.always.iter();
        files.try_for_each(|file| self.check(job, file, master).map(drop))
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
        for (what, here) in here {
            if let Some(common) = job.common.python.get(what).filter(|common| *common != here) {
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
        master: &dyn MasterClient,
    ) -> Result<(), RunError> {
        if job.watched.named.is_empty() {
            return Ok(());
        }
        let mut files = points.into_iter().flat_map(Value::texts).filter_map(|n| named(job, n));
        files.try_for_each(|file| self.check(job, file, master).map(drop))
    }

    /// The state of a file whose content is what it was at the start.
    fn check(
        &self,
        job: &Job,
        file: &WatchedFile,
        master: &dyn MasterClient,
    ) -> Result<FileState, RunError> {
        let path = Path::new(&file.name);
        let name = path.strip_prefix(&job.folder).unwrap_or(path).display();
        let path = &*job.carried.here(path);
        // Where it is missing on this host alone, others can work. If it is gone on the host of rank 0 too, where
        // it was at the start, it has changed.
        let unfit = |error: Error| {
            let host = machine::host();
            let is_gone = error.kind() == ErrorKind::NotFound
                && matches!(
                    master.ask(Request::IsThere(file.name.clone())),
                    Ok(Reply::Ready(false))
                );
            match is_gone {
                true => RunError::FileChanged(format!(
                    "{name} is gone on host {host} and on that of rank 0, where it was at the start: then it was of {} UTC, and it was missed at {} UTC; {GONE}",
                    clock::utc(file.state.modified),
                    clock::utc((clock::since_1970() * 1e9) as i64)
                )),
                false => RunError::Unfit(format!(
                    "{name} cannot be read any more on host {host}: {error}"
                )),
            }
        };
        let state = FileState::of(path).or_else(|_| {
            std::thread::sleep(MOMENT); // it may just be replaced
            FileState::of(path)
        });
        let state = state.map_err(unfit)?;
        if state == file.state || self.same.lock().get(path) == Some(&state) {
            return Ok(state);
        }
        match DigestedFile::read(path) {
            Ok(now) if now.digest == file.digest => {
                self.same.lock().insert(path.to_path_buf(), now.state);
                Ok(now.state)
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

    /// Whether this file is the first time seen to be touched during an attempt.
    fn is_first_touch(&self, name: &str) -> bool {
        self.touched.lock().insert(name.to_string())
    }
}

/// The file that a point or an argument names, if it is watched.
fn named<'j>(job: &'j Job, name: &str) -> Option<&'j WatchedFile> {
    job.watched.named.get(job.folder.join(name).to_str()?)
}

/// The levels whose points name files that are watched.
pub(crate) fn naming_levels(job: &Job) -> Vec<usize> {
    if job.watched.named.is_empty() {
        return Vec::new();
    }
    let names = |l: &Loop| {
        let is_watched =
            |value: &Value| value.texts().into_iter().any(|name| named(job, name).is_some());
        let is_long = l.points.len() > MOST_LOOKED_THROUGH;
        l.points.may_name_files()
            && (is_long || (0..l.points.len()).any(|i| is_watched(&l.points.get(i))))
    };
    let loops = job.nest.loops().iter().enumerate();
    loops.filter(|(_, l)| names(l)).map(|(level, _)| level).collect()
}

/// An executor of programs, with a check before and after each attempt.
pub(crate) struct WatchedExecutor {
    pub(crate) job: Arc<Job>,
    pub(crate) watch: Arc<FileWatch>,
    pub(crate) master: Arc<dyn MasterClient>,
    pub(crate) inner: Box<dyn Executor>,
    /// Words with placeholders that may become the names of files.
    pub(crate) words: Vec<Template>,
    /// Whether the programs were compared with rank 0's.
    pub(crate) is_compared: bool,
}

/// The files that count for a task.
fn files<'j>(job: &'j Job, words: &[Template], task: &Task) -> Vec<&'j WatchedFile> {
    let mut files: Vec<&WatchedFile> = job.watched.always.iter().collect();
    if job.watched.named.is_empty() {
        return files;
    }
    let coordinates = task.coordinates();
    let texts = coordinates.iter().flat_map(|(_, value)| value.texts());
    files.extend(texts.filter_map(|name| named(job, name)));
    let points = job.nest.indices(job.nest.task(task.index));
    for word in words {
        let cells = job.cells(|level| points.get(level).copied());
        let name = word.fill(&coordinates, cells).ok();
        files.extend(name.and_then(|name| named(job, &name)));
    }
    files
}

impl WatchedExecutor {
    /// The states of these files.
    fn check(&self, files: &[&WatchedFile]) -> Result<Vec<FileState>, RunError> {
        let check = |file: &&WatchedFile| self.watch.check(&self.job, file, &*self.master);
        files.iter().map(check).collect()
    }

    /// Whether an attempt is to be made again, because a file was touched meanwhile: it may have been changed
    /// and changed back. Not each time, because there are programs that write what was there.
    fn is_doubtful(&self, files: &[&WatchedFile], was: &[FileState], is: &[FileState]) -> bool {
        let touched = files.iter().zip(was.iter().zip(is)).filter(|(_, (was, is))| was != is);
        let mut again = false;
        for (file, _) in touched {
            let is_first = self.watch.is_first_touch(&file.name);
            let what = match is_first {
                true => "the attempt is made again; if this happens again, it is taken as it is",
                false => "the result is taken as it is; ignore in [crunch] leaves out a file",
            };
            let (name, host) = (&file.name, machine::host());
            let said = format!(
                "{name} on host {host} was written to or touched during an attempt, with the same content before and after: {what}"
            );
            if is_first {
                log::warn!("{said}")
            } else {
                log::debug!("{said}")
            }
            again |= is_first;
        }
        again
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

    fn memory(&self) -> Option<u32> {
        self.inner.memory()
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
        let job = self.job.clone();
        let files = files(&job, &self.words, task);
        loop {
            let before = match self.check(&files) {
                Ok(states) => states,
                Err(error) => return CallResult::from(Err(error)),
            };
            let result = self.inner.crunch(task);
            match self.check(&files) {
                Ok(after) if self.is_doubtful(&files, &before, &after) => {}
                Ok(_) => return result,
                Err(error) => return CallResult::from(Err(error)),
            }
        }
    }
}
