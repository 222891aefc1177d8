//! An axis of a chart: a parameter's value per point, and a linear, logarithmic or categorical scale.

use std::collections::HashMap;

use crate::model::Value;
use crate::util::stats::sorted;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    pub(crate) name: String,
    pub(crate) scale: Scale,
    /// The position of each point of the parameters: a number, or a category's index.
    pub(crate) places: Vec<f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scale {
    Linear,
    Log,
    /// The names of positions 0, 1, 2, ...
    Categories(Vec<String>),
}

/// Positive values that span this factor get a logarithmic scale.
const WIDE: f64 = 1000.0;

/// An axis labels each value if there are at most this many, and none is longer than this. (characters)
const NAMED: usize = 10;
const SHORT: usize = 6;

impl Axis {
    /// The axes that vary, of named values by point; at least one, even if there is a single point.
    pub(crate) fn all(columns: Vec<(String, Vec<Value>)>) -> Vec<Axis> {
        let axis = |(name, values): (String, Vec<Value>)| {
            let (scale, places) = scale(&values);
            Axis { name, scale, places }
        };
        let mut axes: Vec<Axis> = columns.into_iter().map(axis).collect();
        let varies = |axis: &Axis| axis.places.iter().any(|place| *place != axis.places[0]);
        let first = axes.first().cloned();
        axes.retain(varies);
        if axes.is_empty() { first.into_iter().collect() } else { axes }
    }

    pub(crate) fn words(&self, place: f64) -> String {
        match &self.scale {
            Scale::Categories(names) => names[place as usize].clone(),
            _ => crate::report::in_words(&Value::Float(place)),
        }
    }

    /// Positions and their labels, if there is room to label each.
    pub(crate) fn named(&self) -> Option<(Vec<f64>, Vec<String>)> {
        let places = self.distinct();
        let on = |place: &f64| if self.scale == Scale::Log { place.ln() } else { *place };
        let (low, high) = (on(places.first()?), on(places.last()?));
        let apart = |pair: &[f64]| on(&pair[1]) - on(&pair[0]) >= (high - low) / NAMED as f64;
        let name = |place: &f64| if *place == 0.0 { "0".to_string() } else { self.words(*place) };
        let names: Vec<String> = places.iter().map(name).collect();
        let fits = places.len() <= NAMED
            && places.windows(2).all(apart)
            && names.iter().all(|name| name.len() <= SHORT);
        (fits && !matches!(self.scale, Scale::Categories(_))).then_some((places, names))
    }

    /// Bins the positions into at most `most` bins of equal width on the axis's scale. Returns the bins'
    /// centres and the bin of each point. Categories are not binned.
    pub(crate) fn binned(&self, most: usize) -> (Vec<f64>, Vec<usize>) {
        let distinct = self.distinct();
        if distinct.len() <= most || matches!(self.scale, Scale::Categories(_)) {
            let bin = |place: &f64| distinct.partition_point(|other| other < place);
            let bins = self.places.iter().map(bin).collect();
            return (distinct, bins);
        }
        let log = self.scale == Scale::Log;
        let on = |place: f64| if log { place.ln() } else { place };
        let (low, high) = (on(distinct[0]), on(distinct[distinct.len() - 1]));
        let width = (high - low) / most as f64;
        let middle = |i: usize| low + (i as f64 + 0.5) * width;
        let middles = (0..most).map(|i| if log { middle(i).exp() } else { middle(i) }).collect();
        let bin = |place: &f64| (((on(*place) - low) / width) as usize).min(most - 1);
        (middles, self.places.iter().map(bin).collect())
    }

    /// The distinct positions, in order.
    pub(crate) fn distinct(&self) -> Vec<f64> {
        let mut places = sorted(self.places.iter().copied());
        places.dedup();
        places
    }
}

/// The scale that suits the values, and their positions on it. Values that are not all finite numbers become
/// categories.
fn scale(values: &[Value]) -> (Scale, Vec<f64>) {
    let numbers: Option<Vec<f64>> =
        values.iter().map(|value| value.as_f64().filter(|number| number.is_finite())).collect();
    if let Some(numbers) = numbers {
        let scale = if is_logarithmic(&numbers) { Scale::Log } else { Scale::Linear };
        return (scale, numbers);
    }
    let mut names = Vec::new();
    let mut known = HashMap::new();
    let places = values.iter().map(|value| {
        let name = crate::report::in_words(value);
        *known.entry(name.clone()).or_insert_with(|| {
            names.push(if name.is_empty() { "(none)".to_string() } else { name });
            (names.len() - 1) as f64
        })
    });
    let places = places.collect();
    (Scale::Categories(names), places)
}

/// Whether all numbers are positive, and either evenly spaced by ratio or spread over a wide range.
fn is_logarithmic(numbers: &[f64]) -> bool {
    let mut numbers = sorted(numbers.iter().copied());
    numbers.dedup();
    let (Some(low), Some(high)) = (numbers.first(), numbers.last()) else { return false };
    if *low <= 0.0 || numbers.len() < 2 {
        return false;
    }
    let ratios = || numbers.windows(2).map(|pair| pair[1] / pair[0]);
    let uneven = ratios().fold(0.0, f64::max) / ratios().fold(f64::INFINITY, f64::min);
    // 1, 3, 10, 30 counts as even.
    let even = uneven < 1.0 + 1e-6 || (uneven <= 1.5 && high / low >= 10.0);
    high / low >= WIDE || (even && numbers.len() > 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(numbers: &[f64]) -> Vec<Value> {
        numbers.iter().map(|number| Value::Float(*number)).collect()
    }

    #[test]
    fn a_scale_follows_from_the_values() {
        assert_eq!(scale(&floats(&[0.1, 1.0, 10.0])).0, Scale::Log);
        assert_eq!(scale(&floats(&[1.0, 10.0, 0.1, 1.0])).0, Scale::Log);
        assert_eq!(scale(&floats(&[0.3, 7.0, 1e-5])).0, Scale::Log);
        assert_eq!(scale(&floats(&[0.003, 0.01, 0.03, 0.1])).0, Scale::Log);
        assert_eq!(scale(&floats(&[1.0, 2.0, 3.0])).0, Scale::Linear);
        let to_twelve: Vec<f64> = (1..=12).map(f64::from).collect();
        assert_eq!(scale(&floats(&to_twelve)).0, Scale::Linear);
        assert_eq!(scale(&floats(&[0.0, 1e6])).0, Scale::Linear);
        assert_eq!(scale(&floats(&[-1.0, 1e6])).0, Scale::Linear);
        assert_eq!(scale(&floats(&[2.0])).0, Scale::Linear);
    }

    #[test]
    fn a_few_numbers_are_named_one_by_one() {
        let named = |scale: Scale, places: &[f64]| {
            let axis = Axis { name: "x".into(), scale, places: places.to_vec() };
            axis.named().map(|(_, names)| names.join(" "))
        };
        assert_eq!(named(Scale::Log, &[2.0, 16.0, 4.0, 8.0, 4.0]).as_deref(), Some("2 4 8 16"));
        assert_eq!(named(Scale::Linear, &[1.0, 2.0, 1000.0]), None, "two labels would overlap");
        assert_eq!(named(Scale::Log, &[1.0 / 3.0, 3.0]), None, "too long");
        assert_eq!(named(Scale::Log, &(0..20).map(|i| 2f64.powi(i)).collect::<Vec<_>>()), None);
    }

    #[test]
    fn many_places_are_put_into_bins() {
        let places: Vec<f64> = (0..1000).map(|i| 10f64.powf(i as f64 / 250.0)).collect();
        let axis = Axis { name: "x".into(), scale: Scale::Log, places };
        let (middles, bins) = axis.binned(10);
        assert!((middles[0] / 10f64.powf(0.1998) - 1.0).abs() < 1e-3, "{middles:?}");
        assert_eq!((bins[0], bins[999], bins.iter().filter(|bin| **bin == 3).count()), (0, 9, 100));
        let few = Axis { scale: Scale::Linear, places: vec![3.0, 1.0, 3.0], ..axis };
        assert_eq!(few.binned(10), (vec![1.0, 3.0], vec![1, 0, 1]));
    }

    #[test]
    fn what_is_no_finite_number_makes_categories() {
        let values =
            ["rbf".into(), Value::Int(3), "rbf".into(), Value::Null, Value::Float(f64::NAN)];
        let (scale, places) = scale(&values);
        let names = ["rbf", "3", "(none)", "nan"].map(String::from).to_vec();
        assert_eq!((scale, places), (Scale::Categories(names), vec![0.0, 1.0, 0.0, 2.0, 3.0]));
        assert!(matches!(super::scale(&floats(&[1.0, f64::INFINITY])).0, Scale::Categories(_)));
    }
}
