//! Compares two results of one task, exactly.

use std::collections::BTreeSet;

use crate::model::{RunError, Scored, Value};

/// Where two results of one task differ.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    /// The field, as `fit.coef`; empty for the whole.
    pub(super) field: String,
    pub(super) part: DifferencePart,
    pub(super) one: ComparedSide,
    pub(super) other: ComparedSide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DifferencePart {
    /// The score; the whole result, if it has none; or whether crunch failed.
    Score,
    /// A field beside the score.
    Field,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ComparedSide {
    Value(Value),
    Absent,
    Failed(String),
}

impl Difference {
    /// The size of a difference between numbers, relative to the larger one.
    pub(super) fn size(&self) -> Option<f64> {
        let number = |side: &ComparedSide| match side {
            ComparedSide::Value(value) => value.as_f64(),
            _ => None,
        };
        let (one, other) = (number(&self.one)?, number(&self.other)?);
        let largest = one.abs().max(other.abs());
        let size = (one - other).abs() / largest;
        size.is_finite().then_some(size)
    }
}

/// What is not compared: names of fields, wherever they are in a record.
#[derive(Clone, Debug, Default)]
pub(super) struct Uncompared {
    pub(super) fields: BTreeSet<String>,
}

impl Uncompared {
    fn has(&self, field: &str) -> bool {
        let is = |name: &str| self.fields.contains(name);
        is(field) || field.rsplit('.').next().is_some_and(is)
    }
}

type Given = Result<Scored, RunError>;

/// All differences between two results, but for those in fields that are not compared. `score` is the field of
/// the score.
pub(super) fn differences(
    one: &Given,
    other: &Given,
    score: &str,
    without: &Uncompared,
) -> Vec<Difference> {
    let failed = |error: &RunError| ComparedSide::Failed(error.why().to_string());
    let whole = |one, other| {
        vec![Difference { field: String::new(), part: DifferencePart::Score, one, other }]
    };
    let (one, other) = match (one, other) {
        (Ok(one), Ok(other)) => (one, other),
        // What a failure says may name processes and files, and is no result.
        (Err(_), Err(_)) => return Vec::new(),
        (Ok(one), Err(error)) => {
            return whole(ComparedSide::Value(one.value.get().into_owned()), failed(error));
        }
        (Err(error), Ok(other)) => {
            return whole(failed(error), ComparedSide::Value(other.value.get().into_owned()));
        }
    };
    let has_score = one.score.is_some() || other.score.is_some();
    let mut found = Vec::new();
    let mut add = |field: &str, one: Option<&Value>, other: Option<&Value>| {
        let part = match !has_score || field == score || field.is_empty() {
            true => DifferencePart::Score,
            false => DifferencePart::Field,
        };
        let side = |value: Option<&Value>| {
            value.map_or(ComparedSide::Absent, |v| ComparedSide::Value(v.clone()))
        };
        if !without.has(field) {
            found.push(Difference {
                field: field.to_string(),
                part,
                one: side(one),
                other: side(other),
            });
        }
    };
    compare("", &one.value.get(), &other.value.get(), &mut add);
    found.sort_by_key(|difference| difference.part == DifferencePart::Field);
    found
}

fn compare<'v>(
    field: &str,
    one: &'v Value,
    other: &'v Value,
    add: &mut impl FnMut(&str, Option<&'v Value>, Option<&'v Value>),
) {
    let (Value::Record(ones), Value::Record(others)) = (one, other) else {
        if !is_same(one, other) {
            add(field, Some(one), Some(other));
        }
        return;
    };
    let inner = |name: &str| match field {
        "" => name.to_string(),
        field => format!("{field}.{name}"),
    };
    for (name, value) in ones {
        match other.field(name) {
            Some(same) => compare(&inner(name), value, same, add),
            None => add(&inner(name), Some(value), None),
        }
    }
    for (name, value) in others.iter().filter(|(name, _)| one.field(name).is_none()) {
        add(&inner(name), None, Some(value));
    }
}

/// Whether two values are the same to the last bit.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Float(one), Value::Float(other)) => one.to_bits() == other.to_bits(),
        (Value::List(ones), Value::List(others)) => {
            ones.len() == others.len() && ones.iter().zip(others).all(|(a, b)| is_same(a, b))
        }
        (Value::Record(ones), Value::Record(others)) => {
            ones.len() == others.len()
                && ones.iter().all(|(name, a)| other.field(name).is_some_and(|b| is_same(a, b)))
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::score;

    fn given(json: &str) -> Given {
        score(Value::parse(json).unwrap(), "score", false)
    }

    fn found(one: &str, other: &str, without: &[&str]) -> Vec<(String, DifferencePart)> {
        let fields = without.iter().map(ToString::to_string).collect();
        let all = differences(&given(one), &given(other), "score", &Uncompared { fields });
        all.into_iter().map(|difference| (difference.field, difference.part)).collect()
    }

    fn is(field: &str, part: DifferencePart) -> Vec<(String, DifferencePart)> {
        vec![(field.to_string(), part)]
    }

    #[test]
    fn the_last_bit_counts() {
        assert_eq!(found("1.0", "1.0000000000000002", &[]), is("", DifferencePart::Score));
        assert_eq!(found("0.0", "-0.0", &[]), is("", DifferencePart::Score));
        assert_eq!(found("3", "3.0", &[]), []);
        let one = r#"{"score": 1, "fit": {"time": 1.5, "coef": [1.0, 0.0]}}"#;
        let other = r#"{"fit": {"coef": [1.0, -0.0], "time": 2.5}, "score": 1}"#;
        assert_eq!(found(one, other, &["time"]), is("fit.coef", DifferencePart::Field));
        assert_eq!(found(one, other, &["fit.coef", "time"]), []);
    }

    #[test]
    fn without_a_score_all_counts() {
        assert_eq!(found(r#"{"a": 1}"#, r#"{"a": 2}"#, &[]), is("a", DifferencePart::Score));
        assert_eq!(found(r#""x""#, r#""y""#, &[]), is("", DifferencePart::Score));
        let both = found(r#"{"score": 1, "b": 1}"#, r#"{"score": 2}"#, &[]);
        assert_eq!(
            both,
            [
                ("score".to_string(), DifferencePart::Score),
                ("b".to_string(), DifferencePart::Field)
            ]
        );
    }

    #[test]
    fn a_failure_differs_from_a_value_only() {
        let failed = |why: &str| -> Given { Err(why.into()) };
        let compare =
            |one: Given, other: Given| differences(&one, &other, "score", &Uncompared::default());
        assert_eq!(compare(failed("in process 1"), failed("in process 2")), []);
        assert_eq!(compare(failed("no"), given("1")).len(), 1);
    }

    #[test]
    fn the_size_is_relative() {
        let size = |one, other| {
            differences(&given(one), &given(other), "score", &Uncompared::default())[0].size()
        };
        assert_eq!(size("1.0", "-1.0"), Some(2.0));
        assert_eq!(size("4.0", "3.0"), Some(0.25));
        assert_eq!(size(r#""x""#, "1"), None);
    }
}
