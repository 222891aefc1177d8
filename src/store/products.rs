//! The folders of the products of final calls: one for each row, named when the row's call is stored.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::job::FINAL_FOLDER;

/// The file that says that the folder is gridmpi's.
pub(super) const MARK: &str = ".gridmpi";

/// Behind the name of a folder of products that are not those of the last call, which has failed.
const OUTDATED: &str = ".outdated";

/// Makes the folder of all products. One that gridmpi has not made is left alone.
pub(crate) fn make_folder(results: &Path) -> io::Result<PathBuf> {
    let folder = results.join(FINAL_FOLDER);
    let is_there = folder.symlink_metadata().is_ok();
    if is_there && !is_own(&folder) && fs::read_dir(&folder)?.next().is_some() {
        return Err(io::Error::other(
            "it is there already, and gridmpi, which has products of final calls in a folder of this name, has not made it; move it away, or give another results folder with --out",
        ));
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(MARK), "The products of final calls, a folder for each row.\n")?;
    folder.canonicalize()
}

/// Whether gridmpi has made a folder of products.
pub(super) fn is_own(folder: &Path) -> bool {
    folder.join(MARK).is_file()
}

/// Puts the products of a call into the place of the row's products. Those of a row whose call has failed are set aside.
pub(super) fn settle(to: &Path, products: Option<&str>, failed: bool) -> io::Result<()> {
    let beside = |name: &str| to.with_file_name(name);
    let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let outdated = beside(&format!("{name}{OUTDATED}"));
    let is_there = to.symlink_metadata().is_ok();
    if failed {
        if is_there {
            remove(&outdated)?;
            fs::rename(to, &outdated)?;
        }
        return Ok(());
    }
    let from = products.map(beside);
    if from.as_ref().is_some_and(|from| !from.is_dir()) {
        return Ok(()); // it was renamed before
    }
    let old = beside(&format!(".old-{name}"));
    if is_there {
        remove(&old)?;
        fs::rename(to, &old)?;
    }
    if let Some(from) = from {
        fs::rename(from, to)?;
    }
    remove(&old)?;
    remove(&outdated)
}

pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Copies the products of a row into another results folder.
pub(super) fn copy(from: &Path, results: &Path, name: &str) -> io::Result<()> {
    let to = make_folder(results)?.join(name);
    remove(&to)?;
    copy_folder(from, &to)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()? {
            kind if kind.is_dir() => copy_folder(&entry.path(), &to)?,
            kind if kind.is_symlink() => {
                std::os::unix::fs::symlink(fs::read_link(entry.path())?, &to)?
            }
            _ => drop(fs::copy(entry.path(), &to)?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn products(folder: &Path, name: &str, text: &str) {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("model"), text).unwrap();
    }

    #[test]
    fn products_take_the_place_of_earlier_ones_and_a_failure_sets_them_aside() {
        let results = tempfile::tempdir().unwrap();
        let folder = make_folder(results.path()).unwrap();
        let to = folder.join("a=1");
        let read = |name: &str| fs::read_to_string(folder.join(name).join("model")).ok();
        for (temporary, text) in [(".a=1-x", "one"), (".a=1-y", "two")] {
            products(&folder, temporary, text);
            settle(&to, Some(temporary), false).unwrap();
            assert_eq!(read("a=1").as_deref(), Some(text));
            settle(&to, Some(temporary), false).unwrap(); // as after a start that was cut off
            assert_eq!(read("a=1").as_deref(), Some(text));
        }
        settle(&to, None, true).unwrap();
        assert_eq!((read("a=1"), read("a=1.outdated").as_deref()), (None, Some("two")));
        settle(&to, None, true).unwrap();
        assert_eq!(read("a=1.outdated").as_deref(), Some("two"), "a second failure loses nothing");
        products(&folder, ".a=1-z", "three");
        settle(&to, Some(".a=1-z"), false).unwrap();
        assert_eq!((read("a=1").as_deref(), read("a=1.outdated")), (Some("three"), None));
        let names: BTreeSet<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, BTreeSet::from([MARK.to_string(), "a=1".to_string()]));
    }

    #[test]
    fn a_folder_of_the_users_is_left_alone() {
        let results = tempfile::tempdir().unwrap();
        fs::create_dir(results.path().join(FINAL_FOLDER)).unwrap();
        products(&results.path().join(FINAL_FOLDER), "theirs", "x");
        assert!(make_folder(results.path()).is_err());
    }
}
