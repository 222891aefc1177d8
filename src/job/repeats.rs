//! Equal points of one loop, which a user may not have meant: each makes tasks of its own, with the same seed.

use std::collections::HashMap;
use std::ops::Range;

use crate::model::{Points, Value};
use crate::util::text::beginning;

/// The first point that is equal to an earlier one.
struct Repeat {
    first: Value,
    again: Value,
    /// How many points have an equal one before them.
    count: u64,
}

/// What to say if some points of a loop are equal, such as 1 and 1.0; nothing if none are. Random draws may be.
pub(crate) fn equal_points(points: &Points) -> Option<String> {
    let (field, Repeat { first, again, count }) = find(points)?;
    let [first, again] = [first, again].map(|value| beginning(&value.to_json().to_string(), 80));
    let of = field.map_or(String::new(), |field| format!(" of '{field}'"));
    let equal = match first == again {
        true => format!("{again}{of} is there more than once"),
        false => format!("{first} and {again}{of} are equal"),
    };
    let more = match count {
        1 => String::new(),
        more => format!(" (and {} more)", more - 1),
    };
    Some(format!(
        "{equal}{more}; each is computed, and the same points have the same seed: leave out what is there twice, and for repeats add a loop, as in range = {{ from = 0, to = 10 }}"
    ))
}

/// The first repeat, and the parameter in whose values it is, if the points are a grid.
fn find(points: &Points) -> Option<(Option<&str>, Repeat)> {
    match points {
        Points::Grid(parameters) => parameters.iter().find_map(|parameter| {
            let (_, repeat) = find(&parameter.points)?;
            Some((Some(parameter.name.as_str()), repeat))
        }),
        Points::Linspace { count, .. } | Points::Logspace { count, .. } => {
            // Equal ones are neighbours, at an end first.
            let mut ends = [0, count.saturating_sub(2)].into_iter().filter(|i| i + 1 < *count);
            Some((None, ends.find_map(|i| among(points, i..i + 2))?))
        }
        Points::List(_) | Points::Rows { .. } | Points::Zip(_) | Points::Union(_) => {
            Some((None, among(points, 0..points.len())?))
        }
        Points::Range { .. } | Points::Rounded { .. } | Points::Random { .. } => None,
    }
}

fn among(points: &Points, range: Range<u64>) -> Option<Repeat> {
    let text = |i: u64| {
        let mut text = String::new();
        write_comparable(&points.get(i), &mut text);
        text
    };
    let known = by_text(range, text);
    let pairs = known.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    let mut equal = pairs.map(|pair| (pair[0].1, pair[1].1)).filter(|(a, b)| text(*a) == text(*b));
    let mut earliest = equal.next()?;
    let mut count = 1;
    for pair in equal {
        count += 1;
        earliest = if pair.1 < earliest.1 { pair } else { earliest };
    }
    let (first, again) = earliest;
    Some(Repeat { first: points.get(first), again: points.get(again), count })
}

/// The points that have the text of an earlier one, and how many of these there are.
pub(super) fn after_equals(count: u64, text: impl Fn(u64) -> String) -> HashMap<u64, u64> {
    let known = by_text(0..count, text);
    let alike = known.chunk_by(|a, b| a.0 == b.0);
    alike.flat_map(|same| same.iter().map(|(_, point)| *point).zip(0..).skip(1)).collect()
}

/// Points with hashes of their texts: those of the same text are neighbours, in order.
fn by_text(range: Range<u64>, text: impl Fn(u64) -> String) -> Vec<(u64, u64)> {
    let hash = |i: u64| {
        let hash = blake3::hash(text(i).as_bytes());
        u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    };
    let mut known: Vec<(u64, u64)> = range.map(|i| (hash(i), i)).collect();
    known.sort_unstable();
    known
}

/// A text that equal values have in common, and no others.
fn write_comparable(value: &Value, text: &mut String) {
    match value {
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 9e18 => {
            *text += &(*number as i64).to_string();
        }
        Value::List(values) => {
            *text += "[";
            for value in values {
                write_comparable(value, text);
                *text += ",";
            }
            *text += "]";
        }
        Value::Record(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| name);
            *text += "{";
            for (name, value) in fields {
                *text += &format!("{name:?}:");
                write_comparable(value, text);
                *text += ",";
            }
            *text += "}";
        }
        other => *text += &other.to_exact(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "jobs")]
    use crate::model::Named;

    fn list(json: &str) -> Points {
        let Value::List(values) = Value::parse(json).unwrap() else { panic!("{json}") };
        Points::List(values)
    }

    #[test]
    fn equal_points_are_found_whatever_their_type() {
        for (points, says) in [
            ("[1, 1.0, 1]", "1 and 1.0 are equal (and 1 more)"),
            ("[\"a\", \"b\", \"a\"]", "\"a\" is there more than once"),
            ("[{\"a\": 1, \"b\": 2.0}, {\"b\": 2, \"a\": 1}]", "are equal"),
            ("[[0.0], [-0.0]]", "[0.0] and [-0.0] are equal"),
            ("[null, null]", "null is there more than once"),
        ] {
            let said = equal_points(&list(points)).unwrap_or_default();
            assert!(said.contains(says), "{points}: {said}");
        }
        let infinite = |other: Value| Points::List(vec![Value::Float(f64::INFINITY), other]);
        assert!(equal_points(&infinite(Value::Float(f64::INFINITY))).is_some());
        assert_eq!(equal_points(&infinite("Infinity".into())), None);
        for points in ["[1, \"1\", true, 1.5, [1], {\"a\": 1}]", "[0.1, 0.2]", "[[1, 2], [12]]"] {
            assert_eq!(equal_points(&list(points)), None, "{points}");
        }
    }

    #[cfg(feature = "jobs")]
    #[test]
    fn every_source_but_random_draws_is_looked_at() {
        let named = |name: &str, json| Named { name: name.to_string(), points: list(json) };
        let grid = || Points::Grid(vec![named("a", "[1, 2]"), named("b", "[3, 3]")]);
        assert!(equal_points(&grid()).unwrap().contains("3 of 'b' is there more than once"));
        let zip = Points::Zip(vec![named("a", "[1, 1]"), named("b", "[3, 4]")]);
        assert_eq!(equal_points(&zip), None);
        let two = || Points::Grid(vec![named("a", "[1, 2]")]);
        let union = Points::Union(vec![two(), two()]);
        assert!(equal_points(&union).unwrap().contains("(and 1 more)"));
        for count in [1, 2, 1000] {
            let flat = Points::Linspace { from: 2.0, to: 2.0, count };
            assert_eq!(equal_points(&flat).is_some(), count > 1);
            let steps = Points::Logspace { from: 1.0, to: 10.0, count };
            assert_eq!(equal_points(&steps), None);
        }
        assert_eq!(equal_points(&Points::Range { from: 0, step: 1, count: u64::MAX / 2 }), None);
    }
}
