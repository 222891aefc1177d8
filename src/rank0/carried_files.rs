//! The caller's private files for hosts that do not see them, piece by piece. They are read by a thread of its own, so that
//! a slow disk delays no heartbeat; in memory is one piece for each host that asks.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::job::Carried;
use crate::util::error::Result;
use crate::util::file_state::FileState;
use crate::util::thread;
use crate::wire::requests::Reply;

/// The longest piece. (bytes)
const PIECE: u64 = 8 << 20;

/// Who has asked for a piece: the rank, and the ticket of the request.
type Asker = (usize, u64);

/// The files that may be asked for, by number. Nothing else is ever read.
type Files = Vec<(PathBuf, FileState)>;

#[derive(Default)]
pub(crate) struct CarriedFiles {
    /// Until the first request.
    files: Files,
    reader: Option<PieceReader>,
    /// How many requests are not answered.
    open: usize,
    /// Why a file could not be read.
    failed: Option<String>,
}

struct PieceReader {
    wanted: Sender<(Asker, (usize, u64))>,
    read: Receiver<(Asker, Result<Reply, String>)>,
}

impl CarriedFiles {
    pub(crate) fn of(carried: &Carried) -> CarriedFiles {
        CarriedFiles { files: carried.served().collect(), ..CarriedFiles::default() }
    }

    /// Takes a request for the piece of a file that begins at this byte. The reply follows, unless it is there at once.
    pub(crate) fn ask(&mut self, asker: Asker, piece: (usize, u64)) -> Option<Reply> {
        if self.reader.is_none() {
            match start(std::mem::take(&mut self.files)) {
                Ok(reader) => self.reader = Some(reader),
                Err(error) => return Some(Reply::Refused(error.to_string())),
            }
        }
        let sent = self.reader.as_ref().map(|reader| reader.wanted.send((asker, piece)));
        match sent {
            Some(Ok(())) => {
                self.open += 1;
                None
            }
            _ => Some(Reply::Refused("the thread that reads files has ended".to_string())),
        }
    }

    /// Whether no request is open.
    pub(crate) fn is_quiet(&self) -> bool {
        self.open == 0
    }

    /// The replies that are ready.
    pub(crate) fn replies(&mut self) -> Vec<(Asker, Reply)> {
        let Some(reader) = &self.reader else { return Vec::new() };
        let read = reader.read.try_iter().map(|(asker, read)| match read {
            Ok(reply) => (asker, reply),
            Err(why) => {
                self.failed.get_or_insert(why.clone());
                (asker, Reply::Refused(why))
            }
        });
        let replies: Vec<_> = read.collect();
        self.open -= replies.len();
        replies
    }

    /// Why a file could not be read that hosts need, once.
    pub(crate) fn take_failure(&mut self) -> Option<String> {
        self.failed.take()
    }
}

fn start(files: Files) -> Result<PieceReader> {
    let (wanted, to_read) = channel::<(Asker, (usize, u64))>();
    let (done, read) = channel();
    let work = move || {
        while let Ok((asker, (number, offset))) = to_read.recv() {
            let found = match files.get(number) {
                Some((path, state)) => piece(path, *state, offset),
                None => Ok(Reply::Refused(format!("there is no file {number}"))),
            };
            if done.send((asker, found)).is_err() {
                return;
            }
        }
    };
    thread::start("carried files", work)?;
    Ok(PieceReader { wanted, read })
}

/// A piece of a file that is still what it was at the start.
fn piece(path: &Path, was: FileState, offset: u64) -> Result<Reply, String> {
    let advice = "hosts that do not see it have no part of it now; leave it as it is while a job runs, and start again";
    let unread =
        |error: std::io::Error| format!("{} cannot be read: {error}; {advice}", path.display());
    let is_same = |is: FileState| match is == was {
        true => Ok(()),
        false => Err(format!("{} is not what it was at the start; {advice}", path.display())),
    };
    is_same(FileState::of(path).map_err(unread)?)?;
    let file = File::open(path).map_err(unread)?;
    let mut bytes = vec![0; was.size.saturating_sub(offset).min(PIECE) as usize];
    file.read_exact_at(&mut bytes, offset).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            format!("{} has become shorter; {advice}", path.display())
        }
        _ => unread(error),
    })?;
    is_same(FileState::from(&file.metadata().map_err(unread)?))?;
    let digest = blake3::hash(&bytes);
    Ok(Reply::Piece(bytes.into(), *digest.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_of_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, vec![7; PIECE as usize + 3]).unwrap();
        let was = FileState::of(&path).unwrap();
        let length = |offset| match piece(&path, was, offset) {
            Ok(Reply::Piece(bytes, digest)) => {
                assert_eq!(*blake3::hash(&bytes).as_bytes(), digest);
                bytes.len() as u64
            }
            other => panic!("{other:?}"),
        };
        assert_eq!((length(0), length(PIECE), length(PIECE + 9)), (PIECE, 3, 0));
        std::fs::write(&path, "short").unwrap();
        assert!(piece(&path, was, 0).unwrap_err().contains("is not what it was at the start"));
        std::fs::remove_file(&path).unwrap();
        assert!(piece(&path, was, 0).unwrap_err().contains("cannot be read: No such file"));
    }
}
