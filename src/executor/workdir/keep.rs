//! Keeps files of an attempt that has ended.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::job::KeptFiles;
use crate::util::files::copy_folder;
#[cfg(feature = "jobs")]
use crate::util::files::file_pattern;

/// Brings what is to be kept from an attempt's folder to another one, which must not be there. Where nothing is, none is
/// made.
pub(super) fn keep(from: &Path, to: &Path, what: &KeptFiles) -> io::Result<()> {
    remove(to)?; // an attempt that is made again
    match what {
        // The rest goes first, so that one rename keeps all or nothing, which needs no room on the disk.
        #[cfg(feature = "jobs")]
        KeptFiles::Matching(patterns) => {
            open_up(from);
            match Matching::of(patterns)?.prune(from, Path::new(""))? {
                true => bring(from, to),
                false => Ok(()),
            }
        }
        KeptFiles::None => Ok(()),
        KeptFiles::All | KeptFiles::Failed => bring(from, to),
    }
}

fn bring(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => copy_folder(from, to),
        moved => moved,
    }
}

/// Removes a folder, if it is there, also where a program has made it read-only.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            open_up(folder);
            fs::remove_dir_all(folder)
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes folders writable.
fn open_up(folder: &Path) {
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(feature = "jobs")]
struct Matching(Vec<glob::Pattern>);

#[cfg(feature = "jobs")]
impl Matching {
    fn of(patterns: &[String]) -> io::Result<Matching> {
        let pattern = |text: &String| {
            let text = text.trim_start_matches("./").trim_end_matches('/');
            file_pattern(text).map_err(io::Error::other)
        };
        Ok(Matching(patterns.iter().map(pattern).collect::<io::Result<_>>()?))
    }

    fn is_kept(&self, path: &Path) -> bool {
        let options =
            glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
        self.0.iter().any(|pattern| pattern.matches_path_with(path, options))
    }

    /// Removes what does not match from a folder of the attempt's, which is at `inside` there. Returns whether anything
    /// is left.
    fn prune(&self, from: &Path, inside: &Path) -> io::Result<bool> {
        let mut is_left = false;
        for entry in fs::read_dir(from.join(inside))? {
            let entry = entry?;
            let path = inside.join(entry.file_name());
            if self.is_kept(&path) {
                is_left = true;
            } else if !entry.file_type()?.is_dir() {
                fs::remove_file(entry.path())?;
            } else if self.prune(from, &path)? {
                is_left = true;
            } else {
                fs::remove_dir(entry.path())?;
            }
        }
        Ok(is_left)
    }
}

#[cfg(all(test, feature = "jobs"))]
mod tests {
    use super::*;

    #[test]
    fn patterns_keep_files_and_whole_folders() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        for name in ["a.out", "deep/b.out", "log/x/y", "rest", "deep/rest"] {
            let path = from.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let what = KeptFiles::Matching(vec!["*.out".into(), "log/".into(), "deep/*.out".into()]);
        keep(&from, &to, &what).unwrap();
        let is_there = |name: &str| to.join(name).is_file();
        assert!(["a.out", "deep/b.out", "log/x/y"].iter().all(|name| is_there(name)));
        assert!(!is_there("rest") && !is_there("deep/rest"));
        fs::create_dir_all(from.join("deep")).unwrap();
        fs::write(from.join("deep/rest"), "").unwrap();
        keep(&from, &place.path().join("none"), &KeptFiles::Matching(vec!["no".into()])).unwrap();
        assert!(!place.path().join("none").exists(), "nothing matches");
    }
}
