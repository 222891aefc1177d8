//! Values in a template, and how they are written.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Output, Value as Jinja};

use crate::job::placeholders::shown_as;
use crate::model::Value;

pub(super) fn to_template(value: &Value) -> Jinja {
    match value {
        Value::Null => Jinja::from(()),
        Value::Bool(truth) => Jinja::from(*truth),
        Value::Int(whole) => Jinja::from(*whole),
        Value::Float(number) => Jinja::from(*number),
        Value::Text(text) => Jinja::from(text.as_str()),
        Value::List(items) => items.iter().map(to_template).collect(),
        Value::Record(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.as_str(), to_template(value)));
            Jinja::from_pairs(fields)
        }
    }
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why.into())
}

fn of_template(value: &Jinja) -> Result<Value, Error> {
    Ok(match value.kind() {
        ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number if value.is_integer() => {
            let whole = i64::try_from(value.clone());
            Value::Int(whole.map_err(|_| refused(format!("{value} does not fit into 64 bits")))?)
        }
        ValueKind::Number => Value::Float(f64::try_from(value.clone())?),
        ValueKind::String => Value::Text(value.as_str().unwrap_or_default().to_string()),
        ValueKind::Seq | ValueKind::Iterable => {
            Value::List(value.try_iter()?.map(|item| of_template(&item)).collect::<Result<_, _>>()?)
        }
        ValueKind::Map => {
            let field = |key: Jinja| Ok((key.to_string(), of_template(&value.get_item(&key)?)?));
            Value::Record(value.try_iter()?.map(field).collect::<Result<_, Error>>()?)
        }
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        other => return Err(refused(format!("what is written is no text, but a {other}"))),
    })
}

/// Writes what an expression gives. minijinja itself refuses what is undefined, but for an `if` without an `else`.
pub(super) fn write_value(out: &mut Output, value: &Jinja) -> Result<(), Error> {
    if value.is_undefined() {
        return Ok(());
    }
    match of_template(value)? {
        Value::Null => Err(refused("it is none, which is no text")),
        value => Ok(out.write_str(&value.to_string())?),
    }
}

/// The filter `fmt`: what `{x:SPEC}` writes in a command.
pub(super) fn format_value(value: &Jinja, spec: &str) -> Result<String, Error> {
    match of_template(value)? {
        Value::Null => Err(refused("fmt: it is none")),
        value => shown_as(&value, spec).map_err(|why| refused(format!("fmt: {why}"))),
    }
}

/// The filter `fortran`: a constant as a namelist or a program of Fortran has it.
pub(super) fn fortran(value: &Jinja) -> Result<String, Error> {
    fn constant(value: &Value) -> Result<String, Error> {
        Ok(match value {
            Value::Bool(truth) => format!(".{truth}."),
            Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Value::Int(_) => value.to_string(),
            // With the letter d, no digit is lost where it is a literal.
            Value::Float(number) if number.is_finite() => {
                let text = format!("{number:e}");
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let point = if digits.contains('.') { "" } else { ".0" };
                format!("{digits}{point}d{exponent}")
            }
            Value::Float(number) if number.is_nan() => "NaN".to_string(),
            Value::Float(number) => format!("{}Infinity", if *number < 0.0 { "-" } else { "" }),
            Value::List(items) => {
                items.iter().map(constant).collect::<Result<Vec<_>, _>>()?.join(", ")
            }
            Value::Null => return Err(refused("fortran: it is none")),
            Value::Record(_) => return Err(refused("fortran: it is a record: name a field")),
        })
    }
    constant(&of_template(value)?)
}
