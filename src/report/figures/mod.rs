//! Figures for a paper, as SVG: scores over the parameters, and a timeline of the workers.

mod axes;
mod paper;

use std::collections::HashSet;

use paper::{MarkedPoints, Paper, Series, Style};

use crate::report::html::{COLOURS, FAILED};
use crate::report::model::axis::{Axis, Scale};
use crate::report::model::family::{Family, Panel};
use crate::report::model::landscape::Landscape;
use crate::report::model::timeline::{COLUMNS, DRAWN, ROWS, StartTimeline};
use crate::report::{Facts, called};
use crate::util::error::Result;
use crate::util::stats::{quantile, sorted};

/// Data sets drawn as one line each; with more, as bands over all.
const LINES: usize = COLOURS.len();
/// Data sets that get a heat map each.
const MAPS: usize = 12;
/// Maximum number of values per axis; more are binned.
const CELLS: usize = 100;

/// The figures, with their file names.
pub(crate) fn draw(facts: &Facts) -> Result<Vec<(String, String)>> {
    let landscape = &facts.landscape;
    let mut figures = Vec::new();
    let mut names = HashSet::new();
    for family in &landscape.families {
        let mut all = family.panels.iter().flat_map(|panel| &panel.scores);
        if !all.any(|score| score.is_finite()) {
            continue;
        }
        let mut add = |name: String, figure: String| {
            // Families whose names differ by other characters alone do not overwrite each other.
            let mut number = 1;
            let mut file = format!("{name}.svg");
            while !names.insert(file.clone()) {
                number += 1;
                file = format!("{name}-{number}.svg");
            }
            figures.push((file, figure));
        };
        let of = if family.name.is_empty() { String::new() } else { format!(" {}", family.name) };
        for axis in &family.axes {
            let name = format!("score over {}{of}", axis.name);
            add(file_name(&name), scores(landscape, family, axis)?);
        }
        if let [x, y] = family.axes.as_slice() {
            for (i, panel) in family.panels.iter().take(MAPS).enumerate() {
                let name = file_name(&format!("score map{of} {}", i + 1));
                add(name, map(landscape, family, (x, y), panel)?);
            }
        }
    }
    if let Some(session) = facts.sessions.iter().rev().find(|session| session.attempts > 0) {
        figures.push(("timeline.svg".to_string(), timeline(facts, session)?));
    }
    Ok(figures)
}

/// A file name from a description.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' };
    name.chars().map(plain).take(80).collect()
}

/// The score over one parameter; with several parameters, the best over the others.
fn scores(landscape: &Landscape, family: &Family, axis: &Axis) -> Result<String> {
    let (places, bins) = axis.binned(CELLS * 5);
    // By bin; nothing where the data set has no point.
    let line = |panel: &Panel| -> Vec<Option<(f64, f64)>> {
        let mut groups = vec![Vec::new(); places.len()];
        panel.each().for_each(|(point, score)| groups[bins[point]].push(score));
        let folded = groups
            .into_iter()
            .zip(&places)
            .map(|(group, place)| (!group.is_empty()).then(|| (*place, landscape.fold(group))));
        folded.collect()
    };
    let one = family.axes.len() == 1;
    let mut title = match (one, landscape.decided) {
        (true, _) => landscape.score.clone(),
        (false, true) => format!("best {}", landscape.score),
        (false, false) => format!("median {}", landscape.score),
    };
    if !family.name.is_empty() {
        title += &format!(" ({})", family.name);
    }
    if landscape.partial > 0 {
        title += ", * of the points that are there";
    }
    let lines: Vec<Vec<Option<(f64, f64)>>> = family.panels.iter().map(line).collect();
    let paper = Paper { x: axis, y: &title, width: 720, height: 400 };
    let dots = matches!(axis.scale, Scale::Categories(_)) || places.len() <= 60;
    let style = match axis.scale {
        Scale::Categories(_) => Style::Dots,
        _ if dots => Style::DottedLine,
        _ => Style::Line,
    };
    if lines.len() <= LINES && landscape.left == 0 {
        let series = family.panels.iter().zip(&lines).enumerate().map(|(i, (panel, line))| {
            let best = panel.winner().map(|(best, score)| (axis.places[best], score));
            Series {
                name: panel.name.clone(),
                colour: COLOURS[i],
                points: line.iter().copied().flatten().collect(),
                style,
                best,
                stopped: match one {
                    true => panel.stopped.iter().map(|(at, _)| axis.places[*at]).collect(),
                    false => Vec::new(),
                },
            }
        });
        return paper.lines(&[], series.collect());
    }
    let at = |part: f64| -> Vec<(f64, f64)> {
        let column = |i: usize| {
            let scores = lines.iter().filter_map(|line| line[i]).map(|point| point.1);
            (places[i], quantile(&sorted(scores.filter(|score| score.is_finite())), part))
        };
        (0..places.len()).map(column).collect()
    };
    let bands =
        [("all", 0.0, "#e4e4e4"), ("middle 80%", 0.1, "#c4dcec"), ("middle 50%", 0.25, "#8fbbd9")]
            .map(|(name, part, colour)| (name, colour, at(part), at(1.0 - part)));
    let name = format!("median of {}", family.panels.len());
    let median = Series {
        name,
        colour: COLOURS[0],
        points: at(0.5),
        style,
        best: None,
        stopped: Vec::new(),
    };
    paper.lines(&bands, vec![median])
}

fn map(
    landscape: &Landscape,
    family: &Family,
    (x, y): (&Axis, &Axis),
    panel: &Panel,
) -> Result<String> {
    let ((xs, columns), (ys, rows)) = (x.binned(CELLS), y.binned(CELLS));
    let mut cells = vec![vec![Vec::new(); xs.len()]; ys.len()];
    panel.each().for_each(|(point, score)| cells[rows[point]][columns[point]].push(score));
    let fold = |row: Vec<Vec<f64>>| row.into_iter().map(|cell| landscape.fold(cell)).collect();
    let cells: Vec<Vec<f64>> = cells.into_iter().map(fold).collect();
    let best = panel.winner().map(|(best, _)| (x.places[best], y.places[best]));
    let names = [panel.name.as_str(), family.name.as_str()];
    let name = names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(": ");
    let paper = Paper { x, y: &y.name, width: 640, height: 440 };
    let stopped: Vec<(f64, f64)> =
        panel.stopped.iter().map(|(at, _)| (x.places[*at], y.places[*at])).collect();
    let marks = MarkedPoints { best, stopped: &stopped };
    paper.map(y, (&xs, &ys), &cells, marks, (&name, &landscape.score), landscape.high_is_best)
}

/// The latest start's runs, per worker.
fn timeline(facts: &Facts, session: &StartTimeline) -> Result<String> {
    let nest = facts.reader.nest();
    let height = (session.lanes.len().min(ROWS) as u32 * 22 + 90).clamp(160, 900);
    let x =
        Axis { name: "time (s)".into(), scale: Scale::Linear, places: vec![0.0, session.wall()] };
    let paper = Paper { x: &x, y: "", width: 720, height };
    if session.attempts <= DRAWN && session.lanes.len() <= ROWS {
        let several = nest.depth() > 1;
        let mut bars = Vec::new();
        for (lane, attempts) in session.lanes.iter().map(|lane| &lane.attempts).enumerate() {
            for attempt in attempts {
                let set = match several && attempt.task < nest.tasks() {
                    true => nest.point(nest.ancestor(nest.task(attempt.task), 1)) as usize,
                    false => 0,
                };
                let colour = if attempt.failed { FAILED } else { COLOURS[set % COLOURS.len()] };
                let from = attempt.started - session.begin;
                bars.push((lane, from, from + attempt.seconds, colour));
            }
        }
        let names: Vec<String> = session.lanes.iter().map(|lane| lane.name.clone()).collect();
        let outermost = &nest.loops()[0];
        let mut meaning = Vec::new();
        if several && outermost.points.len() <= COLOURS.len() as u64 {
            let points = (0..outermost.points.len()).map(|i| called(&outermost.shown(i)));
            meaning.extend(points.zip(COLOURS));
        }
        if session.every().any(|attempt| attempt.failed) {
            meaning.push(("failed".to_string(), FAILED));
        }
        return paper.bars(&names, &bars, &meaning);
    }
    let (bins, together) = session.bins(ROWS);
    let names: Vec<String> =
        session.lanes.chunks(together).map(|lanes| lanes[0].name.clone()).collect();
    let rows: Vec<f64> = (0..names.len()).map(|row| row as f64).collect();
    let width = session.wall() / COLUMNS as f64;
    let middles: Vec<f64> = (0..COLUMNS).map(|i| (i as f64 + 0.5) * width).collect();
    let y = Axis { name: String::new(), scale: Scale::Categories(names), places: rows.clone() };
    let about = if together > 1 { format!("{together} workers a row") } else { String::new() };
    paper.map(
        &y,
        (&middles, &rows),
        &bins,
        MarkedPoints::default(),
        (&about, "busy, part of the time"),
        true,
    )
}
