//! The page: a header, the progress, then workers and groups as scrollable lists, or the failures.

use std::path::Path;

use ratatui::Frame;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Gauge, Paragraph, Row, Table, Wrap};

use crate::cli::ask::standing::{self, Standing};
use crate::cli::ask::status;
use crate::cli::ask::watch::failures::{self, FailuresPage};
use crate::cli::ask::watch::fit::{self, Fit};
use crate::rank0::status::{Life, RunState};
use crate::report::text::words;
use crate::util::text::visible;

pub(super) struct Page {
    pub(super) standing: Standing,
    /// Why the file cannot be read at present.
    pub(super) trouble: Option<String>,
    failures: FailuresPage,
    /// The list that the keys scroll, and each list's scroll offset.
    list: usize,
    offsets: [usize; 3],
    /// The number of rows of each list, and of those that are visible.
    rows: [usize; 3],
    room: [usize; 3],
}

const WORKERS: usize = 0;
const GROUPS: usize = 1;
const FAILURES: usize = 2;

/// What of the cells of workers and of groups is shown where there is little room.
const OF_WORKER: [Fit; 6] = [Fit::Whole, Fit::End, Fit::Whole, Fit::Whole, Fit::Whole, Fit::End];
const OF_GROUP: [Fit; 5] = [Fit::End, Fit::Beginning, Fit::End, Fit::Whole, Fit::Whole];

impl Page {
    pub(super) fn new(standing: Standing, folder: &Path) -> Page {
        let failures = FailuresPage::of(folder);
        let [offsets, rows, room] = [[0; 3], [0; 3], [1; 3]];
        Page { standing, trouble: None, failures, list: WORKERS, offsets, rows, room }
    }

    pub(super) fn press(&mut self, key: KeyCode) {
        let (room, last) = (self.room[self.list], self.rows[self.list]);
        let offset = &mut self.offsets[self.list];
        match key {
            KeyCode::Tab | KeyCode::BackTab if self.list != FAILURES => self.list = 1 - self.list,
            KeyCode::Char('f') => {
                self.list = if self.list == FAILURES { WORKERS } else { FAILURES };
            }
            KeyCode::Esc | KeyCode::Tab | KeyCode::BackTab => self.list = WORKERS,
            KeyCode::Up | KeyCode::Char('k') => *offset = offset.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => *offset += 1,
            KeyCode::PageUp => *offset = offset.saturating_sub(room),
            KeyCode::PageDown => *offset += room,
            KeyCode::Home => *offset = 0,
            KeyCode::End => *offset = last,
            _ => {}
        }
    }

    pub(super) fn draw(&mut self, frame: &mut Frame) {
        let Rect { width, height, .. } = frame.area();
        let facts = self.facts(width);
        let stragglers = self.stragglers(width);
        let parts = self.standing.part_lines();
        let room = (height / 3).max(1) as usize;
        let [head, gauge, facts_area, parts_area, late, lists, keys] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Length(1),
            Constraint::Length(facts.len().max(4) as u16),
            Constraint::Length(parts.len().min(room) as u16),
            Constraint::Length(stragglers.len() as u16),
            Constraint::Min(3),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(self.head(), head);
        frame.render_widget(self.gauge(), gauge);
        frame.render_widget(Paragraph::new(facts), facts_area);
        frame.render_widget(part_list(&parts, room), parts_area);
        frame.render_widget(Paragraph::new(stragglers), late);
        if self.list == FAILURES {
            self.failures(frame, lists);
        } else {
            let wide = Layout::horizontal([Constraint::Percentage(55), Constraint::Percentage(45)]);
            let high = Layout::vertical([Constraint::Percentage(50), Constraint::Percentage(50)]);
            let split = if lists.width >= 130 { wide } else { high };
            let [left, right] = split.areas(lists);
            self.workers(frame, left);
            self.groups(frame, right);
        }
        let keys_line = match &self.trouble {
            Some(trouble) => Span::styled(visible(trouble), Style::new().fg(Color::Red)),
            None => {
                let keys = match self.list {
                    FAILURES => "q leaves  arrows, PgUp, PgDn scroll  f: back to the run",
                    _ => "q leaves  arrows scroll  Tab: workers/groups  f: failures",
                };
                Span::styled(keys, Style::new().add_modifier(Modifier::DIM))
            }
        };
        frame.render_widget(Line::from(keys_line), keys);
        self.trouble = None;
    }

    fn failures(&mut self, frame: &mut Frame, area: Rect) {
        let (failed, done) = (self.standing.status.failed, self.standing.status.done);
        self.failures.refresh(failed);
        let lines = self.failures.lines(failed, area.width.saturating_sub(2));
        self.scrolled(FAILURES, lines.len(), (area.height as usize).saturating_sub(2));
        let shown = lines.into_iter().skip(self.offsets[FAILURES]).take(self.room[FAILURES]);
        let block = Block::bordered()
            .title(failures::title(failed, done))
            .border_style(Style::new().fg(Color::Cyan));
        frame.render_widget(Paragraph::new(shown.collect::<Vec<_>>()).block(block), area);
    }

    /// Sets how many rows a list has and how many are visible, and keeps its offset within them.
    fn scrolled(&mut self, list: usize, rows: usize, room: usize) {
        (self.rows[list], self.room[list]) = (rows, room.max(1));
        self.offsets[list] = self.offsets[list].min(rows.saturating_sub(room.max(1)));
    }

    fn head(&self) -> Paragraph<'static> {
        let colour = match (&self.standing.life, self.standing.status.state) {
            (Life::Died(_), _) | (_, RunState::Failed | RunState::Stopped) => Color::Red,
            (Life::Silent(_), _)
            | (_, RunState::Paused | RunState::Ending | RunState::Interrupted) => Color::Yellow,
            _ => Color::Green,
        };
        let style = Style::new().fg(colour).add_modifier(Modifier::BOLD);
        let line = Line::styled(visible(&standing::headline(&self.standing)), style);
        Paragraph::new(line).wrap(Wrap { trim: true })
    }

    fn gauge(&self) -> Gauge<'static> {
        let status = &self.standing.status;
        let ratio = status.progress();
        let colour = if status.failed > 0 { Color::Yellow } else { Color::Green };
        let label = words::percent(ratio);
        Gauge::default().ratio(ratio).label(label).gauge_style(Style::new().fg(colour))
    }

    fn facts(&self, width: u16) -> Vec<Line<'static>> {
        let status = &self.standing.status;
        let going = self.standing.is_going();
        let mut facts = vec![standing::progress(&self.standing)];
        facts.extend(status::groups(status));
        facts.extend(status.slurm.as_ref().map(|slurm| slurm.line(going)));
        if going {
            facts.push(status::workers(status));
        }
        let mut lines = broken(facts, width, Style::new());
        if let Life::Died(_) = self.standing.life {
            let how = "this is how it stood last; start it again to go on".to_string();
            lines.extend(broken([how], width, Style::new().fg(Color::Red)));
        }
        lines
    }

    fn stragglers(&self, width: u16) -> Vec<Line<'static>> {
        let line = |late: &crate::rank0::status::WorkerStatus| {
            format!(
                "rank {} on {}: task {} for {}, expected {}",
                late.rank,
                late.host,
                late.task.unwrap_or_default(),
                words::seconds(late.seconds.unwrap_or_default()),
                late.expected.map(words::seconds).unwrap_or_default()
            )
        };
        let late = self.standing.status.stragglers.iter().take(3).map(line);
        broken(late, width, Style::new().fg(Color::Yellow))
    }

    fn workers(&mut self, frame: &mut Frame, area: Rect) {
        let workers = &self.standing.status.workers;
        let title = match workers.left_out {
            0 => " workers ".to_string(),
            left_out => {
                format!(" workers (those at their task longest; {} more) ", words::count(left_out))
            }
        };
        let rows = workers.list.iter().map(status::worker).collect();
        self.list(frame, area, (WORKERS, title), (&status::WORKER, &OF_WORKER), rows);
    }

    fn groups(&mut self, frame: &mut Frame, area: Rect) {
        let groups = &self.standing.status.groups;
        let score = visible(&groups.heading);
        let all = status::group_header(&score);
        let shown = (groups.open.len() + groups.latest.len()) as u64;
        let title = match groups.all.saturating_sub(shown) {
            0 => " groups ".to_string(),
            more => format!(" groups ({} more) ", words::count(more)),
        };
        let mut rows: Vec<_> =
            groups.open.iter().chain(&groups.latest).map(status::group).collect();
        let room = area.width.saturating_sub(2);
        let is_narrow = !fit::is_room(&all.map(|(name, _)| name), &rows, room);
        let columns = if is_narrow { 4 } else { 5 };
        for row in rows.iter_mut().filter(|_| is_narrow) {
            // That it is partial is seen by its runs.
            row.truncate(columns);
            row[3] = row[3].replace(" runs", "").replace(" run", "");
        }
        let (header, fits) = (&all[..columns], &OF_GROUP[..columns]);
        self.list(frame, area, (GROUPS, title), (header, fits), rows);
    }

    fn list(
        &mut self,
        frame: &mut Frame,
        area: Rect,
        (list, title): (usize, String),
        (header, fits): (&[(&str, bool)], &[Fit]),
        rows: Vec<Vec<String>>,
    ) {
        let shown = |row: Vec<String>| row.iter().map(|cell| visible(cell)).collect();
        let rows: Vec<Vec<String>> = rows.into_iter().map(shown).collect();
        self.scrolled(list, rows.len(), (area.height as usize).saturating_sub(3));
        let names: Vec<&str> = header.iter().map(|(name, _)| *name).collect();
        let widths = fit::widths(fits, &names, &rows, area.width.saturating_sub(2));
        let style = match self.list == list {
            true => Style::new().fg(Color::Cyan),
            false => Style::new(),
        };
        let rows = rows.into_iter().skip(self.offsets[list]).take(self.room[list]).map(|row| {
            let cells = row.iter().zip(&widths).zip(fits);
            Row::new(
                cells
                    .map(|((cell, width), fit)| fit::fitted(cell, *width, *fit))
                    .collect::<Vec<_>>(),
            )
        });
        let head = Row::new(names);
        let table = Table::new(rows, widths.iter().map(|width| Constraint::Length(*width)))
            .column_spacing(fit::GAP)
            .header(head.style(Style::new().add_modifier(Modifier::BOLD)))
            .block(Block::bordered().title(title).border_style(style));
        frame.render_widget(table, area);
    }
}

/// Texts in lines of that width.
fn broken(texts: impl IntoIterator<Item = String>, width: u16, style: Style) -> Vec<Line<'static>> {
    let lines = texts.into_iter().flat_map(|text| fit::wrapped(&visible(&text), width));
    lines.map(|line| Line::styled(line, style)).collect()
}

/// A line for each part, as many as there is room for.
fn part_list(parts: &[String], room: usize) -> Paragraph<'static> {
    let shown = if parts.len() > room { room - 1 } else { parts.len() };
    let mut lines: Vec<Line> =
        parts[..shown].iter().map(|part| Line::from(visible(part))).collect();
    if shown < parts.len() {
        lines.push(Line::from(format!("... {} more parts: gridmpi status", parts.len() - shown)));
    }
    Paragraph::new(lines)
}
