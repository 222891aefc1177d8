//! Draws a figure: labelled axes, a legend, colours that print well.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::beginning;
use crate::report::figures::axes::{DrawnAxis, edges, hex, on, range, short, shown, tick, viridis};
use crate::report::figures::{Axis, Scale};
use crate::util::error::{Error, Result};
use crate::util::stats::extent;

/// The axes and labels of a figure.
pub(super) struct Paper<'a> {
    pub(super) x: &'a Axis,
    pub(super) y: &'a str,
    pub(super) width: u32,
    pub(super) height: u32,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Style {
    Line,
    DottedLine,
    Dots,
}

/// A line and its best point.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) colour: &'static str,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) style: Style,
    pub(super) best: Option<(f64, f64)>,
    /// Where points were stopped early, which have no score.
    pub(super) stopped: Vec<f64>,
}

/// Points that are marked in a heat map.
#[derive(Default)]
pub(super) struct MarkedPoints<'a> {
    pub(super) best: Option<(f64, f64)>,
    /// Those that were stopped early.
    pub(super) stopped: &'a [(f64, f64)],
}

/// A label, a colour, and the lower and upper edges.
pub(super) type Band<'a> = (&'a str, &'static str, Vec<(f64, f64)>, Vec<(f64, f64)>);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawResult = std::result::Result<(), Box<dyn std::error::Error>>;

const FONT: &str = "sans-serif";
const SMALL: u32 = 15;
const LEGEND: u32 = 170;

impl Paper<'_> {
    /// Lines, with bands behind them.
    pub(super) fn lines(&self, bands: &[Band], series: Vec<Series>) -> Result<String> {
        let on = |place: f64| on(self.x, place);
        let all = || {
            let edges = bands.iter().flat_map(|(_, _, low, high)| low.iter().chain(high));
            series.iter().flat_map(|s| &s.points).chain(edges).filter(|point| point.1.is_finite())
        };
        let xs = range(all().map(|point| on(point.0)).chain(self.x.places.iter().map(|x| on(*x))));
        let mut ys = range(all().map(|point| point.1));
        if series.iter().any(|line| !line.stopped.is_empty()) {
            // Room below all scores, with a row for each line.
            ys.0 -= (ys.1 - ys.0) * 0.03 * (series.len() + 1) as f64;
        }
        let named = bands.len() + series.len() > 1;
        self.draw(|area| {
            let (plot, legend) =
                area.split_horizontally(self.width - if named { LEGEND } else { 10 });
            let mut chart = ChartBuilder::on(&plot)
                .margin(12)
                .x_label_area_size(52)
                .y_label_area_size(68)
                .build_cartesian_2d(DrawnAxis::new(self.x, xs.0, xs.1), ys.0..ys.1)?;
            chart
                .configure_mesh()
                .disable_x_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(hex("#e5e5e5"))
                .x_desc(shown(&self.x.name))
                .y_desc(shown(self.y))
                .y_labels(8)
                .x_label_formatter(&|x| tick(self.x, *x))
                .y_label_formatter(&|y| short(*y))
                .label_style((FONT, SMALL))
                .axis_desc_style((FONT, SMALL + 2))
                .draw()?;
            for (_, colour, low, high) in bands {
                let edge = low.iter().chain(high.iter().rev()).filter(|point| point.1.is_finite());
                let edge: Vec<(f64, f64)> = edge.map(|point| (on(point.0), point.1)).collect();
                chart.draw_series([Polygon::new(edge, hex(colour).filled())])?;
            }
            for (row, line) in series.iter().enumerate() {
                let colour = hex(line.colour);
                let height = ys.0 + (ys.1 - ys.0) * (0.02 + 0.03 * row as f64);
                let hollow = |x: &f64| Circle::new((on(*x), height), 4, colour.stroke_width(1));
                chart.draw_series(line.stopped.iter().map(hollow))?;
                // A missing score interrupts the line.
                for part in line.points.split(|point| !point.1.is_finite()) {
                    let points: Vec<(f64, f64)> = part.iter().map(|p| (on(p.0), p.1)).collect();
                    if line.style != Style::Dots {
                        chart
                            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
                    }
                    if line.style != Style::Line || points.len() == 1 {
                        let size = if line.style == Style::Dots { 4 } else { 2 };
                        chart.draw_series(
                            points.iter().map(|p| Circle::new(*p, size, colour.filled())),
                        )?;
                    }
                }
                if let Some((x, y)) = line.best.filter(|best| best.1.is_finite()) {
                    let at = (on(x), y);
                    chart.draw_series([Circle::new(at, 7, WHITE.filled())])?;
                    chart.draw_series([Circle::new(at, 7, colour.stroke_width(3))])?;
                }
            }
            if !named {
                return Ok(());
            }
            let mut top = 24;
            let bands = bands.iter().map(|(name, colour, ..)| (*name, *colour, 12));
            for (name, colour, thick) in
                series.iter().map(|s| (s.name.as_str(), s.colour, 2)).chain(bands)
            {
                swatch(&legend, name, (colour, thick), &mut top)?;
            }
            if series.iter().any(|s| s.best.is_some()) {
                legend.draw(&Circle::new((16, top), 6, BLACK.stroke_width(2)))?;
                text(&legend, "best", (34, top), HPos::Left, SMALL - 1)?;
                top += 22;
            }
            if series.iter().any(|s| !s.stopped.is_empty()) {
                legend.draw(&Circle::new((16, top), 4, BLACK.stroke_width(1)))?;
                text(&legend, "stopped early", (34, top), HPos::Left, SMALL - 1)?;
            }
            Ok(())
        })
    }

    /// A heat map with a colour bar.
    pub(super) fn map(
        &self,
        y: &Axis,
        (xs, ys): (&[f64], &[f64]),
        cells: &[Vec<f64>],
        marks: MarkedPoints,
        (title, of): (&str, &str),
        high_is_bright: bool,
    ) -> Result<String> {
        let finite = cells.iter().flatten().copied().filter(|value| value.is_finite());
        let (low, high) = extent(finite);
        let colour = |value: f64| {
            let part = if high > low { (value - low) / (high - low) } else { 0.5 };
            viridis(if high_is_bright { part } else { 1.0 - part })
        };
        let (columns, rows) = (edges(self.x, xs), edges(y, ys));
        // Unlabelled rows are counted from the top.
        let (side, height) = match y.name.is_empty() {
            true => (110, rows[ys.len()]..rows[0]),
            false => (72, rows[0]..rows[ys.len()]),
        };
        self.draw(|area| {
            let (plot, bar) = area.split_horizontally(self.width - 110);
            let mut chart = ChartBuilder::on(&plot)
                .margin(12)
                .caption(shown(title), (FONT, SMALL + 1))
                .x_label_area_size(52)
                .y_label_area_size(side)
                .build_cartesian_2d(
                    DrawnAxis::new(self.x, columns[0], columns[xs.len()]),
                    DrawnAxis::new(y, height.start, height.end),
                )?;
            for (row, line) in cells.iter().enumerate() {
                for (column, value) in line.iter().enumerate() {
                    let fill = if value.is_finite() { colour(*value) } else { hex("#d8d8d8") };
                    let corners =
                        [(columns[column], rows[row]), (columns[column + 1], rows[row + 1])];
                    chart.draw_series([Rectangle::new(corners, fill.filled())])?;
                }
            }
            chart
                .configure_mesh()
                .disable_mesh()
                .x_desc(shown(&self.x.name))
                .y_desc(shown(&y.name))
                .x_label_formatter(&|x| tick(self.x, *x))
                .y_label_formatter(&|place| tick(y, *place))
                .label_style((FONT, SMALL))
                .axis_desc_style((FONT, SMALL + 2))
                .draw()?;
            for (x, place) in marks.stopped {
                let at = (on(self.x, *x), on(y, *place));
                chart.draw_series([Circle::new(at, 4, hex("#777777").stroke_width(1))])?;
            }
            if let Some((best_x, best_y)) = marks.best {
                let at = (on(self.x, best_x), on(y, best_y));
                chart.draw_series([Circle::new(at, 7, WHITE.stroke_width(4))])?;
                chart.draw_series([Circle::new(at, 7, hex("#D55E00").stroke_width(2))])?;
            }
            if low > high {
                return Ok(());
            }
            let (top, bottom) = (40, self.height as i32 - 66);
            for i in 0..100 {
                let at = |i: i32| bottom - (bottom - top) * i / 100;
                let value = low + (high - low) * (f64::from(i) + 0.5) / 100.0;
                bar.draw(&Rectangle::new([(8, at(i + 1)), (24, at(i))], colour(value).filled()))?;
            }
            for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
                let y = bottom - ((bottom - top) as f64 * part) as i32;
                text(&bar, &short(low + (high - low) * part), (30, y), HPos::Left, SMALL - 1)?;
            }
            text(&bar, of, (100, 18), HPos::Right, SMALL - 1)
        })
    }

    /// Bars in rows, each with start and end in seconds, and a legend of their colours.
    pub(super) fn bars(
        &self,
        rows: &[String],
        bars: &[(usize, f64, f64, &str)],
        meaning: &[(String, &str)],
    ) -> Result<String> {
        let end = self.x.places[1].max(1e-9);
        self.draw(|area| {
            let beside = if meaning.is_empty() { 10 } else { LEGEND };
            let (plot, legend) = area.split_horizontally(self.width - beside);
            let names = Axis {
                name: String::new(),
                scale: Scale::Categories(rows.to_vec()),
                places: (0..rows.len()).map(|row| row as f64).collect(),
            };
            let low = rows.len() as f64 - 0.5;
            let mut chart = ChartBuilder::on(&plot)
                .margin(12)
                .x_label_area_size(52)
                .y_label_area_size(110)
                .build_cartesian_2d(0.0..end, DrawnAxis::new(&names, low, -0.5))?;
            chart
                .configure_mesh()
                .disable_mesh()
                .x_desc(&self.x.name)
                .x_label_formatter(&|x| short(*x))
                .y_label_formatter(&|row| tick(&names, *row))
                .label_style((FONT, SMALL))
                .axis_desc_style((FONT, SMALL + 2))
                .draw()?;
            for (row, from, to, colour) in bars {
                let (high, low) = (*row as f64 - 0.4, *row as f64 + 0.4);
                let corners = [(*from, high), (*to, low)];
                chart.draw_series([Rectangle::new(corners, hex(colour).filled())])?;
                if to - from > end / 300.0 {
                    chart.draw_series([Rectangle::new(corners, WHITE.stroke_width(1))])?;
                }
            }
            let mut top = 24;
            for (name, colour) in meaning {
                swatch(&legend, name, (colour, 12), &mut top)?;
            }
            Ok(())
        })
    }

    fn draw(&self, draw: impl FnOnce(&Area) -> DrawResult) -> Result<String> {
        let mut svg = String::new();
        let drawn = {
            let area =
                SVGBackend::with_string(&mut svg, (self.width, self.height)).into_drawing_area();
            let whole = area.fill(&WHITE).map_err(Into::into).and_then(|()| draw(&area));
            whole.and_then(|()| Ok(area.present()?))
        };
        drawn.map_err(|error| Error::unexpected(format!("a figure cannot be drawn: {error}")))?;
        Ok(svg)
    }
}

/// A legend entry: a colour, its thickness in pixels, and a label.
fn swatch(legend: &Area, name: &str, (colour, thick): (&str, i32), top: &mut i32) -> DrawResult {
    let corners = [(4, *top - thick / 2), (28, *top + thick / 2 + 1)];
    legend.draw(&Rectangle::new(corners, hex(colour).filled()))?;
    text(legend, &beginning(name, 19), (34, *top), HPos::Left, SMALL - 1)?;
    *top += 22;
    Ok(())
}

fn text(area: &Area, words: &str, at: (i32, i32), side: HPos, size: u32) -> DrawResult {
    let style = (FONT, size).into_text_style(area).pos(Pos::new(side, VPos::Center));
    Ok(area.draw(&Text::new(shown(words), at, style))?)
}
