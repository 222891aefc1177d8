//! What a check says of files: those that crunch opened and reuse does not count, those that several tasks
//! write, and those that count and have changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::check::opened::OpenedFiles;
use crate::job::{DigestedFile, FileDigests, Identity, Job, PythonModules, content_digests};
use crate::util::error::Result;
use crate::util::file_state::FileState;

/// The files that reuse counts, as they were before the check.
pub(super) struct ReusedFiles {
    digests: FileDigests,
}

/// What there is to say of files; all names are relative to the job's folder.
#[derive(Debug, Default)]
pub(super) struct FileReport {
    /// Opened by crunch, and not counted.
    pub(super) uncounted: Vec<String>,
    /// Counted, and not what they were.
    pub(super) changed: Vec<String>,
    /// Read by the first task, after the second one has written it.
    pub(super) inherited: Vec<(String, u64, u64)>,
    /// Written by several tasks, with these tasks.
    pub(super) shared: Vec<(String, Vec<u64>)>,
    /// What was not seen.
    pub(super) gaps: Vec<String>,
}

impl ReusedFiles {
    pub(super) fn of(job: &Job, modules: &PythonModules) -> Result<ReusedFiles> {
        let mut digests = FileDigests::default();
        Identity::of(job, "", Some(modules), &mut digests, None)?;
        content_digests(job, &mut digests)?;
        Ok(ReusedFiles { digests })
    }

    /// The report, once all calls are made. `imported` are the files that calls have imported.
    pub(super) fn report(
        &self,
        job: &Job,
        imported: Vec<String>,
        opened: Result<OpenedFiles, String>,
    ) -> FileReport {
        let mut report = FileReport::default();
        for (path, known) in self.digests.used() {
            let is_same = FileState::of(path).is_ok_and(|state| state == known.state)
                || DigestedFile::read(path).is_ok_and(|now| now.digest == known.digest);
            if !is_same {
                report.changed.push(name(job, path));
            }
        }
        let opened = match opened {
            Ok(opened) => opened,
            Err(why) => {
                report.gaps.push(why);
                return report;
            }
        };
        let own = self.digests.used().map(|(path, _)| path.clone());
        let imported = imported.iter().map(|name| job.folder.join(name));
        let counted: BTreeSet<PathBuf> = own.chain(imported).map(|path| real(&path)).collect();
        for (path, file) in &opened.files {
            let named = name(job, path);
            let is_ignored = job.ignores(&named);
            let counts = counted.contains(&real(path)) || is_ignored;
            if file.is_input() && !counts && path.is_file() {
                report.uncounted.push(named);
            } else if let (Some((reader, writer)), false) = (file.inherited, is_ignored) {
                report.inherited.push((named, reader, writer));
            } else if file.changed_by.len() > 1 {
                report.shared.push((named, file.changed_by.iter().copied().collect()));
            }
        }
        report.gaps.extend(opened.gaps);
        report
    }
}

fn name(job: &Job, path: &Path) -> String {
    path.strip_prefix(&job.folder).unwrap_or(path).to_string_lossy().into_owned()
}

/// The same path for all names of a file.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}
