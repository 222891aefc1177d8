//! `gridmpi watch`: a terminal page that follows a run through its status file, on any machine that can read
//! the folder. Read-only.

mod failures;
mod fit;
mod page;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

#[cfg(feature = "jobs")]
use crate::cli::ask::parts::{self, PartsLiveness};
use crate::cli::ask::standing::Standing;
use crate::cli::ask::status;
use crate::rank0::status::{Life, Liveness};
use crate::util::error::{Error, Exit, Result};
use crate::util::signals;
use page::Page;

/// How often the file is read, and how often the keyboard is polled.
const PERIOD: Duration = Duration::from_secs(1);
const KEYS: Duration = Duration::from_millis(100);

#[derive(Args)]
#[command(after_help = "\
Keys: q or Ctrl-C quits. The arrow keys, PgUp, PgDn, Home and End scroll. Tab switches between \
workers and groups. f shows the messages of failed runs, the commonest first, and goes back.

status.json in the results folder is read, which rank 0 writes about once a second, and for the \
failures the store, now and then; the run is not disturbed.

Example:
  gridmpi watch results/NAME")]
pub(in crate::cli) struct Arguments {
    /// Results folder
    folder: PathBuf,
}

pub(in crate::cli) fn watch(arguments: &Arguments) -> Result<Exit> {
    let folder = &arguments.folder;
    // Report errors of the folder before switching the terminal to the page.
    let first = status::stand(folder)?;
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Error::input(
            "watch draws a page in a terminal, and this is none; `status` prints the same once",
        ));
    }
    let no_terminal = |error| Error::unexpected(format!("the terminal cannot be used: {error}"));
    signals::take();
    signals::set_consumed(true);
    // This also restores the terminal after a panic.
    let mut terminal = ratatui::try_init().map_err(no_terminal)?;
    let followed = follow(&mut terminal, folder, first);
    ratatui::restore();
    followed
}

/// Draws until the user quits or the folder disappears.
fn follow(terminal: &mut DefaultTerminal, folder: &Path, first: Standing) -> Result<Exit> {
    let failed = |error: std::io::Error| Error::unexpected(format!("the terminal failed: {error}"));
    let mut liveness = Followed::of(folder);
    let mut page = Page::new(first, folder);
    let mut read = Instant::now();
    loop {
        terminal.draw(|frame| page.draw(frame)).map_err(failed)?;
        let due = Instant::now() + KEYS;
        while event::poll(due.saturating_duration_since(Instant::now())).map_err(failed)? {
            if let Event::Key(key) = event::read().map_err(failed)?
                && key.kind == KeyEventKind::Press
            {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Char('q') => return Ok(Exit::Complete),
                    KeyCode::Char('c') if control => return Ok(Exit::Complete),
                    code => page.press(code),
                }
            }
        }
        if signals::asked().is_some() {
            return Ok(Exit::Complete);
        }
        if read.elapsed() >= PERIOD {
            read = Instant::now();
            refresh(&mut liveness, folder, &mut page)?;
        }
    }
}

/// What is followed: the status file of the run, and those of its parts.
struct Followed {
    run: Liveness,
    #[cfg(feature = "jobs")]
    parts: PartsLiveness,
}

impl Followed {
    fn of(folder: &Path) -> Followed {
        Followed {
            run: Liveness::of(folder),
            #[cfg(feature = "jobs")]
            parts: PartsLiveness::default(),
        }
    }
}

/// Reads the current state of the run.
fn refresh(followed: &mut Followed, folder: &Path, page: &mut Page) -> Result<()> {
    #[cfg(feature = "jobs")]
    match parts::stand(folder, &mut followed.parts, false) {
        Ok(Some(standing)) => {
            page.standing = standing;
            return Ok(());
        }
        Ok(None) if page.standing.has_parts() && folder.is_dir() => {
            // They were merged.
            match status::stand(folder) {
                Ok(standing) => page.standing = standing,
                Err(error) => page.trouble = Some(error.to_string()),
            }
            return Ok(());
        }
        Ok(None) => {}
        Err(error) => {
            page.trouble = Some(error.to_string());
            return Ok(());
        }
    }
    match followed.run.check() {
        Ok(Some((status, Life::Ended))) => {
            // The final state comes from the store, which is read once.
            if page.standing.life != Life::Ended || page.standing.status.written != status.written {
                page.standing = status::stand(folder)?;
            }
        }
        Ok(Some((status, life))) => {
            page.standing = Standing::new(status, life);
        }
        Ok(None) if !folder.is_dir() => {
            let place = folder.display();
            return Err(Error::unexpected(format!("results folder {place}: is gone")));
        }
        // Without the status file, there is a store, or one of them will exist in a moment.
        Ok(None) => {
            if let (true, Ok(standing)) = (page.standing.life != Life::Ended, status::stand(folder))
            {
                page.standing = standing;
            }
        }
        Err(error) if !folder.is_dir() => return Err(error),
        Err(error) => page.trouble = Some(error.to_string()),
    }
    Ok(())
}
