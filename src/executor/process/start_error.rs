//! Why a program cannot be started, with what to do about it.

use std::fs::File;
use std::io::{BufRead, BufReader, Error, Read};
use std::path::Path;

use rustix::io::Errno;

use crate::util::programs::find_program;

/// The most of a program's first line that is read. (bytes)
const FIRST_LINE: u64 = 256;

pub(crate) fn describe(program: &str, error: &Error) -> String {
    let hint = match Errno::from_io_error(error) {
        Some(Errno::NOEXEC) => {
            ": it is no program for this machine, and has no first line such as #!/bin/sh"
                .to_string()
        }
        Some(Errno::TOOBIG) => {
            ": its arguments and environment variables are too long; put large values into files"
                .to_string()
        }
        Some(Errno::NOENT) => interpreter(program)
            .map(|line| format!(": the interpreter in its first line, {line:?}, is not there"))
            .unwrap_or_default(),
        _ => String::new(),
    };
    format!("{program} cannot be started: {error}{hint}")
}

/// The first line of a script.
fn interpreter(program: &str) -> Option<String> {
    let mut line = Vec::new();
    let file = File::open(find_program(Path::new(program)).ok()?).ok()?;
    BufReader::new(file).take(FIRST_LINE).read_until(b'\n', &mut line).ok()?;
    let line = String::from_utf8_lossy(&line);
    line.starts_with("#!").then(|| line.trim_end_matches('\n').to_string())
}
