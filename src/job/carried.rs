//! Files that the Python package has written for the children of a run: functions, and the values that they are given.
//! They are in private folders of the caller's. A host that does not see these gets copies from rank 0.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::util::file_state::FileState;

/// The file in each folder by which a host recognizes it: a random text of the caller's, another one for each start. So
/// nothing that an earlier start has left at the same place is taken for it.
const ID: &str = "carried.id";

/// The folders with what the caller has written, if there are any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// What is in the files by which hosts recognize the folders.
    pub(crate) id: String,
    folders: Vec<CarriedFolder>,
    /// Where the copies of this host are, if it does not see the folders.
    #[serde(skip)]
    pub(crate) copy: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct CarriedFolder {
    /// Its path as children know it.
    given: PathBuf,
    /// The same without links, where rank 0 sees it.
    path: PathBuf,
    files: Vec<CarriedFile>,
}

/// A file as rank 0 found it at the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CarriedFile {
    pub(crate) name: String,
    pub(crate) state: FileState,
}

impl Carried {
    /// Whether this host sees the folders; also if there are none.
    pub(crate) fn is_seen(&self) -> bool {
        let is_seen = |folder: &CarriedFolder| {
            std::fs::read(folder.given.join(ID)).is_ok_and(|found| found == self.id.as_bytes())
        };
        self.folders.iter().all(is_seen)
    }

    /// The folders that this host does not see, in words.
    pub(crate) fn words(&self) -> String {
        let folders = self.folders.iter().map(|folder| folder.given.display().to_string());
        folders.collect::<Vec<_>>().join(" and ")
    }

    /// The files as rank 0 serves them, by number: the path, and what the file was at the start.
    pub(crate) fn served(&self) -> impl Iterator<Item = (PathBuf, FileState)> {
        self.folders.iter().flat_map(|folder| {
            folder.files.iter().map(|file| (folder.path.join(&file.name), file.state))
        })
    }

    /// The same as a host copies them: each with its path in the copy.
    pub(crate) fn copied(&self) -> impl Iterator<Item = (PathBuf, &CarriedFile)> {
        self.folders.iter().enumerate().flat_map(|(number, folder)| {
            folder.files.iter().map(move |file| (name_of(number).join(&file.name), file))
        })
    }

    /// The folders of a copy.
    pub(crate) fn copied_folders(&self) -> impl Iterator<Item = PathBuf> {
        (0..self.folders.len()).map(name_of)
    }

    /// How large all files are together. (bytes)
    pub(crate) fn size(&self) -> u64 {
        self.copied().map(|(_, file)| file.state.size).sum()
    }

    /// Where this host has a file: in its copy, if it is one of these and there is one.
    pub(crate) fn here(&self, path: &Path) -> PathBuf {
        let found = self.copy.as_ref().and_then(|copy| {
            let plain = without_dots(path);
            let (around, name) = (plain.parent()?, plain.file_name()?);
            let is_it = |folder: &CarriedFolder| folder.given == around || folder.path == around;
            Some(copy.join(name_of(self.folders.iter().position(is_it)?)).join(name))
        });
        found.unwrap_or_else(|| path.to_path_buf())
    }

    /// The folders and their copies on this host, as JSON, for children.
    #[cfg(feature = "jobs")]
    pub(crate) fn places(&self) -> Option<String> {
        let copy = self.copy.as_ref()?;
        let place = |(number, folder): (usize, &CarriedFolder)| {
            let text = |path: &Path| path.to_string_lossy().into_owned();
            (text(&folder.given), text(&copy.join(name_of(number))).into())
        };
        let places: serde_json::Map<_, _> = self.folders.iter().enumerate().map(place).collect();
        Some(serde_json::Value::from(places).to_string())
    }
}

/// What a folder is called in a copy.
fn name_of(number: usize) -> PathBuf {
    PathBuf::from(number.to_string())
}

/// A path without `.` and `..`, as Python makes it.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(feature = "jobs")]
mod found {
    use std::io::{Error, ErrorKind};

    use super::{Carried, CarriedFile, CarriedFolder, ID, Path};
    use crate::util::error::{self, Result};
    use crate::util::file_state::FileState;

    /// The file beside a job file that names the folders.
    const LIST: &str = "carried.json";

    #[derive(serde::Deserialize)]
    struct List {
        id: String,
        folders: Vec<String>,
    }

    impl Carried {
        /// What the Python package has written beside this job file, and in the folders that are named there.
        pub(crate) fn beside(job: &Path) -> Result<Carried> {
            let list = job.with_file_name(LIST);
            let text = match std::fs::read(&list) {
                Ok(text) => text,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Carried::default()),
                Err(error) => return Err(error::Error::unreadable(&list, &error)),
            };
            let found: List = serde_json::from_slice(&text)
                .map_err(|error| error::Error::unreadable(&list, &error.into()))?;
            // The name of a folder on other hosts has it.
            if found.id.len() != 32 || !found.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                let error = Error::other("its id is none");
                return Err(error::Error::unreadable(&list, &error));
            }
            let folders = found.folders.iter().map(|folder| {
                let folder = Path::new(folder);
                files_in(folder, found.id.as_bytes()).map_err(|error| {
                    let why = format!("{error}; start the run again");
                    error::Error::unreadable(folder, &Error::other(why))
                })
            });
            let folders = folders.collect::<Result<Vec<_>>>()?;
            Ok(Carried { id: found.id, folders, copy: None })
        }
    }

    /// The files in a folder, but not those in folders within it.
    fn files_in(folder: &Path, id: &[u8]) -> std::io::Result<CarriedFolder> {
        if std::fs::read(folder.join(ID))? != id {
            return Err(Error::other("it is that of another start"));
        }
        let path = folder.canonicalize()?;
        let mut files = Vec::new();
        for entry in path.read_dir()? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                let state = FileState::of(&entry.path())?;
                files.push(CarriedFile { name, state });
            }
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(CarriedFolder { given: folder.to_path_buf(), path, files })
    }
}
