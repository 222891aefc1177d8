//! Puts files into the folder of an attempt.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::executor::workdir::failure::{Failure, is_full};
use crate::job::{Job, PlacedFile, PlacedSource, Placing};
use crate::model::{RunError, Value};
use crate::util::machine;
#[cfg(all(feature = "cli", feature = "jobs"))]
use crate::util::text::shell_word;

/// Puts the job's files into the folder of an attempt at a task.
pub(super) fn fill(folder: &Path, job: &Job, task: (u64, &[u64])) -> Result<(), Failure> {
    let Some(spec) = &job.workdir else { return Ok(()) };
    let (index, points) = task;
    let coordinates = job.nest.coordinates(job.nest.task(index));
    let point = |level: usize| points.get(level).copied();
    spec.files.iter().try_for_each(|file| {
        let source = source(job, file, &coordinates, &point).map_err(RunError::Failed)?;
        put(folder, file, &source).map_err(|error| match is_full(&error) {
            true => Failure::Io(error),
            false => Failure::Run(RunError::Failed(format!(
                "{} cannot be put into the folder of an attempt on host {}, as {}: {error}",
                source.display(),
                machine::host(),
                file.target
            ))),
        })
    })
}

/// Where a file is that is put into a folder, for these points by name and by level.
fn source(
    job: &Job,
    file: &PlacedFile,
    #[cfg_attr(not(feature = "jobs"), allow(unused_variables))] coordinates: &[(&str, Value)],
    #[cfg_attr(not(feature = "jobs"), allow(unused_variables))] point: &dyn Fn(
        usize,
    ) -> Option<u64>,
) -> Result<PathBuf, String> {
    match &file.source {
        PlacedSource::Path(path) => Ok(path.clone()),
        #[cfg(feature = "jobs")]
        PlacedSource::Word(word) => {
            let word = crate::job::placeholders::Template::parse(word)?;
            Ok(job.folder.join(word.fill(coordinates, job.cells(point))?))
        }
        #[cfg(not(feature = "jobs"))]
        PlacedSource::Word(word) => Ok(job.folder.join(word)),
    }
}

/// The beginning of a shell command line that makes a folder as an attempt has it, and goes there.
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) fn by_hand(
    job: &Job,
    coordinates: &[(&str, Value)],
    point: &dyn Fn(usize) -> Option<u64>,
) -> Result<String, String> {
    let mut line = "cd \"$(mktemp -d)\" &&".to_string();
    for file in job.workdir.iter().flat_map(|spec| &spec.files) {
        let source = source(job, file, coordinates, point)?;
        let (source, target) = (shell_word(&source.to_string_lossy()), shell_word(&file.target));
        if let Some((around, _)) = file.target.rsplit_once('/') {
            line += &format!(" mkdir -p {} &&", shell_word(around));
        }
        let how = match file.how {
            Placing::Copy => "cp -rL",
            Placing::Link => "ln -s",
        };
        line += &format!(" {how} {source} {target} &&");
    }
    Ok(line)
}

fn put(folder: &Path, file: &PlacedFile, source: &Path) -> io::Result<()> {
    let target = folder.join(&file.target);
    if let Some(around) = target.parent().filter(|around| *around != folder) {
        fs::create_dir_all(around)?;
    }
    match file.how {
        Placing::Link => {
            fs::metadata(source)?; // a link that leads nowhere would be missed late
            symlink(source, target)
        }
        Placing::Copy => copy(source, &target),
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
