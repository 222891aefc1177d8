//! Which files below the job's folder are opened while crunch runs: the kernel (inotify) reports it, for every
//! process of this host. What is elsewhere is not seen, nor what a folder holds that is not watched.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::job::{LOCK_FILE, STORE_FILE};

/// The most folders that are watched.
const MOST_FOLDERS: usize = 10_000;

/// Folders of tools and of installed packages.
const TOOLS: [&str; 5] = ["__pycache__", ".git", "site-packages", "node_modules", "conda-meta"];

/// A file that was opened.
#[derive(Debug, Default)]
pub(super) struct OpenedFile {
    /// Whether it was made or changed before it was read.
    is_made: bool,
    is_changed: bool,
    is_read: bool,
    /// The tasks that changed it while they ran alone, and the last of them.
    pub(super) changed_by: BTreeSet<u64>,
    writer: Option<u64>,
    /// A task that read what another one had written, and that one.
    pub(super) inherited: Option<(u64, u64)>,
}

impl OpenedFile {
    /// Whether its content from before the check was read, as far as one can tell.
    pub(super) fn is_input(&self) -> bool {
        !self.is_made && (self.is_read || !self.is_changed)
    }
}

pub(super) struct OpenedFiles {
    notify: OwnedFd,
    folders: HashMap<i32, PathBuf>,
    pub(super) files: BTreeMap<PathBuf, OpenedFile>,
    /// Why something may be missing.
    pub(super) gaps: BTreeSet<String>,
}

impl OpenedFiles {
    /// Watches a folder and those in it.
    pub(super) fn below(folder: &Path) -> Result<OpenedFiles, String> {
        let notify =
            inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(|error| {
                format!("the kernel does not report which files are opened: {error}")
            })?;
        let mut opened = OpenedFiles {
            notify,
            folders: HashMap::new(),
            files: BTreeMap::new(),
            gaps: BTreeSet::new(),
        };
        opened.watch(folder.to_path_buf());
        Ok(opened)
    }

    /// Watches a folder and those in it, the nearest first, also through links.
    fn watch(&mut self, folder: PathBuf) {
        let mut waiting = VecDeque::from([folder]);
        while let Some(folder) = waiting.pop_front() {
            if self.folders.len() == MOST_FOLDERS {
                self.gaps.insert(format!(
                    "{} and what comes after it: more than {MOST_FOLDERS} folders are not watched",
                    folder.display()
                ));
                return;
            }
            let Some(true) = self.add(&folder, WatchFlags::ONLYDIR) else { continue };
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let (path, name) = (entry.path(), entry.file_name());
                let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
                if path.is_dir() {
                    let is_tool =
                        TOOLS.iter().any(|tool| name == *tool) || path.join("pyvenv.cfg").exists();
                    if !is_tool {
                        waiting.push_back(path);
                    }
                } else if is_link && path.is_file() {
                    self.add(&path, WatchFlags::empty());
                }
            }
        }
    }

    /// Watches one folder or file; whether it is new.
    fn add(&mut self, path: &Path, only: WatchFlags) -> Option<bool> {
        let events = WatchFlags::OPEN
            | WatchFlags::CLOSE_NOWRITE
            | WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_TO;
        match inotify::add_watch(&self.notify, path, events | only) {
            Ok(watch) if self.folders.contains_key(&watch) => Some(false), // a link to a known one
            Ok(watch) => {
                self.folders.insert(watch, path.to_path_buf());
                Some(true)
            }
            Err(Errno::NOENT) => None, // it is gone
            Err(error) => {
                let why = match error {
                    Errno::NOSPC => {
                        "the kernel watches no more folders (fs.inotify.max_user_watches)".into()
                    }
                    error => error.to_string(),
                };
                self.gaps.insert(format!("{}: {why}", path.display()));
                None
            }
        }
    }

    /// Takes note of what was opened since the last time, by this task if only it ran.
    pub(super) fn note(&mut self, task: Option<u64>) {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 1 << 16];
        let (mut seen, mut is_full) = (Vec::new(), false);
        let mut reader = inotify::Reader::new(&self.notify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    is_full |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                    let name = event.file_name().map(|name| name.to_bytes().to_vec());
                    seen.push((event.wd(), event.events(), name));
                }
                Err(Errno::INTR) => {}
                Err(_) => break, // there are no more
            }
        }
        if is_full {
            self.gaps.insert("so many files were opened that some were missed".to_string());
        }
        for (watch, events, name) in seen {
            let Some(folder) = self.folders.get(&watch) else { continue };
            let path =
                name.map_or_else(|| folder.clone(), |name| folder.join(OsStr::from_bytes(&name)));
            let is_new = events.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            if events.contains(ReadFlags::ISDIR) {
                if is_new {
                    self.watch(path);
                }
            } else if !is_own(&path) && !events.contains(ReadFlags::IGNORED) {
                let is_changed = events.contains(ReadFlags::MODIFY);
                let is_made = is_new || is_changed;
                let file = self.files.entry(path).or_default();
                let is_read = events.contains(ReadFlags::CLOSE_NOWRITE);
                // Nothing tells whether a change empties a file: so what is changed before it is read counts
                // as made by crunch.
                file.is_made |= is_made && !file.is_read;
                file.is_read |= is_read;
                file.is_changed |= is_made;
                if is_made {
                    file.changed_by.extend(task);
                    file.writer = task;
                }
                if let (true, Some(task), Some(writer)) = (is_read, task, file.writer)
                    && task != writer
                {
                    file.inherited.get_or_insert((task, writer));
                }
            }
        }
    }
}

/// Whether a file is one that a run keeps open in a results folder, or one that Python makes of a module.
fn is_own(path: &Path) -> bool {
    let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    let of_store = name.starts_with(STORE_FILE) || [LOCK_FILE, "status.json"].contains(&&*name);
    name.ends_with(".pyc") || (of_store && path.with_file_name(STORE_FILE).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(opened: &mut OpenedFiles, folder: &Path, name: &str) -> (bool, bool) {
        opened.note(Some(1));
        let file = opened.files.get(&folder.join(name));
        file.map_or((false, false), |file| (file.is_input(), !file.changed_by.is_empty()))
    }

    #[test]
    fn what_was_there_and_is_read_is_an_input() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, elsewhere) = (folder.path(), tempfile::tempdir().unwrap());
        fs::create_dir_all(folder.join("a/b")).unwrap();
        for name in ["read", "a/b/deep", "over", "log", "both"] {
            fs::write(folder.join(name), "1").unwrap();
        }
        fs::write(elsewhere.path().join("far"), "1").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder.join("link")).unwrap();
        let far = elsewhere.path().join("far");
        std::os::unix::fs::symlink(far, folder.join("one")).unwrap();
        std::os::unix::fs::symlink("..", folder.join("a/up")).unwrap();
        let mut opened = OpenedFiles::below(folder).unwrap();
        let read = |name: &str| assert!(!fs::read(folder.join(name)).unwrap().is_empty());
        for name in ["read", "a/b/deep", "link/far", "both"] {
            read(name);
        }
        fs::write(folder.join("over"), "2").unwrap();
        read("over");
        fs::write(folder.join("new"), "2").unwrap();
        read("new");
        let append = |name: &str| {
            use std::io::Write;
            let file = fs::OpenOptions::new().append(true).open(folder.join(name));
            file.unwrap().write_all(b"2").unwrap();
        };
        append("log");
        append("both");
        assert_eq!(kinds(&mut opened, folder, "read"), (true, false));
        assert_eq!(kinds(&mut opened, folder, "a/b/deep"), (true, false));
        assert_eq!(kinds(&mut opened, folder, "over"), (false, true), "its content was lost");
        assert_eq!(kinds(&mut opened, folder, "new"), (false, true));
        assert_eq!(kinds(&mut opened, folder, "log"), (false, true), "only written");
        assert_eq!(kinds(&mut opened, folder, "both"), (true, true));
        let through = ["link/far", "one"].map(|name| kinds(&mut opened, folder, name).0);
        assert!(through.contains(&true), "through a link");
        read("new");
        opened.note(Some(2));
        fs::write(folder.join("over"), "3").unwrap();
        read("over");
        opened.note(Some(2));
        let inherited = |name: &str| opened.files[&folder.join(name)].inherited;
        assert_eq!(inherited("new"), Some((2, 1)), "it reads what another task wrote");
        assert_eq!((inherited("over"), inherited("both")), (None, None));
        assert!(opened.gaps.is_empty(), "{:?}", opened.gaps);
    }
}
