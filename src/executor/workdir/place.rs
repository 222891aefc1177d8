//! Puts files into the folder of an attempt.

#[cfg(feature = "jobs")]
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::executor::Slot;
use crate::executor::workdir::failure::{Failure, is_full};
#[cfg(feature = "jobs")]
use crate::job::{FileTemplate, RunFacts, RunIds};
use crate::job::{Job, PlacedFile, PlacedSource, Placing};
use crate::model::{RunError, Value};
use crate::util::machine;
#[cfg(all(feature = "cli", feature = "jobs"))]
use crate::util::text::shell_word;

/// What is put into the folders of attempts, ready for any task: the threads of a process share it.
pub(in crate::executor) struct Filler {
    job: Arc<Job>,
    /// By the number of the file.
    #[cfg(feature = "jobs")]
    templates: BTreeMap<usize, FileTemplate>,
    #[cfg(feature = "jobs")]
    ids: Option<Arc<RunIds>>,
}

/// A task, its seed, and the number of the attempt.
pub(super) type FilledRun = (u64, u32, u32);

/// The points of a task, by name, and by level.
pub(super) struct FilledPoints<'a> {
    pub(super) coordinates: &'a [(&'a str, Value)],
    pub(super) point: &'a dyn Fn(usize) -> Option<u64>,
}

impl Filler {
    /// Nothing if attempts have no folders. Templates ask for the ids.
    pub(in crate::executor) fn of(
        job: &Arc<Job>,
        #[cfg(feature = "jobs")] ids: Option<&Arc<RunIds>>,
    ) -> Option<Filler> {
        job.workdir.as_ref()?;
        #[cfg(feature = "jobs")]
        let templates = {
            let files = job.workdir.iter().flat_map(|spec| &spec.files).enumerate();
            let parsed = files.filter_map(|(number, file)| match &file.source {
                PlacedSource::Template { name, text, .. } => {
                    let delimiters = &job.workdir.as_ref()?.delimiters;
                    Some((number, FileTemplate::parse(name, text, delimiters).ok()?))
                }
                _ => None,
            });
            parsed.collect::<BTreeMap<_, _>>()
        };
        Some(Filler {
            job: job.clone(),
            #[cfg(feature = "jobs")]
            ids: ids.cloned(),
            #[cfg(feature = "jobs")]
            templates,
        })
    }

    /// Puts the job's files into the folder of an attempt at a task.
    pub(super) fn fill(
        &self,
        folder: &Path,
        (task, attempt): (u64, u32),
        place: Slot,
    ) -> Result<(), Failure> {
        let key = self.job.nest.task(task);
        let run = (task, self.job.task_seed(task), attempt);
        let (coordinates, points) = (self.job.nest.coordinates(key), self.job.nest.indices(key));
        let point = |level: usize| points.get(level).copied();
        let of = FilledPoints { coordinates: &coordinates, point: &point };
        let files = self.job.workdir.iter().flat_map(|spec| &spec.files).enumerate();
        for (number, file) in files {
            let put = match self.text(number, &of, (run, folder, place)) {
                Some(text) => write(folder, file, &text.map_err(RunError::Failed)?),
                None => source(&self.job, file, &of)
                    .map_err(RunError::Failed)
                    .map(|source| put(folder, file, &source))?,
            };
            put.map_err(|error| match is_full(&error) {
                true => Failure::Io(error),
                false => Failure::Run(RunError::Failed(format!(
                    "{} cannot be put into the folder of an attempt on host {}: {error}",
                    file.target,
                    machine::host()
                ))),
            })?;
        }
        Ok(())
    }

    /// The text of a file that is a template.
    #[cfg(feature = "jobs")]
    fn text(
        &self,
        number: usize,
        of: &FilledPoints,
        (run, folder, place): (FilledRun, &Path, Slot),
    ) -> Option<Result<String, String>> {
        let (template, job) = (self.templates.get(&number)?, &self.job);
        let of_host = (place.cores, place.gpus());
        let facts = RunFacts::of_run(job, self.ids.as_deref(), run, Some(folder), of_host);
        let passed = job.all_passed(of.coordinates.to_vec());
        Some(template.render(&passed, job.passed_cells(of.point), &facts))
    }

    #[cfg(not(feature = "jobs"))]
    fn text(
        &self,
        _: usize,
        _: &FilledPoints,
        _: (FilledRun, &Path, Slot),
    ) -> Option<Result<String, String>> {
        None
    }

    /// The beginning of a shell command line that makes a folder as an attempt has it, and goes there.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(super) fn by_hand(
        &self,
        folder: &Path,
        of: &FilledPoints,
        (run, place): (FilledRun, Slot),
    ) -> Result<String, String> {
        let there = shell_word(&folder.to_string_lossy());
        let mut line = format!("rm -rf {there} && mkdir -p {there} && cd {there} &&");
        for (number, file) in self.job.workdir.iter().flat_map(|spec| &spec.files).enumerate() {
            let target = shell_word(&file.target);
            if let Some((around, _)) = file.target.rsplit_once('/') {
                line += &format!(" mkdir -p {} &&", shell_word(around));
            }
            if let Some(text) = self.text(number, of, (run, folder, place)) {
                line += &format!(" printf %s {} > {target} &&", shell_word(&text?));
                continue;
            }
            let source = source(&self.job, file, of)?;
            let how = if file.how == Placing::Link { "ln -s" } else { "cp -rL" };
            line += &format!(" {how} {} {target} &&", shell_word(&source.to_string_lossy()));
        }
        Ok(line)
    }
}

/// Where a file is that is put into a folder.
#[cfg_attr(not(feature = "jobs"), allow(unused_variables))]
fn source(job: &Job, file: &PlacedFile, of: &FilledPoints) -> Result<PathBuf, String> {
    match &file.source {
        PlacedSource::Path(path) | PlacedSource::Template { path, .. } => Ok(path.clone()),
        #[cfg(feature = "jobs")]
        PlacedSource::Word(word) => {
            let word = crate::job::placeholders::Template::parse(word)?;
            Ok(job.folder.join(word.fill(of.coordinates, job.cells(of.point))?))
        }
        #[cfg(not(feature = "jobs"))]
        PlacedSource::Word(word) => Ok(job.folder.join(word)),
    }
}

/// Where a file goes, in a folder that is there.
fn target(folder: &Path, file: &PlacedFile) -> io::Result<PathBuf> {
    let target = folder.join(&file.target);
    if let Some(around) = target.parent().filter(|around| *around != folder) {
        fs::create_dir_all(around)?;
    }
    Ok(target)
}

fn write(folder: &Path, file: &PlacedFile, text: &str) -> io::Result<()> {
    fs::write(target(folder, file)?, text)
}

fn put(folder: &Path, file: &PlacedFile, source: &Path) -> io::Result<()> {
    let target = target(folder, file)?;
    let named = |error: io::Error| match is_full(&error) {
        true => error,
        false => io::Error::other(format!("{}: {error}", source.display())),
    };
    match file.how {
        Placing::Link => {
            fs::metadata(source).map_err(named)?; // a link that leads nowhere would be missed late
            symlink(source, target)
        }
        Placing::Copy | Placing::Template => copy(source, &target).map_err(named),
    }
}

/// Copies a file, or a folder with all that is in it. A copy is the attempt's own: it may be written to.
fn copy(source: &Path, target: &Path) -> io::Result<()> {
    let about = fs::metadata(source)?;
    if !about.is_dir() {
        fs::copy(source, target)?;
        let mode = about.permissions().mode();
        if mode & 0o200 == 0 {
            fs::set_permissions(target, fs::Permissions::from_mode(mode | 0o200))?;
        }
        return Ok(());
    }
    fs::create_dir(target)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        copy(&entry.path(), &target.join(entry.file_name()))?;
    }
    Ok(())
}
