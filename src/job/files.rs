//! Finds the files that points name: their content is part of a run's identity, and workers read them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::job::Job;
use crate::job::digests::{Digests, FileDigests, PointDigests, WatchedFiles};
#[cfg(feature = "jobs")]
use crate::job::parse::files_below;
use crate::job::versions::files_and_version;
#[cfg(feature = "jobs")]
use crate::util::error::Error;
use crate::util::error::Result;

/// What stands before each file in the digests of a folder.
const FILE_OF_FOLDER: char = '\n';

/// The digest of a point without the files that were not there before: a run may have written them, and a file of a folder
/// that is a point of another loop counts there. A version that is new counts. Nothing if nothing is left.
pub(crate) fn without_new_files(now: &str, before: Option<&str>) -> Option<String> {
    let (files, version) = files_and_version(now);
    let (before, _) = files_and_version(before.unwrap_or_default());
    let files = match before.is_empty() {
        true => String::new(),
        false => without_new_files_of_folder(files, before).unwrap_or_else(|| files.to_string()),
    };
    Some(files + version).filter(|left| !left.is_empty())
}

fn without_new_files_of_folder(now: &str, before: &str) -> Option<String> {
    let files = |digests: &str| -> Option<BTreeMap<String, String>> {
        let lines = digests.strip_prefix(FILE_OF_FOLDER)?.split(FILE_OF_FOLDER);
        let file = |line: &str| line.split_once(' ').map(|(d, name)| (name.into(), d.into()));
        lines.map(file).collect()
    };
    let (now, before) = (files(now)?, files(before)?);
    let old = now.iter().filter(|(name, _)| before.contains_key(*name));
    Some(old.map(|(name, digest)| format!("{FILE_OF_FOLDER}{digest} {name}")).collect())
}

/// The digests of all files that points name.
pub(crate) fn content_digests(job: &Job, files: &mut FileDigests) -> Result<Digests> {
    let mut named = Vec::new();
    named_files(job, |level, point, path| {
        let name = path.strip_prefix(&job.folder).unwrap_or(path);
        if !name.to_str().is_some_and(|name| job.ignores(name)) {
            named.push((level, point, path.to_path_buf()));
        }
        Ok(())
    })?;
    files.take(named.iter().map(|(_, _, path)| path.clone()))?;
    let mut points = PointDigests::new();
    for (level, point, path) in named {
        let of_point = points.entry(level).or_default().entry(point).or_default();
        if job.folder_loops.contains(&level) {
            let name = path.strip_prefix(&job.folder).unwrap_or(&path);
            *of_point += &format!("{FILE_OF_FOLDER}{} {}", files.get(&path), name.display());
            continue;
        }
        if !of_point.is_empty() {
            of_point.push(' ');
        }
        of_point.push_str(files.get(&path));
    }
    job.versions.add_to(&mut points, &job.nest);
    Ok(Digests {
        points,
        #[cfg(feature = "jobs")]
        combined: crate::job::combined::combined_digests(job, files)?,
        #[cfg(not(feature = "jobs"))]
        combined: Vec::new(),
    })
}

/// The files that workers compare with what they were at the start: those of `crunch`, and those that points
/// name and whose digests are given.
pub(crate) fn watched_files(
    job: &Job,
    crunch: &BTreeSet<PathBuf>,
    digests: &Digests,
    files: &FileDigests,
) -> Result<WatchedFiles> {
    let names_files = |digest: &String| !files_and_version(digest).0.is_empty();
    let mut named = BTreeSet::new();
    named_files(job, |level, point, path| {
        if digests.points.get(&level).and_then(|points| points.get(&point)).is_some_and(names_files)
        {
            named.insert(path.to_path_buf());
        }
        Ok(())
    })?;
    #[cfg(feature = "jobs")]
    named.extend(crate::job::combined::combined_paths(job, &digests.combined));
    Ok(files.watched(crunch, &named))
}

/// Calls `each` with the level, the point and the path of every file that a point names: a string in the
/// point that is the path of a regular file, relative to the job's folder. Points of a range name none.
pub(super) fn named_files(
    job: &Job,
    mut each: impl FnMut(usize, u64, &Path) -> Result<()>,
) -> Result<()> {
    // The same name may occur many times.
    let mut known: HashMap<String, Option<PathBuf>> = HashMap::new();
    for (level, l) in job.nest.loops().iter().enumerate().filter(|(_, l)| l.points.may_name_files())
    {
        for point in 0..l.points.len() {
            let value = l.points.get(point);
            for name in value.texts() {
                #[cfg(feature = "jobs")]
                if job.folder_loops.contains(&level) {
                    for path in files_below(&job.folder, name).map_err(Error::input)? {
                        each(level, point, &job.folder.join(path))?;
                    }
                    continue;
                }
                if !known.contains_key(name) {
                    let path = Some(job.folder.join(name)).filter(|path| path.is_file());
                    known.insert(name.to_string(), path);
                }
                if let Some(Some(path)) = known.get(name) {
                    each(level, point, path)?;
                }
            }
        }
    }
    Ok(())
}

/// The size of the input files.
#[cfg(all(feature = "cli", feature = "jobs"))]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// Number of files that points name, and their total size. (bytes)
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// The most that one task can read: the largest point of each loop. (bytes)
    pub(crate) of_a_task: u64,
    /// The largest data set, if workers keep data sets in memory. (bytes)
    pub(crate) data_set: Option<u64>,
}

#[cfg(all(feature = "cli", feature = "jobs"))]
impl Reading {
    pub(crate) fn of(job: &Job) -> Result<Reading> {
        let mut sizes: HashMap<PathBuf, u64> = HashMap::new();
        let mut largest = vec![0; job.nest.depth()];
        let mut at = (0, 0, 0);
        let mut own = BTreeSet::new();
        named_files(job, |level, point, path| {
            let size = match sizes.get(path) {
                Some(size) => *size,
                None => {
                    let found = path.metadata().map_err(|e| Error::unreadable(path, &e))?;
                    *sizes.entry(path.to_path_buf()).or_insert(found.len())
                }
            };
            if (at.0, at.1) != (level, point) {
                at = (level, point, 0);
                own.clear();
            }
            if own.insert(path.to_path_buf()) {
                at.2 += size;
            }
            largest[level] = at.2.max(largest[level]);
            Ok(())
        })?;
        let bytes = sizes.values().sum();
        let data_set = job.data_level().map(|level| largest[level]).filter(|size| *size > 0);
        Ok(Reading { files: sizes.len() as u64, bytes, of_a_task: largest.iter().sum(), data_set })
    }
}
