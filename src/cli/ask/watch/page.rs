//! The page: a header, the progress, then workers and groups as scrollable lists.

use ratatui::Frame;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Gauge, Paragraph, Row, Table, Wrap};

use crate::cli::ask::standing::{self, Standing};
use crate::cli::ask::status;
use crate::rank0::status::{Life, RunState};
use crate::report::text::words;
use crate::util::text::visible;

pub(super) struct Page {
    pub(super) standing: Standing,
    /// Why the file cannot be read at present.
    pub(super) trouble: Option<String>,
    /// The list that the keys scroll, and each list's scroll offset.
    list: usize,
    offsets: [usize; 2],
    /// The number of visible rows of each list.
    room: [usize; 2],
}

/// Maximum width of a column, unless it takes the remaining room. (characters)
const WIDEST: usize = 40;

const WORKERS: usize = 0;
const GROUPS: usize = 1;

impl Page {
    pub(super) fn new(standing: Standing) -> Page {
        Page { standing, trouble: None, list: WORKERS, offsets: [0; 2], room: [1; 2] }
    }

    fn rows(&self, list: usize) -> usize {
        let status = &self.standing.status;
        match list {
            WORKERS => status.workers.list.len(),
            _ => status.groups.open.len() + status.groups.latest.len(),
        }
    }

    pub(super) fn press(&mut self, key: KeyCode) {
        let (room, last) = (self.room[self.list], self.rows(self.list));
        let offset = &mut self.offsets[self.list];
        match key {
            KeyCode::Tab | KeyCode::BackTab => self.list = 1 - self.list,
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
        for list in [WORKERS, GROUPS] {
            let most = self.rows(list).saturating_sub(self.room[list]);
            self.offsets[list] = self.offsets[list].min(most);
        }
        let status = &self.standing.status;
        let late = status.stragglers.len().min(3) as u16;
        let facts = 4 + u16::from(status.slurm.is_some());
        let parts = self.standing.part_lines();
        let room = (frame.area().height / 3).max(1) as usize;
        let [head, gauge, facts, parts_area, stragglers, lists, keys] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Length(1),
            Constraint::Length(facts),
            Constraint::Length(parts.len().min(room) as u16),
            Constraint::Length(late),
            Constraint::Min(3),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(self.head(), head);
        frame.render_widget(self.gauge(), gauge);
        frame.render_widget(self.facts(), facts);
        frame.render_widget(part_list(&parts, room), parts_area);
        frame.render_widget(self.stragglers(), stragglers);
        let wide = Layout::horizontal([Constraint::Percentage(55), Constraint::Percentage(45)]);
        let high = Layout::vertical([Constraint::Percentage(50), Constraint::Percentage(50)]);
        let split = if lists.width >= 130 { wide } else { high };
        let [left, right] = split.areas(lists);
        self.workers(frame, left);
        self.groups(frame, right);
        let keys_line = match &self.trouble {
            Some(trouble) => Span::styled(visible(trouble), Style::new().fg(Color::Red)),
            None => Span::styled(
                "q leaves   arrows, PgUp, PgDn scroll   Tab: workers / groups",
                Style::new().add_modifier(Modifier::DIM),
            ),
        };
        frame.render_widget(Line::from(keys_line), keys);
        self.trouble = None;
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
        let ratio = (status.done as f64 / status.tasks.max(1) as f64).clamp(0.0, 1.0);
        let colour = if status.failed > 0 { Color::Yellow } else { Color::Green };
        let label = words::percent(ratio);
        Gauge::default().ratio(ratio).label(label).gauge_style(Style::new().fg(colour))
    }

    fn facts(&self) -> Paragraph<'static> {
        let status = &self.standing.status;
        let mut lines = vec![Line::from(standing::progress(&self.standing))];
        lines.extend(status::groups(status).map(Line::from));
        let going = self.standing.is_going();
        lines.extend(status.slurm.as_ref().map(|slurm| Line::from(visible(&slurm.line(going)))));
        if going {
            lines.push(Line::from(status::workers(status)));
        }
        if let Life::Died(_) = self.standing.life {
            let how = "this is how it stood last; start it again to go on";
            lines.push(Line::styled(how, Style::new().fg(Color::Red)));
        }
        Paragraph::new(lines)
    }

    fn stragglers(&self) -> Paragraph<'static> {
        let line = |late: &crate::rank0::status::WorkerStatus| {
            let text = format!(
                "rank {} on {}: task {} for {}, expected {}",
                late.rank,
                late.host,
                late.task.unwrap_or_default(),
                words::seconds(late.seconds.unwrap_or_default()),
                late.expected.map(words::seconds).unwrap_or_default()
            );
            Line::styled(visible(&text), Style::new().fg(Color::Yellow))
        };
        Paragraph::new(self.standing.status.stragglers.iter().map(line).collect::<Vec<_>>())
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
        self.list(frame, area, (WORKERS, title), (&status::WORKER, &[5]), rows);
    }

    fn groups(&mut self, frame: &mut Frame, area: Rect) {
        let groups = &self.standing.status.groups;
        let shown = (groups.open.len() + groups.latest.len()) as u64;
        let title = match groups.all.saturating_sub(shown) {
            0 => " groups ".to_string(),
            more => format!(" groups ({} more) ", words::count(more)),
        };
        let rows = groups.open.iter().chain(&groups.latest).map(status::group).collect();
        self.list(frame, area, (GROUPS, title), (&status::GROUP, &[0, 2]), rows);
    }

    fn list(
        &mut self,
        frame: &mut Frame,
        area: Rect,
        (list, title): (usize, String),
        (header, wide): (&[(&'static str, bool)], &[usize]),
        rows: Vec<Vec<String>>,
    ) {
        let shown = |row: Vec<String>| row.iter().map(|cell| visible(cell)).collect();
        let rows: Vec<Vec<String>> = rows.into_iter().map(shown).collect();
        // The coordinate columns get the room that the other columns leave.
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([header[column].0.len()]).max().unwrap_or(0).min(WIDEST) as u16
        };
        let widths = (0..header.len()).map(|column| match wide.contains(&column) {
            true => Constraint::Fill(1),
            false => Constraint::Length(width(column)),
        });
        let widths: Vec<Constraint> = widths.collect();
        self.room[list] = (area.height as usize).saturating_sub(3).max(1);
        let style = match self.list == list {
            true => Style::new().fg(Color::Cyan),
            false => Style::new(),
        };
        let rows = rows.into_iter().skip(self.offsets[list]).take(self.room[list]).map(Row::new);
        let head = Row::new(header.iter().map(|(name, _)| *name));
        let table = Table::new(rows, widths)
            .column_spacing(2)
            .header(head.style(Style::new().add_modifier(Modifier::BOLD)))
            .block(Block::bordered().title(title).border_style(style));
        frame.render_widget(table, area);
    }
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
