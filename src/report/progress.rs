//! Progress on stderr: a bar on a terminal, a line now and then elsewhere (mpirun's pipes are
//! elsewhere).

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use crate::master::Tally;

/// The bar, if there is one: log lines have to go around it.
static BAR: OnceLock<ProgressBar> = OnceLock::new();

/// How soon the first line comes, and how far apart lines are at most.
const FIRST_LINE: Duration = Duration::from_secs(5);
const LONGEST_GAP: Duration = Duration::from_secs(60);
/// How often the bar moves.
const REDRAW: Duration = Duration::from_millis(100);

/// How far a job is, for the person who waits for it.
pub(crate) struct Progress {
    tasks: u64,
    next: Duration,
    gap: Duration,
}

impl Progress {
    /// Progress of a job with that many tasks.
    pub(crate) fn new(tasks: u64) -> Progress {
        let mut next = FIRST_LINE;
        if std::io::stderr().is_terminal() {
            next = Duration::ZERO;
            let style = "{bar:30} {human_pos} of {human_len} runs, {per_sec}, {eta} left{msg}";
            let bar = BAR.get_or_init(|| ProgressBar::new(tasks));
            bar.set_style(
                ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()),
            );
        }
        Progress { tasks, next, gap: FIRST_LINE }
    }

    /// Shows how far the job is, if it is time to.
    pub(crate) fn show(&mut self, now: Duration, tally: Tally) {
        if now < self.next {
            return;
        }
        if let Some(bar) = BAR.get() {
            self.next = now + REDRAW;
            bar.set_position(tally.done);
            if tally.failed > 0 {
                bar.set_message(format!(", {} failed", tally.failed));
            }
        } else {
            self.gap = (self.gap * 2).min(LONGEST_GAP);
            self.next = now + self.gap;
            let rate = tally.done as f64 / now.as_secs_f64();
            let left = match tally.done {
                0 => "time left unknown".to_string(),
                done => {
                    let seconds = (self.tasks - done) as f64 / rate;
                    format!("{} left", HumanDuration(Duration::from_secs_f64(seconds)))
                }
            };
            log::info!(
                "{} of {} runs, {} failed, {rate:.1}/s, {left}",
                HumanCount(tally.done),
                HumanCount(self.tasks),
                tally.failed
            );
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = BAR.get() {
            bar.finish_and_clear();
        }
    }
}

/// Where log lines go: stderr, around the bar.
pub(crate) struct LogSink;

impl Write for LogSink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match BAR.get() {
            Some(bar) => bar.suspend(|| std::io::stderr().write(bytes)),
            None => std::io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
