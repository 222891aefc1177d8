//! Reads a job file's tables key by key. Every error names the file, the line and the key; an unknown key
//! is refused, with the most similar known one.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::model::Value;
use crate::util::error::{Error, Result};
use crate::util::text::{did_you_mean, nearest};

/// The text that is parsed, to turn positions into lines.
#[derive(Clone, Copy)]
pub(crate) struct TomlText<'a> {
    pub(crate) file: &'a Path,
    pub(crate) text: &'a str,
}

/// A table whose keys are taken one by one; the keys that remain at the end are errors.
pub(crate) struct TomlTable<'a> {
    text: TomlText<'a>,
    /// The name of the table in errors: `loop.alpha.logspace`; empty for the whole file.
    path: String,
    at: usize,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
}

/// A value and its position.
#[derive(Clone)]
pub(crate) struct TomlEntry<'a> {
    text: TomlText<'a>,
    pub(crate) path: String,
    at: usize,
    value: &'a DeValue<'a>,
}

impl<'a> TomlText<'a> {
    pub(crate) fn error(&self, at: usize, message: impl std::fmt::Display) -> Error {
        Error::input(format!("{}:{}: {message}", self.file.display(), self.line(at)))
    }

    fn line(&self, at: usize) -> usize {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }

    pub(crate) fn table(self, root: &'a Spanned<DeTable<'a>>) -> TomlTable<'a> {
        TomlTable {
            text: self,
            path: String::new(),
            at: 0,
            table: root.get_ref(),
            known: Vec::new(),
        }
    }
}

impl<'a> TomlTable<'a> {
    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) }
    }

    /// Renames the table in errors.
    pub(crate) fn set_path(&mut self, path: String) {
        self.path = path;
    }

    fn entry(&self, key: &DeString<'a>, value: &'a Spanned<DeValue<'a>>) -> TomlEntry<'a> {
        let path = self.path_of(key);
        TomlEntry { text: self.text, path, at: value.span().start, value: value.get_ref() }
    }

    /// The value of `key`, if there is one.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<TomlEntry<'a>> {
        self.known.push(key);
        let (name, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(self.entry(name.get_ref(), value))
    }

    /// The value of `key`, which must be there.
    pub(crate) fn need(&mut self, key: &'static str) -> Result<TomlEntry<'a>> {
        if let Some(entry) = self.take(key) {
            return Ok(entry);
        }
        let others: Vec<&str> = self.table.keys().map(|name| &**name.get_ref()).collect();
        let near = nearest(key, &others).map(|near| format!("; is '{near}' meant for it?"));
        let missing = format!("'{}' is missing{}", self.path_of(key), near.unwrap_or_default());
        Err(self.error(missing))
    }

    /// All remaining keys, which the user chose.
    pub(crate) fn rest(&self) -> Vec<(String, TomlEntry<'a>)> {
        let others = self.table.iter().filter(|(name, _)| !self.known.contains(&&**name.get_ref()));
        others
            .map(|(name, value)| (name.get_ref().to_string(), self.entry(name.get_ref(), value)))
            .collect()
    }

    /// Refuses remaining keys.
    pub(crate) fn finish(self) -> Result<()> {
        let stranger = self.table.keys().find(|name| !self.known.contains(&&**name.get_ref()));
        let Some(stranger) = stranger else { return Ok(()) };
        let name = stranger.get_ref();
        let (near, known) = (did_you_mean(name, &self.known, "'"), self.known.join(", "));
        let message = format!("'{}' is no key here{near} (known: {known})", self.path_of(name));
        Err(self.text.error(stranger.span().start, message))
    }

    /// Each key and its line.
    pub(crate) fn lines(&self) -> Vec<(String, usize)> {
        let line = |(name, value): (&Spanned<DeString<'a>>, &Spanned<DeValue<'a>>)| {
            (self.path_of(name.get_ref()), self.text.line(value.span().start))
        };
        self.table.iter().map(line).collect()
    }

    /// An error about the table as a whole.
    pub(crate) fn error(&self, message: impl std::fmt::Display) -> Error {
        self.text.error(self.at, message)
    }
}

impl<'a> TomlEntry<'a> {
    /// An error about this value, with its position and key.
    pub(crate) fn error(&self, message: impl std::fmt::Display) -> Error {
        self.text.error(self.at, format!("{}: {message}", self.path))
    }

    pub(crate) fn line(&self) -> usize {
        self.text.line(self.at)
    }

    fn expected(&self, what: &str) -> Error {
        self.error(format!("expected {what}, found {}", describe(self.value)))
    }

    pub(crate) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    pub(crate) fn text(&self) -> Result<String> {
        match self.value {
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err(self.expected("a string")),
        }
    }

    pub(crate) fn boolean(&self) -> Result<bool> {
        match self.value {
            DeValue::Boolean(b) => Ok(*b),
            _ => Err(self.expected("true or false")),
        }
    }

    pub(crate) fn whole(&self) -> Result<i64> {
        match self.value()? {
            Value::Int(whole) => Ok(whole),
            _ => Err(self.expected("a whole number")),
        }
    }

    /// A whole number of at least `least`.
    pub(crate) fn count(&self, least: u64) -> Result<u64> {
        let whole = self.whole()?;
        u64::try_from(whole)
            .ok()
            .filter(|&count| count >= least)
            .ok_or_else(|| self.error(format!("expected at least {least}, found {whole}")))
    }

    pub(crate) fn number(&self) -> Result<f64> {
        let number = self.value()?.as_f64().ok_or_else(|| self.expected("a number"))?;
        match number.is_finite() {
            true => Ok(number),
            false => Err(self.error("expected a finite number")),
        }
    }

    /// A date or a time, as TOML has it or as a string.
    pub(crate) fn time(&self) -> Result<String> {
        match self.value {
            DeValue::Datetime(time) => Ok(time.to_string()),
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err(self.expected("a date")),
        }
    }

    pub(crate) fn array(&self) -> Result<Vec<TomlEntry<'a>>> {
        let DeValue::Array(items) = self.value else { return Err(self.expected("an array")) };
        let entry = |(i, item): (usize, &'a Spanned<DeValue<'a>>)| TomlEntry {
            text: self.text,
            path: format!("{}[{i}]", self.path),
            at: item.span().start,
            value: item.get_ref(),
        };
        Ok(items.iter().enumerate().map(entry).collect())
    }

    /// The elements of an array; a string stands for an array of one.
    pub(crate) fn one_or_several(&self) -> Result<Vec<TomlEntry<'a>>> {
        if self.text().is_ok() { Ok(vec![self.clone()]) } else { self.array() }
    }

    pub(crate) fn table(&self) -> Result<TomlTable<'a>> {
        let DeValue::Table(table) = self.value else { return Err(self.expected("a table")) };
        Ok(TomlTable {
            text: self.text,
            path: self.path.clone(),
            at: self.at,
            table,
            known: vec![],
        })
    }

    /// Any value that a point can have.
    pub(crate) fn value(&self) -> Result<Value> {
        Ok(match self.value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Boolean(b) => Value::Bool(*b),
            DeValue::Datetime(time) => Value::Text(time.to_string()),
            DeValue::Integer(whole) => Value::Int(
                i64::from_str_radix(whole.as_str(), whole.radix())
                    .map_err(|_| self.error("a whole number must fit 64 bits"))?,
            ),
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(value) if value.is_finite() || number.as_str().ends_with("inf") => {
                    Value::Float(value)
                }
                Ok(value) if value.is_infinite() => {
                    return Err(self.error(format!("{number} is too large for a number")));
                }
                _ => {
                    return Err(self
                        .error("NaN is no point: write null in json = '[null, 1]', or a string"));
                }
            },
            DeValue::Array(_) => {
                let items = self.array()?;
                Value::List(items.iter().map(TomlEntry::value).collect::<Result<_>>()?)
            }
            DeValue::Table(_) => {
                let fields = self.table()?.rest();
                let value = |(name, entry): (String, TomlEntry)| Ok((name, entry.value()?));
                Value::Record(fields.into_iter().map(value).collect::<Result<_>>()?)
            }
        })
    }
}

fn describe(value: &DeValue) -> String {
    match value {
        DeValue::String(text) => format!("the string \"{text}\""),
        DeValue::Integer(whole) => format!("{whole}"),
        DeValue::Float(number) => format!("{number}"),
        DeValue::Boolean(b) => format!("{b}"),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(_) => "an array".to_string(),
        DeValue::Table(_) => "a table".to_string(),
    }
}
