//! Writes lines of CSV, also with cells of hundreds of megabytes: the crate `csv` looks through the rest of a cell
//! for each buffer that it fills.

use std::io::{Result, Write};

/// Writes lines as the crate `csv` does.
pub(crate) struct CsvLine<W> {
    out: W,
    fields: u64,
    /// Whether all cells of the line are empty.
    is_blank: bool,
}

impl<W: Write> CsvLine<W> {
    pub(crate) fn new(out: W) -> CsvLine<W> {
        CsvLine { out, fields: 0, is_blank: true }
    }

    /// Writes a whole line.
    pub(crate) fn line(&mut self, cells: impl IntoIterator<Item: AsRef<str>>) -> Result<()> {
        cells.into_iter().try_for_each(|cell| self.field(cell.as_ref()))?;
        self.end()
    }

    /// Adds a cell. One with a separator or a quote in it stands in quotes.
    pub(crate) fn field(&mut self, text: &str) -> Result<()> {
        if self.fields > 0 {
            self.out.write_all(b",")?;
        }
        self.fields += 1;
        self.is_blank &= text.is_empty();
        if !text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
            return self.out.write_all(text.as_bytes());
        }
        self.out.write_all(b"\"")?;
        for (i, part) in text.split('"').enumerate() {
            self.out.write_all(if i > 0 { b"\"\"" } else { b"" })?;
            self.out.write_all(part.as_bytes())?;
        }
        self.out.write_all(b"\"")
    }

    /// Ends the line. A line of one empty cell is not an empty line, which readers skip.
    pub(crate) fn end(&mut self) -> Result<()> {
        let is_skipped = self.fields == 1 && self.is_blank;
        (self.fields, self.is_blank) = (0, true);
        self.out.write_all(if is_skipped { b"\"\"\n" } else { b"\n" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_crate() {
        let lines: [&[&str]; 7] = [
            &["a", "b c", "1,5"],
            &["say \"x\"", "\"", "\"\"", "two\nlines", "\r", ""],
            &["", "", ""],
            &[""],
            &["é;\t|", " ", "#", "'"],
            &["\u{feff}x", "\\", "a\\\"b"],
            &["x"],
        ];
        let mut theirs = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        let mut ours = Vec::new();
        let mut line = CsvLine::new(&mut ours);
        for fields in lines {
            theirs.write_record(fields).unwrap();
            line.line(fields).unwrap();
        }
        assert_eq!(String::from_utf8(ours), String::from_utf8(theirs.into_inner().unwrap()));
    }
}
