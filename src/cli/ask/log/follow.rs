//! `gridmpi log --follow`: what a run prints, as it comes. Rank 0 is asked for it by a file in the results folder, and writes
//! it there. How the attempt has ended, the store says.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cli::ask::log::{show, tell, why_none};
use crate::cli::ask::{Sink, reader, stream};
use crate::rank0::follow::{FollowedOutput, FrameHeader, OutputFrame};
use crate::rank0::status::{Life, Liveness};
use crate::store::{AttemptRow, Folder, History, StoreReader};
use crate::util::error::{Exit, Result};
use crate::util::signals;
use crate::util::text::things;

/// How often to look for output, and in the store.
const LOOK: Duration = Duration::from_millis(100);
const STORE: Duration = Duration::from_secs(2);

/// How long to wait for the last output of an attempt that is recorded, and for the record of one that has ended.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How the following has ended.
enum FollowEnd {
    /// With an attempt that is recorded now.
    Attempt(Box<(StoreReader, AttemptRow)>),
    /// With one that is not: its result does not count.
    Unrecorded,
    /// The job is over, and has made none.
    Over(String),
    /// Whoever reads it has had enough.
    Left,
}

pub(super) fn follow((folder, task): (&Path, u64), before: &History) -> Result<Exit> {
    signals::take();
    signals::set_consumed(true);
    let mut following = Following {
        folder,
        task,
        known: before.attempts.clone(),
        liveness: Liveness::of(folder),
        output: FollowedOutput::of(folder, task)?,
        printer: FollowPrinter::default(),
    };
    let mut ended = FollowEnd::Left;
    stream(|sink| {
        ended = following.until_end(sink)?;
        Ok(())
    })?;
    let FollowPrinter { expected, is_whole, .. } = following.printer;
    drop(following); // and with it what rank 0 has written
    match ended {
        FollowEnd::Left => Ok(Exit::Complete),
        FollowEnd::Over(why) => tell(&format!("{why}; no attempt at task {task} was recorded")),
        FollowEnd::Unrecorded => {
            tell(&format!("the attempt at task {task} has ended, and its result does not count"))
        }
        FollowEnd::Attempt(found) => {
            let (reader, attempt) = *found;
            match reader.log(&attempt)? {
                _ if is_whole => {}
                Some(log) if expected == 0 => drop(show(&log)?),
                None if expected == 0 => return tell(&why_none(&reader, task, &attempt)?),
                Some(log) if log.printed == expected => {}
                Some(_) => {
                    tell(
                        "the end of the output has not come: gridmpi log without --follow has it",
                    )?;
                }
                None => drop(tell("the end of the output has not come")?),
            }
            let state = if attempt.failed { "has failed" } else { "is ok" };
            tell(&format!("attempt {} at task {task} {state}", attempt.attempt))
        }
    }
}

struct Following<'a> {
    folder: &'a Path,
    task: u64,
    /// The attempts that were recorded before.
    known: Vec<AttemptRow>,
    liveness: Liveness,
    output: FollowedOutput,
    printer: FollowPrinter,
}

impl Following<'_> {
    fn until_end(&mut self, sink: &mut Sink) -> Result<FollowEnd> {
        let mut looked = None::<Instant>;
        let mut recorded = None;
        let mut last = Instant::now();
        loop {
            for frame in self.output.next() {
                self.printer.print(&frame, sink)?;
                last = Instant::now();
            }
            let flushed = sink.flush();
            sink.check(flushed)?;
            if signals::asked().is_some() {
                return Ok(FollowEnd::Left);
            }
            let is_whole = self.printer.is_whole;
            let is_due = looked.is_none_or(|looked| looked.elapsed() >= STORE);
            if recorded.is_none() && (is_due || is_whole) {
                // In this order: what a job that is over has recorded is there.
                let over = self.over()?;
                recorded = self.recorded()?.map(Box::new);
                looked = Some(Instant::now());
                if let (Some(why), None) = (over, &recorded) {
                    return Ok(FollowEnd::Over(why));
                }
            }
            let is_late = last.elapsed() >= LAST_WORDS
                && looked.is_some_and(|looked| looked.elapsed() >= LAST_WORDS || is_whole);
            match recorded.take() {
                Some(found) if is_whole || is_late => return Ok(FollowEnd::Attempt(found)),
                None if is_whole && is_late => return Ok(FollowEnd::Unrecorded),
                waits => recorded = waits,
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The attempt that has been recorded meanwhile.
    fn recorded(&self) -> Result<Option<(StoreReader, AttemptRow)>> {
        let reader = reader(self.folder)?;
        let attempts = reader.history(self.task)?.attempts;
        // One without a start was lost: the task goes to another worker.
        let is_new =
            |attempt: &AttemptRow| attempt.started.is_some() && !self.known.contains(attempt);
        let is_followed = |attempt: &AttemptRow| match self.printer.attempt {
            None => true,
            Some((rank, number)) => {
                (attempt.rank, attempt.attempt) == (Some(rank as i64), i64::from(number))
            }
        };
        let found = attempts.into_iter().rfind(|attempt| is_new(attempt) && is_followed(attempt));
        Ok(found.map(|attempt| (reader, attempt)))
    }

    /// Why nothing more will come, if the job is over.
    fn over(&mut self) -> Result<Option<String>> {
        if Folder::is_free(self.folder) == Some(false) {
            return Ok(None); // it may not have written its status yet
        }
        Ok(match self.liveness.check()? {
            Some((_, Life::Alive | Life::Silent(_))) => None,
            Some((_, Life::Ended)) => Some("the job has ended".to_string()),
            Some((_, Life::Died(why))) => Some(format!("the job has died ({why})")),
            None => Some("the job is not running".to_string()),
        })
    }
}

/// Prints the output of one attempt after another, though two may run at once.
#[derive(Default)]
struct FollowPrinter {
    /// The rank and the number of the attempt.
    attempt: Option<(usize, u32)>,
    /// How much of its output was printed, or is known to be left out. (bytes)
    expected: u64,
    /// Whether it has ended, and this was all.
    is_whole: bool,
}

impl FollowPrinter {
    fn print(&mut self, frame: &OutputFrame, sink: &mut Sink) -> Result<()> {
        let OutputFrame { header: FrameHeader { rank, attempt, from, ended, .. }, bytes } = frame;
        match self.attempt {
            Some(known) if known == (*rank, *attempt) => {}
            Some(_) if !self.is_whole => return Ok(()),
            before => {
                let expected = 0;
                *self =
                    FollowPrinter { attempt: Some((*rank, *attempt)), expected, is_whole: false };
                if before.is_some() {
                    sink.write(&format!("\n[gridmpi: attempt {attempt}, on rank {rank}]\n"))?;
                }
            }
        }
        if *from > self.expected {
            let left_out = things(from - self.expected, "byte");
            sink.write(&format!("\n[gridmpi: {left_out} are left out here]\n"))?;
            self.expected = *from;
        }
        let seen = (self.expected - from).min(bytes.len() as u64); // somebody else has begun to follow
        let written = sink.write_all(&bytes[seen as usize..]);
        sink.check(written)?;
        self.expected += bytes.len() as u64 - seen;
        self.is_whole = *ended;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufWriter;

    use super::*;
    use crate::cli::screen::Screen;

    #[test]
    fn pieces_are_printed_once_and_gaps_are_said() {
        let mut sink = Sink { out: BufWriter::with_capacity(1 << 12, Screen::new()), left: false };
        let mut printer = FollowPrinter::default();
        for (rank, attempt, from, bytes, ended) in [
            (1, 1, 0, &b"abc"[..], false),
            (2, 1, 0, b"other", false),
            (1, 1, 0, b"abcde", false),
            (1, 1, 15, b"f", true),
            (2, 2, 0, b"second", true),
        ] {
            let length = bytes.len() as u64;
            let header = FrameHeader { rank, attempt, from, length, ended };
            printer.print(&OutputFrame { header, bytes: bytes.to_vec() }, &mut sink).unwrap();
        }
        let printed = String::from_utf8_lossy(sink.out.buffer()).into_owned();
        let expected = "abcde\n[gridmpi: 10 bytes are left out here]\nf\n[gridmpi: attempt 2, on rank 2]\nsecond";
        assert_eq!(printed, expected);
        assert!(printer.is_whole);
        let _ = sink.out.into_parts(); // without writing it
    }
}
