//! Folders of files that calls have made, which get their names when the call is stored: those of the products of final
//! calls, one for each row, and those of what runs have left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::job::{FINAL_FOLDER, RUNS_FOLDER};
use crate::util::files::copy_folder;

/// The file that says that the folder is gridmpi's.
pub(super) const MARK: &str = ".gridmpi";

/// Behind the name of a folder of products that are not those of the last call, which has failed.
const OUTDATED: &str = ".outdated";

/// Makes the folder of all products of final calls, or of all folders of runs. One that gridmpi has not made is left alone.
pub(crate) fn make_folder(results: &Path, name: &str) -> io::Result<PathBuf> {
    let folder = results.join(name);
    let what = match name {
        FINAL_FOLDER => "products of final calls",
        _ => "what runs have left",
    };
    let is_there = folder.symlink_metadata().is_ok();
    if is_there && !is_own(&folder) && fs::read_dir(&folder)?.next().is_some() {
        return Err(io::Error::other(format!(
            "it is there already, and gridmpi, which has {what} in a folder of this name, has not made it; move it away, or give another results folder with --out"
        )));
    }
    fs::create_dir_all(&folder)?;
    fs::write(
        folder.join(MARK),
        format!("This folder has {what}, each in a folder of its own.\n"),
    )?;
    folder.canonicalize()
}

/// The folders of this kind that a results folder may have.
pub(super) const FOLDERS: [&str; 2] = [FINAL_FOLDER, RUNS_FOLDER];

/// Whether gridmpi has made a folder of products.
pub(super) fn is_own(folder: &Path) -> bool {
    folder.join(MARK).is_file()
}

/// Puts the products of a call into the place of the row's products. Those of a row whose call has failed are set aside.
pub(super) fn settle(to: &Path, products: Option<&str>, failed: bool) -> io::Result<()> {
    let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let outdated = to.with_file_name(format!("{name}{OUTDATED}"));
    if failed {
        if to.symlink_metadata().is_ok() {
            remove(&outdated)?;
            fs::rename(to, &outdated)?;
        }
        return Ok(());
    }
    let from = products.map(|products| to.with_file_name(products));
    if replace(to, from.as_deref())? { remove(&outdated) } else { Ok(()) }
}

/// Puts one folder, or none, into the place of another; returns false if that was done before.
pub(super) fn replace(to: &Path, from: Option<&Path>) -> io::Result<bool> {
    if from.is_some_and(|from| !from.is_dir()) {
        return Ok(false);
    }
    let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let old = to.with_file_name(format!(".old-{name}"));
    if to.symlink_metadata().is_ok() {
        remove(&old)?;
        fs::rename(to, &old)?;
    }
    if let Some(from) = from {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        fs::rename(from, to)?;
    }
    remove(&old)?;
    Ok(true)
}

pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Copies what a call has made into the folder of this kind in another results folder.
pub(super) fn copy(from: &Path, (results, kind): (&Path, &str), name: &str) -> io::Result<()> {
    let to = make_folder(results, kind)?.join(name);
    remove(&to)?;
    fs::create_dir_all(to.parent().unwrap_or(results))?;
    copy_folder(from, &to)
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
        let folder = make_folder(results.path(), FINAL_FOLDER).unwrap();
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
        assert!(make_folder(results.path(), FINAL_FOLDER).is_err());
    }
}
