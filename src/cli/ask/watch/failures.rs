//! The page of failures: the messages of failed runs, the commonest first. They are read from the store, only while
//! somebody looks at them, and beside the page, which goes on meanwhile.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

use crate::cli::ask::watch::fit::{Fit, fitted, wrapped};
use crate::job::lookup;
use crate::report::text::words::{count, things};
use crate::store::StoreReader;
use crate::util::error::Result;
use crate::util::text::{beginning, visible};
use crate::util::thread;

/// How many messages are shown, and the most of each. (characters)
const MOST: usize = 100;
const LONGEST: usize = 1000;

/// The least time between two looks into the store; one takes at most a tenth of the time.
const PERIOD: Duration = Duration::from_secs(5);

pub(super) struct FailuresPage {
    folder: PathBuf,
    known: Option<Result<FoundFailures, String>>,
    /// How many runs had failed when the last look began.
    of: Option<u64>,
    /// A look under way, and since when.
    look: Option<(Receiver<Result<FoundFailures, String>>, Instant)>,
    next: Instant,
}

/// What a look has found.
struct FoundFailures {
    failed: u64,
    kinds: Vec<FailureText>,
}

struct FailureText {
    runs: u64,
    task: u64,
    place: String,
    message: String,
}

impl FailuresPage {
    pub(super) fn of(folder: &Path) -> FailuresPage {
        let folder = folder.to_path_buf();
        FailuresPage { folder, known: None, of: None, look: None, next: Instant::now() }
    }

    /// Takes what a look has found, and begins another one if so many failed runs are news.
    pub(super) fn refresh(&mut self, failed: u64) {
        if let Some((found, since)) = &self.look {
            match found.try_recv() {
                Ok(known) => self.known = Some(known),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {}
            }
            self.next = Instant::now() + PERIOD.max(9 * since.elapsed());
            self.look = None;
        }
        if self.of == Some(failed) || failed == 0 || Instant::now() < self.next {
            return;
        }
        let (found, look) = channel();
        let folder = self.folder.clone();
        let begun = thread::start("failures", move || {
            let _ = found.send(read(&folder).map_err(|error| error.to_string()));
        });
        match begun {
            Ok(_) => (self.look, self.of) = (Some((look, Instant::now())), Some(failed)),
            Err(error) => self.known = Some(Err(error.to_string())),
        }
    }

    /// The page in lines of that width.
    pub(super) fn lines(&self, failed: u64, width: u16) -> Vec<Line<'static>> {
        let plain = |text: &str| -> Vec<Line<'static>> {
            wrapped(&visible(text), width).into_iter().map(Line::from).collect()
        };
        let known = match &self.known {
            _ if failed == 0 => return plain("no run has failed"),
            None => return plain("the store is being read ..."),
            Some(Err(why)) => return plain(why),
            Some(Ok(known)) => known,
        };
        let mut lines = Vec::new();
        let mut others = known.failed;
        for kind in &known.kinds {
            others = others.saturating_sub(kind.runs);
            let first = if kind.runs == 1 { "" } else { "first " };
            let head = format!("{}, {first}task {}", things(kind.runs, "run"), kind.task);
            let room = width.saturating_sub(head.chars().count() as u16 + 2);
            let place = fitted(&kind.place, room, Fit::End);
            let bold = Style::new().add_modifier(Modifier::BOLD);
            lines.push(Line::styled(format!("{head}: {place}"), bold));
            let message = wrapped(&kind.message, width.saturating_sub(2));
            lines.extend(message.into_iter().map(|line| Line::from(format!("  {line}"))));
        }
        if others > 0 {
            let what = if others == 1 { "another message" } else { "other messages" };
            lines.extend(plain(&format!("{} with {what}", things(others, "run"))));
        }
        let list = format!("gridmpi runs {} --failed lists them all", self.folder.display());
        lines.extend(plain(&list));
        lines
    }
}

fn read(folder: &Path) -> Result<FoundFailures> {
    let reader = StoreReader::into(folder)?;
    let (failed, kinds) = reader.results.failed_runs(MOST)?;
    let shown = kinds.into_iter().map(|kind| FailureText {
        runs: kind.runs,
        task: kind.first,
        place: visible(&lookup::words(reader.nest(), kind.first).join(" ")),
        message: visible(&beginning(&kind.message, LONGEST)),
    });
    Ok(FoundFailures { failed, kinds: shown.collect() })
}

/// The title of the page.
pub(super) fn title(failed: u64, done: u64) -> String {
    format!(" failures: {} of {} ", count(failed), things(done, "run"))
}
