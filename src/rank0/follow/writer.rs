//! The thread that looks for requests, and writes what workers send of the runs that are followed.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use crate::model::OutputPiece;
use crate::rank0::follow::{FollowedTasks, FrameHeader, piece_file, remove_pieces, requested};

/// Time between two looks for requests.
const LOOK: Duration = Duration::from_millis(500);

/// A request that has not been renewed for this long is one of a process that was killed.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// When a file has this length the next one begins; two of them are there. (bytes)
const LONG: u64 = 4 << 20;

pub(super) struct FollowWriter {
    folder: PathBuf,
    followed: Arc<FollowedTasks>,
    /// When each request was written last, and when that was seen first.
    requests: HashMap<String, (Option<SystemTime>, Instant)>,
    files: HashMap<u64, PieceFile>,
}

/// Where the output of a task goes.
struct PieceFile {
    number: u64,
    length: u64,
    /// None if it cannot be written.
    file: Option<File>,
}

impl FollowWriter {
    pub(super) fn new(folder: PathBuf, followed: Arc<FollowedTasks>) -> FollowWriter {
        FollowWriter { folder, followed, requests: HashMap::new(), files: HashMap::new() }
    }

    pub(super) fn write(&mut self, pieces: &Receiver<(usize, OutputPiece)>) {
        self.remove_pieces(|_| true); // of earlier starts
        let mut looked = None::<Instant>;
        loop {
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                self.look();
                looked = Some(Instant::now());
            }
            match pieces.recv_timeout(LOOK) {
                Ok((rank, piece)) => self.append(rank, &piece),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Looks which tasks are followed.
    fn look(&mut self) {
        let mut tasks = BTreeSet::new();
        let mut there = HashMap::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(task) = requested(&name) else { continue };
            let written = entry.metadata().and_then(|about| about.modified()).ok();
            let seen = match self.requests.remove(&name) {
                Some((last, seen)) if last == written => seen,
                _ => Instant::now(),
            };
            if seen.elapsed() > FORGOTTEN {
                let _ = fs::remove_file(entry.path());
                continue;
            }
            there.insert(name, (written, seen));
            tasks.insert(task);
        }
        self.requests = there;
        let before = std::mem::replace(&mut *self.followed.tasks.lock(), tasks.clone());
        self.followed.is_any.store(!tasks.is_empty(), Ordering::Relaxed);
        if before.iter().any(|task| !tasks.contains(task)) {
            self.remove_pieces(|task| !tasks.contains(&task));
            let _ = fs::remove_dir(&self.folder); // unless there is more in it
        }
    }

    fn remove_pieces(&mut self, is_over: impl Fn(u64) -> bool) {
        remove_pieces(&self.folder, &is_over);
        for (task, file) in &mut self.files {
            if is_over(*task) {
                (file.number, file.length, file.file) = (file.number + 1, 0, None);
            }
        }
    }

    fn append(&mut self, rank: usize, piece: &OutputPiece) {
        let OutputPiece { task, attempt, from, ref bytes, ended } = *piece;
        if !self.followed.tasks.lock().contains(&task) {
            return;
        }
        let length = bytes.len() as u64;
        let header = FrameHeader { rank, attempt, from, length, ended };
        let mut frame = serde_json::json!(header).to_string().into_bytes();
        frame.push(b'\n');
        frame.extend_from_slice(bytes);
        let none = || PieceFile { number: 0, length: 0, file: None };
        let of_task = self.files.entry(task).or_insert_with(none);
        if of_task.length > LONG {
            if let Some(older) = of_task.number.checked_sub(1) {
                let _ = fs::remove_file(self.folder.join(piece_file(task, older)));
            }
            *of_task = PieceFile { number: of_task.number + 1, ..none() };
        }
        let path = self.folder.join(piece_file(task, of_task.number));
        // Whoever has followed it before may have removed it.
        if of_task.file.is_none() || !path.exists() {
            of_task.file = OpenOptions::new().append(true).create(true).open(path).ok();
        }
        of_task.length += frame.len() as u64;
        let Some(file) = &mut of_task.file else { return };
        if let Err(error) = file.write_all(&frame) {
            log::debug!("{}: {error}: output that is followed is left out", self.folder.display());
            // What is there of this frame must not be taken for the beginning of the next one.
            of_task.length = LONG + 1;
        }
    }
}
