//! The source `rows`: the rows of a CSV file as records. What a file may be instead (gzipped, separated by
//! semicolons, Latin-1) is guessed for the error alone: the user says what it is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use encoding_rs::{Encoding, UTF_8};

use crate::job::parse::cells::{self, Told, Unclear};
use crate::job::parse::keys::{TomlEntry, TomlTable};
use crate::job::parse::written::plainly;
use crate::model::{Points, Value};
use crate::util::csv_file::{self, QuoteWatch};
use crate::util::error::{Error, Result};
use crate::util::file_kind;
use crate::util::files::read_regular;
use crate::util::text::{beginning, did_you_mean};

/// What stands for no number in a column of numbers, unless the job file says it.
const MISSING: [&str; 9] = ["", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None"];

/// How the job file says to read a table.
struct RowsFormat<'a> {
    entry: &'a TomlEntry<'a>,
    file: String,
    /// What is not said is guessed at in errors.
    delimiter: Option<u8>,
    decimal: Option<char>,
    encoding: Option<&'static Encoding>,
    text: Vec<TomlEntry<'a>>,
    numbers: Vec<TomlEntry<'a>>,
    missing: Option<Vec<String>>,
}

/// The rows of the file that the entry names.
pub(super) fn of(entry: &TomlEntry, folder: &Path) -> Result<Points> {
    let format = match entry.is_table() {
        true => RowsFormat::read(entry)?,
        false => RowsFormat::of_file(entry, entry.text()?),
    };
    let text = format.decoded(&folder.join(&format.file))?;
    format.points(&text)
}

impl<'a> RowsFormat<'a> {
    fn of_file(entry: &'a TomlEntry<'a>, file: String) -> RowsFormat<'a> {
        let (text, numbers) = (Vec::new(), Vec::new());
        RowsFormat {
            entry,
            file,
            delimiter: None,
            decimal: None,
            encoding: None,
            text,
            numbers,
            missing: None,
        }
    }

    fn read(entry: &'a TomlEntry<'a>) -> Result<RowsFormat<'a>> {
        let mut table = entry.table()?;
        let file = table.need("file")?.text()?;
        let mut letter = |key| table.take(key).map(|entry| one_letter(&entry)).transpose();
        let (delimiter, decimal) = (letter("delimiter")?, letter("decimal")?);
        if let Some(other) = decimal.filter(|sign| !b".,".contains(sign)) {
            let other = char::from(other);
            return Err(entry.error(format!("decimal: expected \".\" or \",\", found \"{other}\"")));
        }
        let encoding = table.take("encoding").map(|entry| encoding(&entry)).transpose()?;
        let missing = table.take("na").map(|na| texts(&na)).transpose()?;
        let mut columns = |key| take_list(&mut table, key);
        let (text, numbers) = (columns("text")?, columns("numbers")?);
        table.take("match"); // which rows belong to which points of other loops
        table.finish()?;
        let decimal = decimal.map(char::from);
        Ok(RowsFormat { entry, file, delimiter, decimal, encoding, text, numbers, missing })
    }

    fn fail(&self, why: impl std::fmt::Display) -> Error {
        self.entry.error(format!("{}: {why}", self.file))
    }

    /// A line for the job file, with one more key.
    fn instead(&self, key: &str) -> String {
        let others = if self.entry.is_table() { "..., " } else { "" };
        format!("rows = {{ file = \"{}\", {others}{key} }}", self.file)
    }

    /// The file's text.
    fn decoded(&self, path: &Path) -> Result<String> {
        let bytes = read_regular(path).map_err(|error| self.fail(error))?;
        if let Some(guess) = file_kind::of_bytes(&bytes) {
            return Err(self.fail(guess));
        }
        let encoding = self.encoding.unwrap_or(UTF_8);
        let (marked, mark) = Encoding::for_bom(&bytes).unwrap_or((encoding, 0));
        if marked != encoding {
            let name = marked.name();
            let key = self.instead(&format!("encoding = \"{name}\""));
            return Err(self.fail(format!("it begins as {name} does; say {key}")));
        }
        let bytes = &bytes[mark..];
        if encoding == UTF_8 && bytes.contains(&0) {
            return Err(self.fail("has bytes of zero: it is no CSV file, or has another encoding"));
        }
        let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
        let Some(text) = text else {
            let end = std::str::from_utf8(bytes).map_or_else(|e| e.valid_up_to(), |_| bytes.len());
            let line = 1 + bytes[..end].iter().filter(|byte| **byte == b'\n').count();
            return Err(match self.encoding {
                None => self.fail(format!(
                    "line {line} is not UTF-8; Latin-1? Then {}",
                    self.instead("encoding = \"latin-1\"")
                )),
                Some(encoding) => self.fail(format!("is not {}", encoding.name())),
            });
        };
        if text.contains('\0') {
            return Err(self.fail("has bytes of zero: it is no CSV file, or has another encoding"));
        }
        match file_kind::of_text(&text) {
            Some(guess) => Err(self.fail(guess)),
            None => Ok(text.into_owned()),
        }
    }

    fn points(&self, text: &str) -> Result<Points> {
        let delimiter = self.delimiter.unwrap_or(b',');
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(delimiter)
            .from_reader(QuoteWatch::new(text.as_bytes(), delimiter));
        let mut lines =
            reader.records().map(|line| line.map_err(|e| self.fail(csv_file::problem(&e))));
        let header = lines.next().unwrap_or_else(|| Err(self.fail("the file is empty")))?;
        if let ([only], None) = (&header.iter().collect::<Vec<_>>()[..], self.delimiter)
            && let Some(other) = [';', '\t', '|'].into_iter().find(|other| only.contains(*other))
        {
            let (shown, key) = (other.escape_default(), other.escape_default());
            let key = self.instead(&format!("delimiter = \"{key}\""));
            let why = format!("line 1 has one column; separated by \"{shown}\"? Then {key}");
            return Err(self.fail(why));
        }
        let header: Vec<String> = header.iter().map(|name| name.trim().to_string()).collect();
        let mut names = HashSet::new();
        if let Some(twice) = header.iter().find(|name| !names.insert(name.as_str())) {
            return Err(self.fail(format!("line 1 names the column '{twice}' twice")));
        }
        if header.iter().all(|name| !name.is_empty() && name.parse::<f64>().is_ok()) {
            log::warn!(
                "{}: line 1 has numbers alone ({}), and is taken as the names of the columns, not as a point; if it is one, put a line of names above it",
                self.file,
                beginning(&header.join(", "), 80)
            );
        }
        let told = self.told(&header)?;
        let lines: Vec<csv::StringRecord> = lines.collect::<Result<_>>()?;
        if let Some(unclosed) = reader.get_ref().unclosed() {
            return Err(self.fail(unclosed));
        }
        if let ([only], None) = (&header[..], self.delimiter)
            && let Some(guess) = of_blanks(only, &lines)
        {
            return Err(self.fail(format!(
                "line 1 has one column; {guess} {}",
                self.instead("delimiter = \" \"")
            )));
        }
        if lines.is_empty() {
            return Err(self.fail("there are no rows below line 1, which has the names"));
        }
        let missing = |cell: &str| match &self.missing {
            Some(own) => own.iter().any(|missing| missing == cell),
            None => MISSING.contains(&cell),
        };
        let mut records = vec![Vec::with_capacity(header.len()); lines.len()];
        let mut kept = BTreeMap::new();
        for (i, (name, told)) in header.iter().zip(told).enumerate() {
            let cells: Vec<&str> = lines.iter().map(|line| line[i].trim()).collect();
            let values = cells::column(&cells, told, self.decimal, missing);
            let values = values.map_err(|unclear| self.unclear(unclear, name, &cells, &lines))?;
            if told == Told::Nothing {
                let unit = cells::first_with_unit(&cells, self.decimal, missing);
                let is_text = matches!(values.first(), Some(Value::Text(_)));
                let long = is_text.then(|| cells::first_too_long(&cells, self.decimal, missing));
                if let Some(row) = unit {
                    self.warn_of_unit(name, cells[row], &lines[row]);
                } else if let Some(row) = long.flatten() {
                    self.warn_of_digits(name, cells[row], &lines[row]);
                } else if let Some(row) = cells::odd_one(&cells, self.decimal, missing) {
                    self.warn_of_text(name, cells[row], &lines[row]);
                }
            }
            for (row, (value, cell)) in values.into_iter().zip(cells).enumerate() {
                let is_own = matches!(value, Value::Text(_)) || value.to_string() == cell;
                if !is_own || value == Value::Null {
                    kept.insert((row as u64, i), cell.to_string());
                }
                records[row].push((name.clone(), value));
            }
        }
        let records = records.into_iter().map(Value::Record).collect();
        Ok(Points::Rows { records, cells: kept })
    }

    /// What the job file says of each column.
    fn told(&self, header: &[String]) -> Result<Vec<Told>> {
        let mut told = vec![Told::Nothing; header.len()];
        let places: HashMap<&str, usize> =
            header.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let lists = [(&self.text, Told::Text), (&self.numbers, Told::Numbers)];
        for (entry, kind) in lists.iter().flat_map(|(list, kind)| list.iter().map(|e| (e, *kind))) {
            let name = entry.text()?;
            let at = *places.get(name.as_str()).ok_or_else(|| {
                let (near, known) = (did_you_mean(&name, header, "'"), header.join(", "));
                let file = &self.file;
                entry.error(format!("{file} has no column '{name}'{near} (columns: {known})"))
            })?;
            if told[at] != Told::Nothing && told[at] != kind {
                return Err(entry.error(format!("column '{name}' is in 'text' and in 'numbers'")));
            }
            told[at] = kind;
        }
        Ok(told)
    }

    /// Says why a column of numbers, but for a few cells, is text.
    fn warn_of_text(&self, column: &str, cell: &str, record: &csv::StringRecord) {
        let line = record.position().map_or(0, csv::Position::line);
        log::warn!(
            "{}: all cells of column '{column}' are text, because line {line} has \"{cell}\" among numbers; if that stands for none, say {}; if it is text, {}",
            self.file,
            self.instead(&format!("na = [\"\", \"{cell}\"]")),
            self.instead(&format!("text = [\"{column}\"]"))
        );
    }

    /// Says that a column of numbers with signs of their units is text.
    fn warn_of_unit(&self, column: &str, cell: &str, record: &csv::StringRecord) {
        let line = record.position().map_or(0, csv::Position::line);
        log::warn!(
            "{}: all cells of column '{column}' are text, because line {line} has \"{cell}\"; if they are numbers, write them without that sign; if it is text, {}",
            self.file,
            self.instead(&format!("text = [\"{column}\"]"))
        );
    }

    /// Says that a column of numbers with too many digits is text.
    fn warn_of_digits(&self, column: &str, cell: &str, record: &csv::StringRecord) {
        let line = record.position().map_or(0, csv::Position::line);
        let list = |key: &str| self.instead(&format!("{key} = [\"{column}\"]"));
        log::warn!(
            "{}: all cells of column '{column}' are text, because line {line} has {}, and a number keeps fewer digits; if the nearest number is meant, {}; if it is text, {}",
            self.file,
            beginning(cell, 80),
            list("numbers"),
            list("text")
        );
    }

    fn unclear(
        &self,
        unclear: Unclear,
        column: &str,
        cells: &[&str],
        lines: &[csv::StringRecord],
    ) -> Error {
        let (Unclear::Exponent(row)
        | Unclear::OtherSign(row)
        | Unclear::NoNumber(row)
        | Unclear::Written(row)) = unclear;
        let line = lines[row].position().map_or(0, csv::Position::line);
        let cell = cells[row];
        let place = format!("line {line}, column '{column}'");
        let list = |key: &str| self.instead(&format!("{key} = [\"{column}\"]"));
        let plain =
            plainly(cell, self.decimal).filter(|_| !matches!(unclear, Unclear::OtherSign(_)));
        if let Some(plain) = plain {
            return self.fail(format!(
                "{place}: \"{cell}\" is a number with signs that are not read, such as those between thousands? Then write {plain}; if it is text, {}",
                list("text")
            ));
        }
        self.fail(match unclear {
            Unclear::Exponent(_) => format!(
                "{place}: {cell} can be a number or a name, and no cell of the column tells; say {} or {}",
                list("numbers"),
                list("text")
            ),
            Unclear::OtherSign(_) if self.decimal == Some(',') => format!(
                "{place}: {cell} has a point, where decimal says that numbers have a comma: write it without; if it is text, {}",
                list("text")
            ),
            Unclear::OtherSign(_) => format!(
                "{place}: {cell} with a decimal comma? Then {}; with a comma between thousands? Write it without; if it is text, {}",
                self.instead("decimal = \",\""),
                list("text")
            ),
            Unclear::NoNumber(_) | Unclear::Written(_) => format!(
                "{place}: expected a finite number, found \"{cell}\"; if that stands for none, say {}; if the column is text, {}",
                self.instead(&format!("na = [\"\", \"{cell}\"]")),
                list("text")
            ),
        })
    }
}

/// What to say of a table that has blanks between its numbers, where commas were expected.
fn of_blanks(header: &str, lines: &[csv::StringRecord]) -> Option<&'static str> {
    let words = header.split_whitespace().count();
    let are_numbers = |line: &csv::StringRecord| {
        let cells: Vec<&str> = line[0].split_whitespace().collect();
        cells.len() == words && cells.iter().all(|cell| cell.parse::<f64>().is_ok())
    };
    (words > 1 && !lines.is_empty() && lines.iter().all(are_numbers))
        .then_some("separated by blanks? If by one each, say")
}

fn one_letter(entry: &TomlEntry) -> Result<u8> {
    match entry.text()?.as_bytes() {
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(*byte),
        _ => Err(entry.error("expected one character, such as \";\" or \"\\t\"")),
    }
}

fn encoding(entry: &TomlEntry) -> Result<&'static Encoding> {
    let name = entry.text()?;
    let label = if name.eq_ignore_ascii_case("latin-1") { "latin1" } else { &name };
    Encoding::for_label(label.as_bytes()).ok_or_else(|| {
        let some = "utf-8, latin-1, windows-1252, utf-16, shift_jis";
        entry.error(format!("no encoding \"{name}\" (known: {some}, and what browsers know)"))
    })
}

fn take_list<'a>(table: &mut TomlTable<'a>, key: &'static str) -> Result<Vec<TomlEntry<'a>>> {
    table.take(key).map_or(Ok(Vec::new()), |entry| entry.one_or_several())
}

fn texts(entry: &TomlEntry) -> Result<Vec<String>> {
    entry.one_or_several()?.iter().map(TomlEntry::text).collect()
}
