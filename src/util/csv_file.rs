//! Opens CSV files, also with a byte order mark, and describes errors in this project's words.

use std::io::{BufReader, Error, Read};
use std::path::Path;

use crate::util::file_kind;
use crate::util::files::other_kind;

/// Spreadsheets write it at the start of a UTF-8 file.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How much of the beginning of a file is looked at for what it is. (bytes)
const BEGINNING: u64 = 512;

/// A reader over all lines, including the first one. After the last one, `unclosed` of its reference tells
/// whether there were more. What is no file, or of another kind, is an error.
pub(crate) fn open(path: &Path) -> std::io::Result<csv::Reader<QuoteWatch<impl Read + use<>>>> {
    if let Some(other) = other_kind(&path.metadata()?) {
        return Err(Error::other(format!("it is {other}, not a file")));
    }
    let mut file = BufReader::new(std::fs::File::open(path)?);
    let mut start = Vec::new();
    file.by_ref().take(BEGINNING).read_to_end(&mut start)?;
    let of_text = || file_kind::of_text(&String::from_utf8_lossy(&start));
    if let Some(guess) = file_kind::of_bytes(&start).or_else(of_text) {
        return Err(Error::other(guess));
    }
    if start.starts_with(BYTE_ORDER_MARK) {
        start.drain(..BYTE_ORDER_MARK.len());
    }
    let whole = QuoteWatch::new(std::io::Cursor::new(start).chain(file), b',');
    Ok(csv::ReaderBuilder::new().has_headers(false).from_reader(whole))
}

/// Passes a CSV file on, and notes whether it ends inside quotes: all lines from there on are then one cell.
pub(crate) struct QuoteWatch<R> {
    inner: R,
    delimiter: u8,
    place: QuotePlace,
    line: u64,
    last: u8,
}

#[derive(Clone, Copy, PartialEq)]
enum QuotePlace {
    /// At the start of a cell, the only place where a quote opens.
    Start,
    /// In a cell without quotes.
    Plain,
    /// In quotes that this line opened.
    Quoted(u64),
    /// Behind a quote in quotes, which closes them unless another one follows.
    Behind(u64),
}

impl<R> QuoteWatch<R> {
    pub(crate) fn new(inner: R, delimiter: u8) -> QuoteWatch<R> {
        QuoteWatch { inner, delimiter, place: QuotePlace::Start, line: 1, last: 0 }
    }

    /// What is wrong with the quotes of what was read so far, if it is all.
    pub(crate) fn unclosed(&self) -> Option<String> {
        let QuotePlace::Quoted(line) = self.place else { return None };
        Some(format!(
            "line {line} opens a quote (\") that nothing closes, so that all lines from there on would be one cell"
        ))
    }

    fn step(&mut self, byte: u8) {
        let ends = byte == self.delimiter || byte == b'\n' || byte == b'\r';
        self.place = match (self.place, byte) {
            (QuotePlace::Start, b'"') => QuotePlace::Quoted(self.line),
            (QuotePlace::Quoted(line), b'"') => QuotePlace::Behind(line),
            (QuotePlace::Behind(line), b'"') => QuotePlace::Quoted(line),
            (QuotePlace::Quoted(line), _) => QuotePlace::Quoted(line),
            _ if ends => QuotePlace::Start,
            _ => QuotePlace::Plain,
        };
        self.line += u64::from(byte == b'\r' || byte == b'\n' && self.last != b'\r');
        self.last = byte;
    }
}

impl<R: Read> Read for QuoteWatch<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        buffer[..read].iter().for_each(|byte| self.step(*byte));
        Ok(read)
    }
}

/// The error message, with the line.
pub(crate) fn problem(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line} has {len} cells where the lines before have {expected_len}")
        }
        csv::ErrorKind::Utf8 { pos, .. } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line} is not UTF-8")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_open_and_close_as_the_reader_takes_them() {
        for (text, unclosed) in [
            ("a,b\n1,\"2\n3\"\n", None),
            ("a,b\n1,5\" tall\n\"say \"\"x\"\"\",2", None),
            ("\"\"\"\"\n\"a\"b\"\n", None),
            ("a,\"b\n1,2\n", Some(1)),
            ("a,b\r\n1,x\r\n3,\"y\r\n5,z\r\n", Some(3)),
            ("a\r\"b\"\"\r", Some(2)),
            ("a; \"b\n", None),
        ] {
            let mut watch = QuoteWatch::new(text.as_bytes(), b',');
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(watch.by_ref());
            let records = reader.records().map(Result::unwrap).collect::<Vec<_>>();
            let found = watch.unclosed();
            assert_eq!(found.is_some(), unclosed.is_some(), "{text:?}: {records:?}");
            if let (Some(found), Some(line)) = (found, unclosed) {
                assert!(found.starts_with(&format!("line {line} ")), "{text:?}: {found}");
            }
        }
    }
}
