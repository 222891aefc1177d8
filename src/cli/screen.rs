//! stdout: for files and programs the exact bytes; for a terminal, text in which control characters are spelled.

use std::io::{IsTerminal, Result, Stdout, Write};

use crate::util::text::visible_lines;

pub(super) struct Screen<W = Stdout> {
    out: W,
    is_terminal: bool,
    /// The beginning of a character whose end is not written yet.
    rest: Vec<u8>,
}

impl Screen {
    pub(super) fn new() -> Screen {
        let out = std::io::stdout();
        Screen { is_terminal: out.is_terminal(), out, rest: Vec::new() }
    }
}

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if !self.is_terminal {
            return self.out.write(bytes);
        }
        self.rest.extend_from_slice(bytes);
        let rest = self.rest.split_off(whole(&self.rest));
        let text = std::mem::replace(&mut self.rest, rest);
        self.out.write_all(visible_lines(&String::from_utf8_lossy(&text)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }
}

/// The length without a character that is not there to its end.
fn whole(bytes: &[u8]) -> usize {
    let is_first = |at: &usize| bytes[*at] & 0xc0 != 0x80;
    let last = (bytes.len().saturating_sub(3)..bytes.len()).rev().find(is_first);
    let needed = |at: usize| match bytes[at] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    };
    last.filter(|at| at + needed(*at) > bytes.len()).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_control_characters_wherever_the_text_is_cut() {
        let text = "é\u{1b}[2J\u{9b}31m 日\u{1f52c}\u{202e}\r\n".as_bytes();
        for cut in 0..=text.len() {
            for is_terminal in [true, false] {
                let mut screen = Screen { out: Vec::new(), is_terminal, rest: Vec::new() };
                screen.write_all(&text[..cut]).unwrap();
                screen.write_all(&text[cut..]).unwrap();
                let spelled = "é\\u001b[2J\\u009b31m 日\u{1f52c}\\u202e\\r\n".as_bytes();
                assert_eq!(screen.out, if is_terminal { spelled } else { text }, "{cut}");
            }
        }
    }
}
