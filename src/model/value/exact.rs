//! JSON in which infinities are numbers: 9e999, which SQLite and Python read as infinite. A point's value in
//! this form is what a run is known by, and differs from that of the string "Infinity".

use crate::model::value::Value;
use crate::model::value::printed::parse_printed;

const INFINITE: &str = "9e999";

impl Value {
    /// JSON with infinities as numbers.
    pub(crate) fn to_exact(&self) -> String {
        let mut text = String::new();
        match self.has_infinity() {
            true => self.write_exact(&mut text),
            false => text = self.to_json().to_string(),
        }
        text
    }

    /// Reads what [`Value::to_exact`] has written; any other text is a string.
    pub(crate) fn from_exact(text: &str) -> Value {
        let value = Value::parse(text).or_else(|_| parse_printed(text));
        value.unwrap_or_else(|_| Value::Text(text.to_string()))
    }

    fn has_infinity(&self) -> bool {
        match self {
            Value::Float(number) => number.is_infinite(),
            Value::List(items) => items.iter().any(Value::has_infinity),
            Value::Record(fields) => fields.iter().any(|(_, value)| value.has_infinity()),
            _ => false,
        }
    }

    fn write_exact(&self, text: &mut String) {
        let comma = |at: usize| if at > 0 { "," } else { "" };
        match self {
            Value::Float(number) if number.is_infinite() => {
                *text += if *number < 0.0 { "-" } else { "" };
                *text += INFINITE;
            }
            Value::List(items) => {
                *text += "[";
                for (at, item) in items.iter().enumerate() {
                    *text += comma(at);
                    item.write_exact(text);
                }
                *text += "]";
            }
            Value::Record(fields) => {
                *text += "{";
                for (at, (name, value)) in fields.iter().enumerate() {
                    *text += comma(at);
                    *text += &format!("{}:", serde_json::Value::from(name.as_str()));
                    value.write_exact(text);
                }
                *text += "}";
            }
            plain => *text += &plain.to_json().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinities_are_numbers_and_the_word_is_a_string() {
        let infinite = Value::Float(f64::INFINITY);
        let minus = Value::Float(f64::NEG_INFINITY);
        for (value, text) in [
            (infinite.clone(), "9e999"),
            (minus.clone(), "-9e999"),
            (Value::Text("Infinity".into()), "\"Infinity\""),
            (Value::Text("9e999".into()), "\"9e999\""),
            (
                Value::Record(vec![
                    ("a \"9e999".into(), Value::List(vec![infinite, Value::Null])),
                    ("b".into(), Value::Record(vec![("c".into(), minus)])),
                    ("d".into(), Value::Float(0.5)),
                ]),
                r#"{"a \"9e999":[9e999,null],"b":{"c":-9e999},"d":0.5}"#,
            ),
        ] {
            assert_eq!(value.to_exact(), text);
            assert_eq!(Value::from_exact(text), value);
        }
    }
}
