//! What a run prints: gathered while it runs, within bounds, and kept in a compressed form.

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::util::{gzip, shared_bytes};

/// How much of the beginning and of the end of a run's output is kept. (bytes)
pub(crate) const LOG_BEGINNING: usize = 256 << 10;
pub(crate) const LOG_END: usize = 256 << 10;

/// Whose output is kept: `logs` in `[crunch]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeptLogs {
    /// That of runs that fail.
    #[default]
    Failed,
    All,
    None,
}

impl KeptLogs {
    #[cfg_attr(not(feature = "jobs"), allow(dead_code))]
    pub(crate) const NAMES: [&str; 3] = ["failed", "all", "none"];

    pub(crate) fn name(self) -> &'static str {
        match self {
            KeptLogs::Failed => "failed",
            KeptLogs::All => "all",
            KeptLogs::None => "none",
        }
    }

    #[cfg_attr(not(feature = "jobs"), allow(dead_code))]
    pub(crate) fn of(name: &str) -> Option<KeptLogs> {
        [KeptLogs::Failed, KeptLogs::All, KeptLogs::None].into_iter().find(|k| k.name() == name)
    }

    /// Whether the output of a run is kept.
    pub(crate) fn keeps(self, has_failed: bool) -> bool {
        match self {
            KeptLogs::Failed => has_failed,
            KeptLogs::All => true,
            KeptLogs::None => false,
        }
    }
}

/// The output of a run, as it is kept.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunLog {
    /// How many bytes the run has printed.
    pub(crate) printed: u64,
    /// How many of the kept ones are from the beginning; the others are from the end.
    pub(crate) beginning: u64,
    /// What is kept of it, in gzip's form, which has a checksum.
    #[serde(deserialize_with = "shared_bytes::deserialize")]
    pub(crate) gzip: Bytes,
}

impl std::fmt::Debug for RunLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunLog({} bytes printed, {} kept)", self.printed, self.gzip.len())
    }
}

impl RunLog {
    /// What is kept: the beginning, and the end if something between them is left out.
    #[cfg_attr(not(all(feature = "cli", feature = "jobs")), allow(dead_code))]
    pub(crate) fn text(&self) -> Result<(Vec<u8>, Vec<u8>), String> {
        let mut beginning = gzip::expanded(&self.gzip, LOG_BEGINNING + LOG_END)?;
        let at = (self.beginning as usize).min(beginning.len());
        let end = beginning.split_off(at);
        Ok((beginning, end))
    }

    /// How many bytes between the beginning and the end are not kept, if these are `kept`.
    #[cfg_attr(not(all(feature = "cli", feature = "jobs")), allow(dead_code))]
    pub(crate) fn left_out(&self, kept: usize) -> u64 {
        self.printed.saturating_sub(kept as u64)
    }
}

/// A part of a run's output while it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OutputPiece {
    pub(crate) task: u64,
    pub(crate) attempt: u32,
    /// Where it begins in the output of the run. (bytes)
    pub(crate) from: u64,
    #[serde(deserialize_with = "shared_bytes::deserialize")]
    pub(crate) bytes: Bytes,
    /// Whether the attempt has ended, so that this is the last piece.
    pub(crate) ended: bool,
}

/// The output of a run that goes on. Whoever reads what it prints adds to it; others may look at it meanwhile.
#[derive(Default)]
pub(crate) struct RunOutput(Mutex<KeptOutput>);

#[derive(Default)]
struct KeptOutput {
    beginning: Vec<u8>,
    /// The last bytes behind the beginning; at times up to twice as many as are kept.
    end: Vec<u8>,
    printed: u64,
}

#[cfg_attr(not(feature = "jobs"), allow(dead_code))] // the user's Rust prints where it likes
impl RunOutput {
    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock();
        kept.printed += bytes.len() as u64;
        let room = LOG_BEGINNING - kept.beginning.len();
        let (beginning, end) = bytes.split_at(bytes.len().min(room));
        kept.beginning.extend_from_slice(beginning);
        kept.end.extend_from_slice(end);
        if kept.end.len() > 2 * LOG_END {
            let surplus = kept.end.len() - LOG_END;
            kept.end.drain(..surplus);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().printed == 0
    }

    pub(crate) fn printed(&self) -> u64 {
        self.0.lock().printed
    }

    /// Adds what was printed before this.
    pub(crate) fn prepend(&self, before: &RunOutput) {
        let mut all = std::mem::take(&mut *before.0.lock());
        std::mem::swap(&mut *self.0.lock(), &mut all);
        let after = all;
        self.push(&after.beginning);
        let skipped = after.printed - (after.beginning.len() + after.end.len()) as u64;
        if skipped > 0 {
            let mut kept = self.0.lock();
            kept.printed += skipped;
            kept.end.clear();
        }
        self.push(&after.end);
    }

    /// At most so many bytes of what is kept from there on, and where they begin: later, if what was printed there is
    /// not kept.
    pub(crate) fn since(&self, from: u64, most: usize) -> (u64, Vec<u8>) {
        let kept = self.0.lock();
        let piece = |bytes: &[u8], at: u64| bytes[(at as usize).min(bytes.len())..].to_vec();
        let begin_of_end = kept.printed - kept.end.len() as u64;
        let (from, mut bytes) = match from < kept.beginning.len() as u64 {
            true => (from, piece(&kept.beginning, from)),
            false => {
                let from = from.max(begin_of_end).min(kept.printed);
                (from, piece(&kept.end, from - begin_of_end))
            }
        };
        bytes.truncate(most);
        (from, bytes)
    }

    /// The form in which it is kept; nothing if nothing was printed.
    pub(crate) fn log(&self) -> Option<RunLog> {
        let kept = self.0.lock();
        if kept.printed == 0 {
            return None;
        }
        let end = &kept.end[kept.end.len().saturating_sub(LOG_END)..];
        let gzip = gzip::compressed(&[&kept.beginning, end]);
        let beginning = kept.beginning.len() as u64;
        Some(RunLog { printed: kept.printed, beginning, gzip: gzip.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(pieces: &[usize]) -> (RunOutput, Vec<u8>) {
        let (output, mut all) = (RunOutput::default(), Vec::new());
        for piece in pieces {
            let bytes: Vec<u8> = (0..*piece).map(|i| ((all.len() + i) % 251) as u8).collect();
            output.push(&bytes);
            all.extend(bytes);
        }
        (output, all)
    }

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        for pieces in [&[5][..], &[LOG_BEGINNING - 1, 3], &[LOG_BEGINNING + LOG_END], &[8192; 64]] {
            let (output, all) = printed(pieces);
            let log = output.log().unwrap();
            let (beginning, end) = log.text().unwrap();
            assert_eq!([beginning, end].concat(), all);
        }
        let (output, all) = printed(&[1 << 20; 20]);
        let log = output.log().unwrap();
        let (beginning, end) = log.text().unwrap();
        assert_eq!((beginning.len(), end.len()), (LOG_BEGINNING, LOG_END));
        assert!(all.starts_with(&beginning) && all.ends_with(&end));
        assert_eq!(log.left_out(LOG_BEGINNING + LOG_END), (20 << 20) - (512 << 10));
        assert!(RunOutput::default().log().is_none());
    }

    #[test]
    fn what_is_new_follows_what_was_seen() {
        let (output, mut all) = printed(&[100, 300_000]);
        let mut seen = Vec::new();
        for _ in 0..10 {
            let (from, bytes) = output.since(seen.len() as u64, 50_000);
            assert_eq!(from, seen.len() as u64);
            seen.extend(bytes);
        }
        assert_eq!(seen, all);
        let more = vec![7; 2 << 20];
        output.push(&more);
        all.extend(more);
        let (from, bytes) = output.since(seen.len() as u64, 1 << 20);
        assert!(from > seen.len() as u64 && from as usize + bytes.len() == all.len());
        assert_eq!(bytes, &all[from as usize..]);
    }

    #[test]
    fn what_was_before_comes_first() {
        let (before, one) = printed(&[300_000]);
        let (output, two) = printed(&[300_000]);
        output.prepend(&before);
        let (beginning, end) = output.log().unwrap().text().unwrap();
        let all = [one, two].concat();
        assert_eq!(output.printed(), 600_000);
        assert!(all.starts_with(&beginning) && all.ends_with(&end));
        // Also with a gap in what comes later.
        let (output, later) = printed(&[300_000, 2 << 20]);
        output.prepend(&printed(&[10]).0);
        let all = [printed(&[10]).1, later].concat();
        let (from, bytes) = output.since(400_000, 1 << 20);
        assert!(from as usize + bytes.len() == all.len() && bytes == all[from as usize..]);
    }
}
