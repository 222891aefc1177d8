//! Positions, tick labels and colours of figures.

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::coord::types::RangedCoordf64;
use plotters::style::RGBColor;

use crate::report::beginning;
use crate::report::figures::{Axis, Scale};
use crate::util::stats::extent;

/// A string without characters that XML forbids.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { ' ' } else { c })
        .collect()
}

/// A position in axis coordinates; the drawn axes are linear.
pub(super) fn on(axis: &Axis, place: f64) -> f64 {
    if axis.scale == Scale::Log { place.log10() } else { place }
}

/// A drawn axis, with ticks at its values if they are few.
pub(super) struct DrawnAxis {
    linear: RangedCoordf64,
    ticks: Vec<f64>,
}

impl DrawnAxis {
    pub(super) fn new(axis: &Axis, from: f64, to: f64) -> DrawnAxis {
        let linear = RangedCoordf64::from(from..to);
        let ticks = match axis.named() {
            Some((places, _)) => places.into_iter().map(|place| on(axis, place)).collect(),
            None => linear.key_points(ticks(axis)),
        };
        DrawnAxis { linear, ticks }
    }
}

impl Ranged for DrawnAxis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.linear.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.linear.range()
    }
}

/// Approximate number of labels on an axis.
fn ticks(axis: &Axis) -> usize {
    match &axis.scale {
        Scale::Categories(names) => names.len().min(64) + 2,
        _ => 9,
    }
}

/// The label of a position on a drawn axis.
pub(super) fn tick(axis: &Axis, at: f64) -> String {
    if let Some((places, names)) = axis.named() {
        let here = |place: &f64| (on(axis, *place) - at).abs() < 1e-9;
        return places.iter().position(here).map_or(String::new(), |i| names[i].clone());
    }
    let whole = (at - at.round()).abs() < 1e-9;
    match &axis.scale {
        Scale::Linear => short(at),
        Scale::Log if whole => power(at.round() as i32),
        Scale::Log => {
            let decades = axis.distinct();
            let wide = decades[decades.len() - 1] / decades[0] >= 100.0;
            if wide { String::new() } else { short(10f64.powf(at)) }
        }
        Scale::Categories(names) => {
            let name = usize::try_from(at.round() as i64).ok().and_then(|i| names.get(i));
            name.filter(|_| whole).map_or(String::new(), |name| shown(&beginning(name, 14)))
        }
    }
}

fn power(exponent: i32) -> String {
    match exponent {
        0 => "1".to_string(),
        1 => "10".to_string(),
        _ => {
            let digit = |c: char| match c.to_digit(10) {
                Some(1) => '¹',
                Some(2) => '²',
                Some(3) => '³',
                Some(digit) => char::from_u32(0x2070 + digit).unwrap_or(c),
                None => '⁻',
            };
            format!("10{}", exponent.to_string().chars().map(digit).collect::<String>())
        }
    }
}

/// A number as an axis label.
pub(super) fn short(number: f64) -> String {
    let number = if number.abs() < 1e-12 { 0.0 } else { number };
    match number.abs() {
        0.0 => "0".to_string(),
        1e-3..1e5 => {
            let text = format!("{number:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_string()
        }
        _ => format!("{number:.1e}"),
    }
}

/// The lowest and highest number, with a margin.
pub(super) fn range(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    match extent(numbers) {
        (low, high) if low > high => (0.0, 1.0),
        (low, high) if low == high => (low - 0.5, high + 0.5),
        (low, high) => {
            let margin = (high - low) * 0.04;
            (low - margin, high + margin)
        }
    }
}

/// The edges of the cells around positions.
pub(super) fn edges(axis: &Axis, places: &[f64]) -> Vec<f64> {
    let at: Vec<f64> = places.iter().map(|place| on(axis, *place)).collect();
    let between = at.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
    let (first, last) = (at[0], at[at.len() - 1]);
    let before = at.get(1).map_or(first - 0.5, |second| first - (second - first) / 2.0);
    let after = at.iter().rev().nth(1).map_or(last + 0.5, |other| last + (last - other) / 2.0);
    std::iter::once(before).chain(between).chain([after]).collect()
}

pub(super) fn hex(colour: &str) -> RGBColor {
    let part = |i: usize| colour.get(i..i + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    RGBColor(part(1).unwrap_or(0), part(3).unwrap_or(0), part(5).unwrap_or(0))
}

/// The viridis colours: perceptually uniform, also in greyscale.
pub(super) fn viridis(part: f64) -> RGBColor {
    const STOPS: [(f64, f64, f64); 9] = [
        (68.0, 1.0, 84.0),
        (71.0, 45.0, 123.0),
        (59.0, 82.0, 139.0),
        (44.0, 114.0, 142.0),
        (33.0, 145.0, 140.0),
        (40.0, 174.0, 128.0),
        (94.0, 201.0, 98.0),
        (173.0, 220.0, 48.0),
        (253.0, 231.0, 37.0),
    ];
    let place = part.clamp(0.0, 1.0) * 8.0;
    let (a, b) = (STOPS[place.floor() as usize], STOPS[place.ceil() as usize]);
    let mix = |a: f64, b: f64| (a + (b - a) * place.fract()).round() as u8;
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_short_names() {
        assert_eq!([-4, 0, 1, 12].map(power), ["10⁻⁴", "1", "10", "10¹²"]);
        assert_eq!([0.1 + 0.2, 0.0, 2e7, -1e-17].map(short), ["0.3", "0", "2.0e7", "0"]);
    }

    #[test]
    fn a_few_values_are_ticks_themselves() {
        let axis = Axis { name: String::new(), scale: Scale::Log, places: vec![2.0, 8.0, 4.0] };
        let names = DrawnAxis::new(&axis, 0.0, 1.0).ticks.into_iter().map(|at| tick(&axis, at));
        assert_eq!(names.collect::<Vec<_>>(), ["2", "4", "8"]);
        let many = Axis { places: (1..=90).map(f64::from).collect(), ..axis };
        assert_eq!(DrawnAxis::new(&many, 0.0, 2.0).ticks.first(), Some(&0.0));
    }

    #[test]
    fn cells_touch() {
        let axis = Axis { name: String::new(), scale: Scale::Linear, places: Vec::new() };
        assert_eq!(edges(&axis, &[1.0, 2.0, 4.0]), [0.5, 1.5, 3.0, 5.0]);
        assert_eq!(edges(&axis, &[7.0]), [6.5, 7.5]);
    }
}
