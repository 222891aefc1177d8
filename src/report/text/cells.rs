//! Values as people are shown them.

use crate::model::Value;

/// Numbers with six digits; summary.csv has full precision.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Float(0.0) => "0".to_string(),
        Value::Float(f) if f.is_finite() => number(*f),
        Value::List(items) => {
            format!("[{}]", items.iter().map(inner).collect::<Vec<_>>().join(", "))
        }
        Value::Record(fields) => {
            let field = |(name, value): &(String, Value)| format!("{name} {}", inner(value));
            fields.iter().map(field).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// A point beside a name or as a label, where an empty cell would say nothing.
pub(crate) fn called(value: &Value) -> String {
    if *value == Value::Null { "none".to_string() } else { cell(value) }
}

fn inner(value: &Value) -> String {
    match value {
        Value::Null => "null".to_string(),
        Value::Record(_) => format!("({})", cell(value)),
        other => cell(other),
    }
}

fn number(f: f64) -> String {
    let digits = 5 - f.abs().log10().floor() as i32;
    match digits {
        0..=10 => {
            let text = format!("{f:.*}", digits as usize);
            let text = if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.')
            } else {
                &text
            };
            text.to_string()
        }
        _ => format!("{f:.5e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.48232705219, "0.482327"),
            (-3.0, "-3"),
            (1e-4, "0.0001"),
            (0.00044984, "0.00044984"),
            (123456.7, "123457"),
            (1.5e9, "1.50000e9"),
            (0.0, "0"),
        ] {
            assert_eq!(cell(&Value::Float(number)), text);
        }
    }
}
