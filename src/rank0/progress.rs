//! Progress on stderr: a bar on a terminal, otherwise a log line from time to time (mpirun makes stderr a
//! pipe).

use std::time::Duration;

use crate::master::Master;
use crate::util::text::{runs_of, things};

/// When the first line is logged, and the longest time between lines.
const FIRST_LINE: Duration = Duration::from_secs(5);
const LONGEST_GAP: Duration = Duration::from_secs(60);

/// A task that runs longer than this is named.
const LONG: Duration = Duration::from_secs(60);

/// Shows the progress of a job.
pub(crate) struct Progress {
    next: Duration,
    gap: Duration,
}

impl Progress {
    /// With `bar` it is a bar, if stderr is a terminal.
    pub(crate) fn new(tasks: u64, bar: bool) -> Progress {
        let next = if bar && bar::start(tasks) { Duration::ZERO } else { FIRST_LINE };
        Progress { next, gap: FIRST_LINE }
    }

    /// Shows the progress if an update is due.
    pub(crate) fn show(&mut self, now: Duration, master: &Master) {
        if now < self.next {
            return;
        }
        if let Some(next) = bar::show(master.tally(), master.goal()) {
            self.next = now + next;
            return;
        }
        self.gap = (self.gap * 2).min(LONGEST_GAP);
        self.next = now + self.gap;
        let tally = master.tally();
        let here = tally.done - tally.recalled;
        let rate = here as f64 / now.as_secs_f64();
        let left = match here {
            0 => "time left unknown".to_string(),
            _ => {
                let seconds = master.goal().saturating_sub(tally.done) as f64 / rate;
                let most = if tally.skipped > 0 { "at most " } else { "" };
                format!("{most}{:.0?} left", Duration::from_secs(seconds.ceil() as u64))
            }
        };
        let longest = master.busy().min_by_key(|(_, _, since)| *since);
        let slow = longest.filter(|(_, _, since)| now.saturating_sub(*since) > LONG);
        let slow = slow.map_or(String::new(), |(rank, task, since)| {
            let seconds = now.saturating_sub(since).as_secs();
            format!("; rank {rank} has been running task {task} for {seconds} s")
        });
        let finals = match tally.finals {
            0 => String::new(),
            made => format!(", {} made", things(made, "final call")),
        };
        let runs = match tally.skipped {
            skipped if skipped > 0 && !master.is_partly_wanted() => {
                runs_of(tally.done, skipped, master.tasks())
            }
            _ => format!("{} of {}", tally.done, things(master.goal(), "run")),
        };
        log::info!("{runs}, {} failed{finals}, {rate:.1}/s, {left}{slow}", tally.failed);
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        bar::finish();
    }
}

#[cfg(feature = "cli")]
pub(crate) mod bar {
    //! The bar on a terminal.

    use std::io::{IsTerminal, Write};
    use std::sync::OnceLock;
    use std::time::Duration;

    use indicatif::{ProgressBar, ProgressStyle};

    use crate::model::Tally;

    /// The bar, if there is one. Log lines must not overwrite it.
    static BAR: OnceLock<ProgressBar> = OnceLock::new();

    const REDRAW: Duration = Duration::from_millis(100);

    /// Shows a bar if stderr is a terminal; returns whether it is.
    pub(crate) fn start(tasks: u64) -> bool {
        if !std::io::stderr().is_terminal() {
            return false;
        }
        BAR.get_or_init(|| of_runs(tasks));
        true
    }

    pub(crate) fn of_runs(tasks: u64) -> ProgressBar {
        let style = "{bar:30} {human_pos} of {human_len} runs, {per_sec}, {eta} left{msg}";
        let style = ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar());
        ProgressBar::new(tasks).with_style(style)
    }

    /// Redraws the bar, if there is one; returns the time until the next redraw.
    pub(crate) fn show(tally: Tally, goal: u64) -> Option<Duration> {
        let bar = BAR.get()?;
        bar.set_length(goal);
        bar.set_position(tally.done);
        let mut message = String::new();
        for (number, what) in [(tally.failed, "failed"), (tally.skipped, "skipped")] {
            if number > 0 {
                message += &format!(", {number} {what}");
            }
        }
        if !message.is_empty() {
            bar.set_message(message);
        }
        Some(REDRAW)
    }

    pub(crate) fn finish() {
        if let Some(bar) = BAR.get() {
            bar.finish_and_clear();
        }
    }

    /// Writes log lines to stderr without disturbing the bar.
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
}

#[cfg(not(feature = "cli"))]
mod bar {
    //! Without the command line there is no bar: the terminal belongs to the user's program.

    use std::time::Duration;

    use crate::model::Tally;

    pub(crate) fn start(_: u64) -> bool {
        false
    }

    pub(crate) fn show(_: Tally, _: u64) -> Option<Duration> {
        None
    }

    pub(crate) fn finish() {}
}
