//! Guesses what a file is that was given for a table, for the error about it.

/// How files begin that are no text.
const BINARY: [(&[u8], &str); 22] = [
    (b"\x1f\x8b", "gzipped? Unpack it: gunzip"),
    (b"BZh", "compressed? Unpack it: bunzip2"),
    (b"\xfd7zXZ", "compressed? Unpack it: unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed? Unpack it: unzstd"),
    (b"\x04\x22\x4d\x18", "compressed? Unpack it: unlz4"),
    (b"7z\xbc\xaf\x27\x1c", "compressed? Unpack it: 7z x"),
    (b"PK\x03\x04", "a workbook, or zipped? Save it as CSV"),
    (b"PK\x05\x06", "an empty zip file? Save the table as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old workbook? Save it as CSV"),
    (b"PAR1", "Parquet? Save it as CSV"),
    (b"ARROW1", "Arrow or Feather? Save it as CSV"),
    (b"ORC", "ORC? Save it as CSV"),
    (b"\x89HDF", "HDF5? Save it as CSV"),
    (b"CDF\x01", "NetCDF? Save it as CSV"),
    (b"CDF\x02", "NetCDF? Save it as CSV"),
    (b"MATLAB 5.0", "MATLAB's? Save it as CSV"),
    (b"\x93NUMPY", "an array of NumPy's? Save it with numpy.savetxt"),
    (b"\x80\x04\x95", "pickled by Python? Save it as CSV"),
    (b"\x80\x05\x95", "pickled by Python? Save it as CSV"),
    (b"SQLite format 3", "a database? Save a table of it as CSV"),
    (b"<stata_dta>", "Stata's? Save it as CSV"),
    (b"%PDF-", "a PDF? Save its table as CSV"),
];

/// How files of text begin that are no table.
const TEXT: [(&str, &str); 8] = [
    ("<?xml", "XML? Save it as CSV"),
    ("<!doctype", "HTML, maybe an error of a server? Save it as CSV"),
    ("<html", "HTML, maybe an error of a server? Save it as CSV"),
    ("<table", "HTML? Save it as CSV"),
    ("@relation", "ARFF? Save it as CSV"),
    ("%%matrixmarket", "Matrix Market? Save it as CSV"),
    ("version https://git-lfs", "a pointer of Git LFS? Fetch the file itself: git lfs pull"),
    ("/annex/objects/", "a pointer of git-annex? Fetch the file itself: git annex get"),
];

/// What a file seems to be that begins so, if it is no text.
pub(crate) fn of_bytes(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(257..262) == Some(b"ustar") {
        return Some("a tar archive? Unpack it: tar xf");
    }
    BINARY.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, guess)| *guess)
}

/// What a text seems to be, if it is no table.
pub(crate) fn of_text(text: &str) -> Option<&'static str> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let begins =
        |start: &str| text.get(..start.len()).is_some_and(|is| is.eq_ignore_ascii_case(start));
    if let Some((_, guess)) = TEXT.iter().find(|(start, _)| begins(start)) {
        return Some(guess);
    }
    let line = text.lines().next().unwrap_or_default().trim_end();
    let is_json = |text: &str| match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => true,
        Err(error) => error.is_eof(), // the file was cut off, or the line is one of several
    };
    // A header may be [a],[b] or {a}.
    match text.starts_with(['{', '[']) && (is_json(line) || is_json(text)) {
        true if line != text.trim_end()
            && serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok() =>
        {
            Some("JSON lines, not a table; write it as CSV")
        }
        true => Some("JSON, not a table; write it as CSV, or as values = [...] in the job file"),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_table_is_named() {
        for (text, guess) in [
            ("[{\"a\": 1, \"b\": 2}]\n", "JSON, "),
            ("{\"a\": [1, 2]}", "JSON, "),
            ("\u{feff}[\n  {\"a\": 1},\n  {\"a\": 2}\n]", "JSON, "),
            ("{\n  \"a\": 1\n", "JSON, "),
            ("{\"a\": 1, \"b\": 2}\n{\"a\": 3, \"b\": 4}\n", "JSON lines"),
            ("[1, 2]\n[3, 4]\n", "JSON lines"),
            ("<?xml version=\"1.0\"?>", "XML"),
            ("<!DOCTYPE html>", "HTML"),
            ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        ] {
            let found = of_text(text);
            assert!(found.is_some_and(|found| found.starts_with(guess)), "{text}: {found:?}");
        }
        for text in [
            "a,b\n1,2\n",
            "[time],[value]\n1,2\n",
            "{x},{y}\n1,2",
            "\"{\"\n1",
            "",
            "[a]\n1\n",
            "é\n",
        ] {
            assert_eq!(of_text(text), None, "{text}");
        }
        assert!(of_bytes(b"PAR1\x15\x04").is_some_and(|guess| guess.starts_with("Parquet")));
        assert_eq!(of_bytes(b"PAR,b\n"), None);
    }
}
