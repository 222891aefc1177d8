//! Finds the score in what crunch gave.

use crate::model::results::{ResultValue, RunError, Scored};
use crate::model::value::Value;
use crate::util::text::beginning;

/// Finds the score in crunch's result: a number is its own score, a record has it under `key`. A NaN score,
/// or a missing score where one is needed, makes the run fail.
pub(crate) fn score(
    value: impl Into<ResultValue>,
    key: &str,
    needed: bool,
) -> Result<Scored, RunError> {
    let value = value.into();
    let found = match &value {
        ResultValue::Tree(value) => find(value, key, needed),
        ResultValue::Json(json) => match json.with_only(key) {
            Some(record) => find(&record, key, needed),
            None => find(&value.get(), key, needed),
        },
    };
    let found = match found {
        Ok(found) => found,
        Err(why) => return Err(RunError::NoScore { why, value: Box::new(value.into_value()) }),
    };
    // Numbers are stored as floats, so that 3 and 3.0 are the same result.
    let value = match (&value, found) {
        (ResultValue::Tree(Value::Int(_)), Some(number)) => Value::Float(number).into(),
        _ => value,
    };
    Ok(Scored { score: found, value, ..Scored::default() })
}

fn find(value: &Value, key: &str, needed: bool) -> Result<Option<f64>, String> {
    let found = match value {
        Value::Int(_) | Value::Float(_) => value.as_f64(),
        Value::Record(fields) => match value.field(key) {
            // Without a negative zero, which a column of SQLite does not keep. A plain number is kept as a value too.
            Some(number) => Some(
                0.0 + number.as_f64().ok_or_else(|| {
                    format!("the record's \"{key}\" is no number: {}", short(number))
                })?,
            ),
            None if needed => {
                let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
                let names = names.join(", ");
                return Err(format!(
                    "the record has no \"{key}\" (it has: {names}); name its score in [crunch] score"
                ));
            }
            None => None,
        },
        other if needed => {
            return Err(format!("expected a number or a record, got {}", short(other)));
        }
        _ => None,
    };
    if found.is_some_and(f64::is_nan) {
        return Err("the score is NaN".to_string());
    }
    Ok(found)
}

/// A value, shortened for an error message.
pub(crate) fn short(value: &Value) -> String {
    beginning(&value.to_json().to_string(), 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_come_from_numbers_and_records() {
        let record = |json: &str| Value::parse(json).unwrap();
        assert_eq!(score(Value::Int(3), "score", true).unwrap(), Scored::number(3.0));
        let named = score(record(r#"{"rmse": 2, "fit": [1]}"#), "rmse", true).unwrap();
        assert_eq!(named.score, Some(2.0));
        assert!(score(record(r#"{"rmse": 2}"#), "score", true).unwrap_err().why().contains("rmse"));
        assert_eq!(score(record(r#"{"rmse": 2}"#), "score", false).unwrap().score, None);
        assert!(score(record(r#"{"score": "x"}"#), "score", false).is_err());
        assert!(score(Value::Float(f64::NAN), "score", false).unwrap_err().why().contains("NaN"));
        assert!(score(record("[1]"), "score", true).unwrap_err().why().contains("[1]"));
        assert_eq!(
            score(Value::Float(f64::INFINITY), "score", true).unwrap().score,
            Some(f64::INFINITY)
        );
    }
}
