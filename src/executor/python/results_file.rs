//! The results of a Python child's current request, in a file that the child has mapped into its memory. A
//! worker can read there at any time how far the child is, even while a call takes long, and what it had
//! finished when it died.
//!
//! Layout, in the machine's own byte order: eight words; then, for each task of the request,
//! a number and a duration in seconds; then texts. A duration is NaN until the task is done. It is -1 - seconds
//! where the result is a text; the number is then the offset of the text, which begins with its length.

use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::executor::process::marks::Marks;
use crate::executor::python::protocol::{self, Answer};
use crate::model::Value;

/// The most tasks in a request.
pub(super) const MOST: u64 = 4096;

/// The file's parts, in bytes; child.py has the same numbers.
const HEADER: u64 = 64;
const NUMBERS: u64 = HEADER;
const SECONDS: u64 = NUMBERS + 8 * MOST;
const TEXTS: u64 = SECONDS + 8 * MOST;
const SIZE: u64 = TEXTS + (192 << 10);

/// Offsets of the words of the header. The worker writes the lowest byte of the first one: the child begins no
/// other task if it is set.
const STOP: u64 = 0;
const ACCEPTED: usize = 1;
const PHASE: usize = 2;
const SURE: usize = 3;
/// The worker notes there its reads of the child's output: begun, ended, and the bytes that it has read.
const READS: usize = 4;

/// Where shared memory is; where there is none, the file is in the folder for temporary files.
const MEMORY: &str = "/dev/shm";

pub(super) struct ResultsFile {
    file: File,
}

/// The name by which a child opens its results file.
pub(super) enum FileName {
    /// It has none in a folder, so it is never left over, however both processes end.
    Open(PathBuf),
    /// The child removes it once it has opened it.
    Temporary(TempPath),
}

impl AsRef<Path> for FileName {
    fn as_ref(&self) -> &Path {
        match self {
            FileName::Open(path) => path,
            FileName::Temporary(path) => path,
        }
    }
}

/// The name of an open file for processes of the same user, where the platform has such names.
fn path_in_proc(file: &File) -> Option<PathBuf> {
    let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
    // The numbers may be those of another namespace.
    let (there, own) = (path.metadata().ok()?, file.metadata().ok()?);
    ((there.dev(), there.ino()) == (own.dev(), own.ino())).then_some(path)
}

/// How far a child is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ChildProgress {
    /// The last request that it has begun.
    pub(super) accepted: u64,
    /// Counts beginnings and ends of loading and comparing data.
    phase: u64,
    /// How many tasks of the request are done. The next one may have begun.
    pub(super) done: u64,
    /// How many of these results are final.
    pub(super) sure: u64,
}

impl ChildProgress {
    pub(super) fn is_loading(&self) -> bool {
        self.phase % 2 == 1
    }
}

impl ResultsFile {
    /// Makes the file, and the name by which the child opens it.
    pub(super) fn create() -> Result<(ResultsFile, FileName)> {
        let create_in = |folder: &Path| {
            let mut unnamed = tempfile::tempfile_in(folder)?;
            // Written, so that there is room for it: the child would get a signal later if there were none.
            unnamed.write_all(&[0; SIZE as usize])?;
            if let Some(path) = path_in_proc(&unnamed) {
                return Ok((ResultsFile { file: unnamed }, FileName::Open(path)));
            }
            let named = tempfile::Builder::new().prefix("gridmpi-").tempfile_in(folder)?;
            let (mut file, path) = named.into_parts();
            file.write_all(&[0; SIZE as usize])?;
            Ok((ResultsFile { file }, FileName::Temporary(path)))
        };
        create_in(Path::new(MEMORY)).or_else(|_: Error| create_in(&std::env::temp_dir()))
    }

    /// Marks for the output of the child, which looks here whether its output was read.
    pub(super) fn marks(&self) -> Result<Marks> {
        Ok(Marks::new((self.file.try_clone()?, 8 * READS as u64)))
    }

    /// Prepares for a request of `count` tasks. The child must be at rest.
    pub(super) fn restart(&self, count: u64) -> Result<()> {
        self.file.write_all_at(&f64::NAN.to_ne_bytes().repeat(count as usize), SECONDS)?;
        self.file.write_all_at(&u64::MAX.to_ne_bytes(), 8 * SURE as u64)?;
        self.file.write_all_at(&[0], STOP)
    }

    /// Makes the child begin no other task.
    pub(super) fn stop(&self) -> Result<()> {
        self.file.write_all_at(&[1], STOP)
    }

    /// How far a child is with a request of `count` tasks.
    pub(super) fn progress(&self, count: u64) -> Result<ChildProgress> {
        // In this order: what was done by now and is not final is known as such by then.
        let seconds = self.numbers(SECONDS, 0..count)?;
        let done = seconds.iter().position(|seconds| seconds.is_nan());
        let done = done.map_or(count, |done| done as u64);
        let mut words = [0; HEADER as usize];
        self.file.read_exact_at(&mut words, 0)?;
        let (words, _) = words.as_chunks();
        let word = |index: usize| u64::from_ne_bytes(words[index]);
        let (accepted, phase, sure) = (word(ACCEPTED), word(PHASE), word(SURE).min(done));
        Ok(ChildProgress { accepted, phase, done, sure })
    }

    /// The answers of these tasks of the request, which are done.
    pub(super) fn answers(&self, tasks: Range<u64>) -> Result<Vec<Answer>> {
        let numbers = self.numbers(NUMBERS, tasks.clone())?;
        let seconds = self.numbers(SECONDS, tasks)?;
        let answer = |(number, seconds): (f64, f64)| match seconds < 0.0 {
            true => Ok((protocol::decode(&self.text(number as u64)?), -1.0 - seconds)),
            false => Ok((Ok(Value::Float(number).into()), seconds)),
        };
        numbers.into_iter().zip(seconds).map(answer).collect()
    }

    fn numbers(&self, start: u64, tasks: Range<u64>) -> Result<Vec<f64>> {
        let mut bytes = vec![0; 8 * (tasks.end - tasks.start) as usize];
        self.file.read_exact_at(&mut bytes, start + 8 * tasks.start)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| f64::from_ne_bytes(*bytes)).collect())
    }

    fn text(&self, offset: u64) -> Result<Vec<u8>> {
        let lost = || Error::new(ErrorKind::InvalidData, "no result, but something else");
        let start = TEXTS.checked_add(offset).filter(|start| start + 4 <= SIZE).ok_or_else(lost)?;
        let mut length = [0; 4];
        self.file.read_exact_at(&mut length, start)?;
        let length = u64::from(u32::from_ne_bytes(length));
        if start + 4 + length > SIZE {
            return Err(lost());
        }
        let mut text = vec![0; length as usize];
        self.file.read_exact_at(&mut text, start + 4)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(file: &ResultsFile, offset: u64, bytes: &[u8]) {
        file.file.write_all_at(bytes, offset).unwrap();
    }

    fn done(file: &ResultsFile, task: u64, number: f64, seconds: f64) {
        write(file, NUMBERS + 8 * task, &number.to_ne_bytes());
        write(file, SECONDS + 8 * task, &seconds.to_ne_bytes());
    }

    #[test]
    fn numbers_and_texts_are_read_as_they_come() {
        let (file, _path) = ResultsFile::create().unwrap();
        file.restart(3).unwrap();
        assert_eq!(file.progress(3).unwrap(), ChildProgress::default());
        done(&file, 0, 1.5, 0.25);
        write(&file, TEXTS + 100, &14u32.to_ne_bytes());
        write(&file, TEXTS + 104, br#"{"value":"abc"}"#);
        done(&file, 1, 100.0, -1.5);
        let progress = file.progress(3).unwrap();
        assert_eq!((progress.done, progress.sure), (2, 2));
        write(&file, 8 * SURE as u64, &1u64.to_ne_bytes());
        assert_eq!(file.progress(3).unwrap().sure, 1);
        let answers = file.answers(0..2).unwrap();
        assert_eq!(answers[0], (Ok(Value::Float(1.5).into()), 0.25));
        assert!(answers[1].0.is_err(), "a text that is cut off: {answers:?}");
        write(&file, TEXTS + 100, &15u32.to_ne_bytes());
        assert_eq!(file.answers(1..2).unwrap(), [(Ok(Value::Text("abc".into()).into()), 0.5)]);
        file.restart(2).unwrap();
        assert_eq!(file.progress(2).unwrap().done, 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_that_never_opens_it_leaves_no_file() {
        let (file, name) = ResultsFile::create().unwrap();
        write(&file, 0, b"x");
        let FileName::Open(path) = name else { panic!("a name in a folder") };
        let mut seen = vec![0; 1];
        File::open(path).unwrap().read_exact_at(&mut seen, 0).unwrap();
        assert_eq!((seen, file.file.metadata().unwrap().nlink()), (b"x".to_vec(), 0));
    }

    #[test]
    fn a_text_that_is_nowhere_is_an_error() {
        let (file, _path) = ResultsFile::create().unwrap();
        for offset in [-1.0, 1e5, 1e6, 1e300, f64::INFINITY] {
            file.restart(1).unwrap();
            write(&file, TEXTS, &u32::MAX.to_ne_bytes());
            write(&file, TEXTS + 100_000, &200_000u32.to_ne_bytes());
            done(&file, 0, offset, -1.0);
            assert!(file.answers(0..1).is_err(), "{offset}");
        }
    }
}
