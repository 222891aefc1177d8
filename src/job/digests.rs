//! Digests of files and data sets. A file's digest is kept with the state that the file had, and is taken
//! again only if the state differs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::util::clock;
use crate::util::error::{Error, Result};
use crate::util::file_state::FileState;
use crate::util::files::other_kind;
use crate::util::machine;
use crate::util::thread::Ticker;

/// A file that was changed so shortly before its digest was taken may have been changed again within the
/// resolution of its times. (nanoseconds)
const UNSETTLED: i64 = 2_000_000_000;

/// The most files that points name and workers look at.
const MOST_WATCHED: usize = 20_000;

/// Time between two reports of progress.
const REPORT_PERIOD: Duration = Duration::from_secs(5);

/// Digests of what points name, by level and point.
pub(crate) type PointDigests = BTreeMap<usize, BTreeMap<u64, String>>;

/// Digests of what the points of a job name, alone or together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digests {
    pub(crate) points: PointDigests,
    pub(crate) combined: Vec<CombinedDigests>,
}

/// The digests of the files that a word with placeholders names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CombinedDigests {
    /// The word, as the job has it.
    pub(crate) word: String,
    /// The loops whose points it takes, outermost first.
    pub(crate) loops: Vec<String>,
    /// By the point of each of these loops. A file that is not there has no digest.
    pub(crate) digests: BTreeMap<Vec<u64>, String>,
}

/// A file that workers compare with what it was at the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WatchedFile {
    /// Its path, relative to the job's folder or absolute.
    pub(crate) name: String,
    pub(crate) digest: String,
    pub(crate) state: FileState,
}

/// The files that workers compare with what they were at the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct WatchedFiles {
    /// The files that crunch consists of.
    pub(crate) always: Vec<WatchedFile>,
    /// Files that points name, by their path.
    pub(crate) named: BTreeMap<String, WatchedFile>,
}

impl WatchedFiles {
    pub(crate) fn is_empty(&self) -> bool {
        self.always.is_empty() && self.named.is_empty()
    }
}

/// A file's digest, and when it was taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DigestedFile {
    pub(crate) digest: String,
    /// The state of the file before it was read.
    pub(crate) state: FileState,
    /// In nanoseconds since 1970.
    pub(crate) taken: i64,
}

impl DigestedFile {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> std::io::Result<DigestedFile> {
        let taken = (clock::since_1970() * 1e9) as i64;
        if let Some(other) = other_kind(&path.metadata()?) {
            return Err(std::io::Error::other(format!("it is {other}, not a file")));
        }
        let file = File::open(path)?;
        let state = FileState::from(&file.metadata()?);
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file)?;
        Ok(DigestedFile { digest: short(&hasher.finalize()), state, taken })
    }

    /// Whether a file in this state is certain to have this digest.
    pub(crate) fn holds_for(&self, state: FileState) -> bool {
        state == self.state && self.taken - state.modified.max(state.changed) > UNSETTLED
    }
}

/// The digests of the files of a job, those of earlier starts included.
#[derive(Debug, Default)]
pub(crate) struct FileDigests {
    known: BTreeMap<PathBuf, DigestedFile>,
    /// The files of this start.
    used: BTreeSet<PathBuf>,
}

impl FileDigests {
    /// `known` are the digests that earlier starts have taken.
    pub(crate) fn new(known: BTreeMap<PathBuf, DigestedFile>) -> FileDigests {
        FileDigests { known, used: BTreeSet::new() }
    }

    /// Takes the digests of these files on all cores, if they are not known already.
    pub(crate) fn take(&mut self, paths: impl IntoIterator<Item = PathBuf>) -> Result<()> {
        let mut unread = Vec::new();
        for path in paths {
            let state = FileState::of(&path).map_err(|error| Error::unreadable(&path, &error))?;
            if self.used.insert(path.clone())
                && !self.known.get(&path).is_some_and(|known| known.holds_for(state))
            {
                unread.push((path, state.size));
            }
        }
        self.known.extend(read_all(&unread)?);
        Ok(())
    }

    /// The digest of a file that was taken.
    pub(crate) fn get(&self, path: &Path) -> &str {
        self.known.get(path).map_or("", |known| &known.digest)
    }

    /// For workers to compare: the files that crunch consists of, and those that points name. So many of the
    /// latter that telling all workers would take long are left out.
    pub(super) fn watched(
        &self,
        always: &BTreeSet<PathBuf>,
        named: &BTreeSet<PathBuf>,
    ) -> WatchedFiles {
        let mut watched = WatchedFiles::default();
        let few = named.len() <= MOST_WATCHED;
        for (path, known) in self.used() {
            let Some(name) = path.to_str().map(str::to_string) else { continue };
            let file = WatchedFile {
                name: name.clone(),
                digest: known.digest.clone(),
                state: known.state,
            };
            if always.contains(path) {
                watched.always.push(file);
            } else if few && named.contains(path) {
                watched.named.insert(name, file);
            }
        }
        watched
    }

    /// The files of this start.
    pub(crate) fn used(&self) -> impl Iterator<Item = (&PathBuf, &DigestedFile)> {
        self.used.iter().filter_map(|path| self.known.get_key_value(path))
    }
}

/// Reads files on all cores; reports progress if that takes long.
fn read_all(files: &[(PathBuf, u64)]) -> Result<Vec<(PathBuf, DigestedFile)>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let total: u64 = files.iter().map(|(_, size)| size).sum();
    let (next, read) = (AtomicUsize::new(0), Arc::new(AtomicU64::new(0)));
    let found = Mutex::new(Vec::with_capacity(files.len()));
    let so_far = read.clone();
    let _progress = Ticker::reporting("digests", REPORT_PERIOD, move || {
        let read = so_far.load(Ordering::Relaxed) >> 20;
        Some(format!("{read} of {} MB of the job's files are read", total >> 20))
    })?;
    std::thread::scope(|scope| {
        for _ in 0..machine::cores().min(files.len()) {
            scope.spawn(|| {
                while let Some((path, size)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let digested = DigestedFile::read(path);
                    let digested = digested.map_err(|error| Error::unreadable(path, &error));
                    read.fetch_add(*size, Ordering::Relaxed);
                    found.lock().push(digested.map(|digested| (path.clone(), digested)));
                }
            });
        }
    });
    found.into_inner().into_iter().collect()
}

/// The first 128 bits of the BLAKE3 digest, enough to tell any two contents apart.
pub(crate) fn digest(bytes: &[u8]) -> String {
    short(&blake3::hash(bytes))
}

/// The same for the output of `write`.
pub(crate) fn digest_of(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<String> {
    let mut out = BufWriter::with_capacity(1 << 16, blake3::Hasher::new());
    write(&mut out)?;
    let hasher = out.into_inner().map_err(Error::unexpected)?;
    Ok(short(&hasher.finalize()))
}

fn short(hash: &blake3::Hash) -> String {
    hash.to_hex()[..32].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_only_if_its_state_differs_or_is_too_fresh() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "one").unwrap();
        let fresh = DigestedFile::read(&path).unwrap();
        assert!(!fresh.holds_for(fresh.state), "it may change again within the clock's tick");
        let settled = DigestedFile { taken: fresh.taken + 2 * UNSETTLED, ..fresh.clone() };
        assert!(settled.holds_for(fresh.state));
        // A known digest is believed without a look at the content.
        let made_up = DigestedFile { digest: "made up".to_string(), ..settled };
        let mut digests = FileDigests::new(BTreeMap::from([(path.clone(), made_up)]));
        digests.take([path.clone()]).unwrap();
        assert_eq!(digests.get(&path), "made up");
        std::fs::write(&path, "more").unwrap();
        let known = digests.known;
        let mut digests = FileDigests::new(known);
        digests.take([path.clone()]).unwrap();
        assert_eq!(digests.get(&path), digest(b"more"));
        assert_eq!(digests.used().count(), 1);
    }
}
