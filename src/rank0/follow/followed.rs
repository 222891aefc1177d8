//! The other side: asks for the output of a task, and reads it as rank 0 writes it.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::job::FOLLOW_FOLDER;
use crate::rank0::follow::{
    FrameHeader, REQUEST, of_piece_file, piece_file, remove_pieces, requested,
};
use crate::util::error::{Error, Result};
use crate::util::machine;

/// How often a request is renewed.
const RENEW: Duration = Duration::from_secs(5);

/// The most that is read at once. (bytes)
const PIECE: u64 = 1 << 20;

/// A piece of output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutputFrame {
    pub(crate) header: FrameHeader,
    pub(crate) bytes: Vec<u8>,
}

/// The output of one task, while this lives.
pub(crate) struct FollowedOutput {
    folder: PathBuf,
    task: u64,
    request: PathBuf,
    renewed: Instant,
    times: u64,
    /// The file that is read, if there was one, and how far.
    number: Option<u64>,
    offset: u64,
}

impl FollowedOutput {
    /// Asks for the output of a task.
    pub(crate) fn of(results: &Path, task: u64) -> Result<FollowedOutput> {
        let folder = results.join(FOLLOW_FOLDER);
        let unwritten = |error: std::io::Error| {
            Error::input(format!(
                "{}: {error}: to follow a run, its results folder has to be writable, so that rank 0 finds there what is asked for",
                folder.display()
            ))
        };
        if folder.is_symlink() {
            return Err(unwritten(std::io::Error::other("it is a symbolic link")));
        }
        fs::create_dir_all(&folder).map_err(unwritten)?;
        let (host, process) = (machine::host().replace('/', "_"), std::process::id());
        let request = folder.join(format!("{REQUEST}{task}-{host}-{process}"));
        // Rank 0 may just have removed the folder, which was empty.
        let made = fs::write(&request, "0\n")
            .or_else(|_| fs::create_dir_all(&folder).and_then(|()| fs::write(&request, "0\n")));
        made.map_err(unwritten)?;
        let renewed = Instant::now();
        Ok(FollowedOutput { folder, task, request, renewed, times: 0, number: None, offset: 0 })
    }

    /// What has come since the last time.
    pub(crate) fn next(&mut self) -> Vec<OutputFrame> {
        if self.renewed.elapsed() >= RENEW {
            (self.renewed, self.times) = (Instant::now(), self.times + 1);
            let _ = fs::create_dir_all(&self.folder);
            let _ = fs::write(&self.request, format!("{}\n", self.times));
        }
        let mut frames = Vec::new();
        loop {
            let before = frames.len();
            self.read(&mut frames);
            if frames.len() > before {
                continue;
            }
            // Nothing is added to a file once there is a later one.
            match self.later_file() {
                Some(number) => (self.number, self.offset) = (Some(number), 0),
                None => return frames,
            }
        }
    }

    /// The first of the files behind the one that is read.
    fn later_file(&self) -> Option<u64> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| {
            let (task, number) = of_piece_file(entry.file_name().to_str()?)?;
            (task == self.task && self.number.is_none_or(|at| number > at)).then_some(number)
        });
        numbers.min()
    }

    /// Reads the frames that are complete. The file is opened each time, so that a network file system has the latest.
    fn read(&mut self, frames: &mut Vec<OutputFrame>) {
        let Some(number) = self.number else { return };
        let Ok(mut file) = File::open(self.folder.join(piece_file(self.task, number))) else {
            return;
        };
        let mut bytes = Vec::new();
        let sought = file.seek(SeekFrom::Start(self.offset));
        if sought.and_then(|_| file.take(PIECE).read_to_end(&mut bytes)).is_err() {
            return;
        }
        let mut rest = &bytes[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n')
            && let Ok(header) = serde_json::from_slice::<FrameHeader>(&rest[..end])
            && let Some(length) = usize::try_from(header.length).ok()
            && let Some(piece) = rest.get(end + 1..(end + 1).saturating_add(length))
        {
            frames.push(OutputFrame { header, bytes: piece.to_vec() });
            rest = &rest[end + 1 + length..];
        }
        self.offset += (bytes.len() - rest.len()) as u64;
    }
}

impl Drop for FollowedOutput {
    /// Removes the request, and the output if nobody else has asked for it.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.request);
        let mut entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        if entries.any(|entry| requested(&name(&entry)) == Some(self.task)) {
            return;
        }
        remove_pieces(&self.folder, |task| task == self.task);
        let _ = fs::remove_dir(&self.folder); // unless there is more in it
    }
}
