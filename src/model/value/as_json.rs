//! A value as JSON, piece by piece: a copy of a large one would take as much memory again.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::model::value::Value;

/// Smaller values are converted as a whole. (approximate bytes)
const PIECE: usize = 64 << 10;

/// How many items of a list are converted together.
const ITEMS: usize = 1024;

/// Records up to this many fields are searched rather than sorted.
const FEW: usize = 16;

/// Takes the pieces, and may fail.
type TakePiece<'a, E> = &'a mut dyn FnMut(&str) -> Result<(), E>;

impl Value {
    /// Gives what [`Value::to_json`] prints, in pieces.
    pub(crate) fn json_pieces<E>(&self, out: TakePiece<E>) -> Result<(), E> {
        match self {
            _ if self.weight() <= PIECE => out(&self.to_json().to_string()),
            Value::Text(text) => pieces_of_text(text, out),
            Value::List(items) => {
                let mut before = "[";
                for items in items.chunks(ITEMS) {
                    out(before)?;
                    before = ",";
                    pieces_of_items(items, out)?;
                }
                out("]")
            }
            Value::Record(fields) if !repeats(fields) => {
                let mut before = "{";
                for (name, value) in fields {
                    out(before)?;
                    before = ",";
                    out(&Json::String(name.clone()).to_string())?;
                    out(":")?;
                    value.json_pieces(out)?;
                }
                out("}")
            }
            other => out(&other.to_json().to_string()),
        }
    }

    /// What [`Value::to_json`] prints.
    pub(crate) fn json_text(&self) -> String {
        let mut text = String::new();
        let Ok(()) = self.json_pieces(&mut |piece| -> Result<(), std::convert::Infallible> {
            text.push_str(piece);
            Ok(())
        });
        text
    }
}

/// Items of a list with commas between them.
fn pieces_of_items<E>(items: &[Value], out: TakePiece<E>) -> Result<(), E> {
    let weight: usize = items.iter().map(Value::weight).sum();
    if weight <= PIECE {
        let list = Json::Array(items.iter().map(Value::to_json).collect()).to_string();
        return out(&list[1..list.len() - 1]);
    }
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out(",")?;
        }
        item.json_pieces(out)?;
    }
    Ok(())
}

/// A string, in quotes.
pub(super) fn pieces_of_text<E>(mut text: &str, out: TakePiece<E>) -> Result<(), E> {
    out("\"")?;
    while !text.is_empty() {
        let mut end = PIECE.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, rest) = text.split_at(end);
        let piece = Json::String(piece.to_string()).to_string();
        out(&piece[1..piece.len() - 1])?;
        text = rest;
    }
    out("\"")
}

/// Whether a name is there twice: JSON has the last value of it only.
fn repeats(fields: &[(String, Value)]) -> bool {
    if fields.len() <= FEW {
        return (1..fields.len()).any(|at| fields[..at].iter().any(|(n, _)| *n == fields[at].0));
    }
    let mut seen = BTreeSet::new();
    fields.iter().any(|(name, _)| !seen.insert(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_to_json_prints() {
        let text = |text: &str| Value::Text(text.to_string());
        let record = |names: &[&str]| {
            let field = |(i, name): (usize, &&str)| (name.to_string(), Value::Int(i as i64));
            Value::Record(names.iter().enumerate().map(field).collect())
        };
        let many: Vec<String> = (0..40).map(|i| format!("f{}", i % 39)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let numbers = [1e-7, -0.0, 1e300, 0.1 + 0.2, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        for value in [
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::List(numbers.iter().copied().map(Value::Float).collect()),
            Value::List(vec![
                text("a \"b\" \\ \n \u{1} é \u{1f600} \u{2028}"),
                Value::List(vec![]),
            ]),
            record(&["b", "a", "é\""]),
            record(&["b", "a", "b"]),
            record(&many),
            record(&[]),
            text(&"é\"\u{1f600}".repeat(PIECE / 3)),
            Value::List((0..3000).map(|i| Value::Float(f64::from(i) / 7.0)).collect()),
            Value::List(vec![text(&"x".repeat(PIECE)), Value::Null, text("\n")]),
            Value::Record(vec![
                ("long\"".to_string(), text(&"y\n".repeat(PIECE))),
                ("b".to_string(), Value::List(vec![Value::Int(1); 5000])),
            ]),
            Value::Record(vec![
                ("a".to_string(), text(&"y".repeat(PIECE))),
                ("a".to_string(), text(&"z".repeat(PIECE))),
            ]),
        ] {
            assert_eq!(value.json_text(), value.to_json().to_string());
        }
    }
}
