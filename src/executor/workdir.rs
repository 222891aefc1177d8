//! A folder of its own for each attempt: made, filled and, when the attempt has ended, kept as the job says. What is kept
//! gets its name on rank 0, once the run is recorded.

mod failure;
mod keep;
mod place;

use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::executor::workdir::failure::{Failure, is_full};
pub(super) use crate::executor::workdir::place::Filler;
#[cfg(all(feature = "cli", feature = "jobs"))]
use crate::executor::workdir::place::{FilledPoints, FilledRun};
use crate::executor::{CallResult, Executor, Slot, Task};
#[cfg(all(feature = "cli", feature = "jobs"))]
use crate::job::RunIds;
use crate::job::{Job, KeptFiles, WorkdirSpec};
use crate::model::RunError;
#[cfg(all(feature = "cli", feature = "jobs"))]
use crate::model::Value;
use crate::util::machine;
use crate::util::panic::caught;
use crate::wire::requests::{MasterClient, Reply, Request};

/// How the names of the folders of attempts under way begin.
const UNDER_WAY: &str = ".at-";

/// No attempt begins with less room than this on the disk of its folder. (bytes)
const ROOM: u64 = 1 << 20;

/// How long to wait before a full disk is looked at again.
const PAUSE: Duration = Duration::from_millis(500);

/// The executor in a folder for each attempt, if the job says so.
pub(super) fn within(
    inner: Box<dyn Executor>,
    (job, filler): (&Arc<Job>, Option<&Arc<Filler>>),
    master: &Arc<dyn MasterClient>,
    place: Slot,
) -> Box<dyn Executor> {
    let Some(filler) = filler.cloned() else { return inner };
    let master = master.clone();
    let (job, is_shared, is_waiting) = (job.clone(), false, false);
    Box::new(WorkdirExecutor { job, filler, master, place, inner, is_shared, is_waiting })
}

/// The beginning of a shell command line that makes a folder as an attempt at a task has it, and goes there; and that
/// folder. The points are those by name, and by level.
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(super) fn by_hand(
    (job, ids): (&Job, &Arc<RunIds>),
    coordinates: &[(&str, Value)],
    point: &dyn Fn(usize) -> Option<u64>,
    (run, place): (FilledRun, Slot),
) -> Result<Option<(String, PathBuf)>, String> {
    let Some(filler) = Filler::of(&Arc::new(job.clone()), Some(ids)) else { return Ok(None) };
    let folder = std::env::temp_dir().join(format!("gridmpi-by-hand-{}-{}", job.name, run.0));
    let of = FilledPoints { coordinates, point };
    Ok(Some((filler.by_hand(&folder, &of, (run, place))?, folder)))
}

struct WorkdirExecutor {
    job: Arc<Job>,
    filler: Arc<Filler>,
    master: Arc<dyn MasterClient>,
    place: Slot,
    inner: Box<dyn Executor>,
    /// Whether rank 0 is known to see what is kept here.
    is_shared: bool,
    /// Whether it was said that a disk is full.
    is_waiting: bool,
}

impl Executor for WorkdirExecutor {
    fn prepare(&mut self) -> Result<(), String> {
        let made = self.scratch().and_then(|scratch| {
            new_folder(&scratch).map(drop).or_else(|error| match is_full(&error) {
                true => Ok(()), // attempts wait for room
                false => Err(unusable(&scratch, &error)),
            })
        });
        made.and_then(|()| self.inner.prepare())
    }

    fn expect(&mut self, tasks: Range<u64>, attempt: u32) {
        self.inner.expect(tasks, attempt);
    }

    fn memory(&self) -> Option<u32> {
        self.inner.memory()
    }

    // The time that a run takes is that from one attempt to the next, so that no two runs of a thread begin at the same
    // time: the store knows folders by that.

    fn crunch(&mut self, task: &Task) -> CallResult {
        let folder = match self.begin(task) {
            Ok(folder) => folder,
            Err(error) => return CallResult::from(Err(error)),
        };
        let task = Task { workdir: Some(folder.path()), ..*task };
        let inner = &mut self.inner;
        let result = caught("crunch", || Ok(inner.crunch(&task)));
        let result = result.unwrap_or_else(|why| CallResult::from(Err(why.into())));
        let (index, attempt) = (task.index, task.attempt);
        match self.end(folder, (index, attempt), &result) {
            Ok(()) => result,
            Err(error) => CallResult::from(Err(error)),
        }
    }
}

impl WorkdirExecutor {
    fn spec(&self) -> &WorkdirSpec {
        self.job.workdir.as_ref().expect("the job has folders for attempts")
    }

    /// The folder in which those of attempts are made.
    fn scratch(&self) -> Result<PathBuf, String> {
        let spec = self.spec();
        match &spec.scratch {
            Some(text) => {
                let scratch = self.job.folder.join(expanded(text)?);
                let made = fs::create_dir_all(&scratch);
                made.map_err(|error| unusable(&scratch, &error)).map(|()| scratch)
            }
            None if spec.runs.as_os_str().is_empty() => Ok(std::env::temp_dir()),
            None => Ok(spec.runs.clone()),
        }
    }

    /// Makes the folder of an attempt.
    fn begin(&mut self, task: &Task) -> Result<tempfile::TempDir, RunError> {
        let scratch = self.scratch().map_err(RunError::Unfit)?;
        self.check_shared()?;
        let (filler, place) = (self.filler.clone(), self.place);
        self.with_room(&scratch, || {
            let room =
                rustix::fs::statvfs(&scratch).map(|at| at.f_bavail.saturating_mul(at.f_frsize));
            if room.is_ok_and(|room| room < ROOM) {
                return Err(Failure::Io(ErrorKind::StorageFull.into()));
            }
            let folder = new_folder(&scratch).map_err(|error| match is_full(&error) {
                true => Failure::Io(error),
                false => Failure::Run(RunError::Unfit(unusable(&scratch, &error))),
            })?;
            filler.fill(folder.path(), (task.index, task.attempt), place)?;
            Ok(folder)
        })
    }

    /// Keeps what is to be kept of an attempt that has ended, and removes the rest.
    fn end(
        &mut self,
        folder: tempfile::TempDir,
        (task, attempt): (u64, u32),
        result: &CallResult,
    ) -> Result<(), RunError> {
        let error = match result {
            CallResult::Other(result) => result.as_ref().as_ref().err(),
            CallResult::Number(_) => None,
        };
        let is_void = match error {
            None => false,
            Some(RunError::FileChanged(_) | RunError::Unfit(_)) => true,
            Some(_) => self.master.is_cancelled(), // the losing copy of a task, or the job is stopped
        };
        let spec = self.spec().clone();
        let is_kept = match &spec.keep {
            KeptFiles::Failed => error.is_some(),
            KeptFiles::None => false,
            _ => true,
        };
        let is_kept = is_kept && !is_void && !spec.runs.as_os_str().is_empty();
        if is_kept {
            let at = (self.place.rank, self.place.thread);
            let name = WorkdirSpec::temporary(spec.session, (task, attempt), at);
            let to = spec.runs.join(name);
            self.with_room(&spec.runs, || {
                keep::keep(folder.path(), &to, &spec.keep).map_err(|error| {
                    let _ = keep::remove(&to);
                    match is_full(&error) {
                        true => Failure::Io(error),
                        false => Failure::Run(RunError::Failed(format!(
                            "what the run has written cannot be kept in {} on host {}: {error}",
                            spec.runs.display(),
                            machine::host()
                        ))),
                    }
                })
            })?;
        }
        let path = folder.keep();
        if let Err(error) = keep::remove(&path) {
            log::warn!("{}: the folder of an attempt cannot be removed: {error}", path.display());
        }
        Ok(())
    }

    /// Does something that needs room on a disk: where it is full, waits until there is room.
    fn with_room<T>(
        &mut self,
        place: &Path,
        mut work: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, RunError> {
        loop {
            let error = match work() {
                Ok(done) => {
                    if std::mem::take(&mut self.is_waiting) {
                        log::info!("{}: there is room again", place.display());
                    }
                    return Ok(done);
                }
                Err(Failure::Run(error)) => return Err(error),
                Err(Failure::Io(error)) => error,
            };
            if !std::mem::replace(&mut self.is_waiting, true) {
                log::error!(
                    "{} on host {}: {error}; this worker waits until there is room, and no run is lost; a signal (Ctrl-C) stops the job",
                    place.display(),
                    machine::host()
                );
            }
            std::thread::sleep(PAUSE);
            if self.master.is_cancelled() {
                let why = format!("{}: {error}: the job is being stopped", place.display());
                return Err(RunError::Failed(why));
            }
        }
    }

    /// Fails unless rank 0 sees what this worker keeps.
    fn check_shared(&mut self) -> Result<(), RunError> {
        let spec = self.spec();
        let keeps = spec.keep != KeptFiles::None && !spec.runs.as_os_str().is_empty();
        if self.is_shared || !keeps {
            return Ok(());
        }
        let runs = spec.runs.clone();
        let not_shared = |why: &str| {
            RunError::Unfit(format!(
                "{} on host {} {why}: all hosts have to share the results folder, so that files of runs can be kept (or say keep = \"none\" in [crunch.workdir])",
                runs.display(),
                machine::host()
            ))
        };
        let probe = self.with_room(&runs, || match new_folder(&runs) {
            Err(error) if is_full(&error) => Err(Failure::Io(error)),
            made => Ok(made),
        })?;
        let probe =
            probe.map_err(|error| not_shared(&format!("cannot be written to ({error})")))?;
        let path = probe.path().to_string_lossy().into_owned();
        match self.master.ask(Request::IsThere(path)) {
            Ok(Reply::Ready(true)) => self.is_shared = true,
            Ok(_) => return Err(not_shared("is not that of rank 0")),
            Err(error) => return Err(RunError::Failed(error.to_string())),
        }
        Ok(())
    }
}

fn unusable(scratch: &Path, error: &io::Error) -> String {
    let (host, place) = (machine::host(), scratch.display());
    format!("the folders of attempts cannot be made in {place} on host {host}: {error}")
}

/// A new folder with the permissions of the one around it.
fn new_folder(around: &Path) -> io::Result<tempfile::TempDir> {
    let made = tempfile::Builder::new().prefix(UNDER_WAY).tempdir_in(around)?;
    if let Ok(about) = fs::metadata(around)
        && !is_temporary(around)
    {
        let _ = fs::set_permissions(made.path(), about.permissions());
    }
    Ok(made)
}

/// Whether a folder is one where everybody may write: what is made there is for this user alone.
fn is_temporary(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(folder).is_ok_and(|about| about.permissions().mode() & 0o1002 != 0)
}

/// A text with the values of variables: `$TMPDIR`, `${SLURM_TMPDIR}/runs`.
fn expanded(text: &str) -> Result<String, String> {
    let (mut path, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        path += &rest[..at];
        rest = &rest[at + 1..];
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = match rest.strip_prefix('{') {
            Some(inner) => {
                let end = inner
                    .find('}')
                    .ok_or_else(|| format!("scratch = \"{text}\": a '}}' is missing"))?;
                rest = &inner[end + 1..];
                &inner[..end]
            }
            None => {
                let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                let name = &rest[..end];
                rest = &rest[end..];
                name
            }
        };
        path += &match std::env::var(name) {
            Ok(value) if !value.is_empty() => value,
            _ if name == "TMPDIR" => std::env::temp_dir().to_string_lossy().into_owned(),
            _ => {
                let host = machine::host();
                return Err(format!("scratch = \"{text}\": ${name} is not set on host {host}"));
            }
        };
    }
    Ok(path + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_a_path_are_the_hosts() {
        let home = std::env::var("PATH").unwrap();
        assert_eq!(expanded("/a/b").unwrap(), "/a/b");
        assert_eq!(expanded("$PATH/x").unwrap(), format!("{home}/x"));
        assert_eq!(expanded("/a/${PATH}-b").unwrap(), format!("/a/{home}-b"));
        assert!(expanded("$GRIDMPI_NO_SUCH/x").unwrap_err().contains("is not set"));
        assert!(!expanded("$TMPDIR").unwrap().is_empty());
    }
}
