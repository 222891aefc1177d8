//! Opens CSV files, also with a byte order mark, and describes errors in this project's words.

use std::io::{BufReader, Read};
use std::path::Path;

/// Spreadsheets write it at the start of a UTF-8 file.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A reader over all lines, including the first one.
pub(crate) fn open(path: &Path) -> std::io::Result<csv::Reader<impl Read + use<>>> {
    let mut file = BufReader::new(std::fs::File::open(path)?);
    let mut start = Vec::new();
    file.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut start)?;
    if start == BYTE_ORDER_MARK {
        start.clear();
    }
    let whole = std::io::Cursor::new(start).chain(file);
    Ok(csv::ReaderBuilder::new().has_headers(false).from_reader(whole))
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
