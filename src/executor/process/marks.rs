//! Marks in the output of a child that makes many calls per request: the child writes one behind what a call has printed.
//! They are told from what is printed by a word that nobody else knows. output.py writes them.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::fs::FileExt;

/// Of the word, and of the three numbers behind it. (bytes)
const WORD: usize = 24;
const NUMBERS: usize = 3 * size_of::<u64>();

/// Which calls have printed what is in front of a mark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CallMark {
    /// The number of the request; 0 for what no call has printed.
    pub(crate) request: u64,
    /// The first and the last call, within the request. More than one where they are too short to be told apart.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// Takes the marks out of a child's output.
pub(crate) struct Marks {
    word: [u8; WORD],
    /// What may be the beginning of a mark.
    held: Vec<u8>,
    /// Where the child looks how much of its output was read: a file, and the offset of three numbers there.
    told: (File, u64),
    reads: u64,
    taken: u64,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Marked {
    Text(Vec<u8>),
    Mark(CallMark),
}

impl Marks {
    /// `told` is where the child looks how much of its output was read.
    pub(crate) fn new(told: (File, u64)) -> Marks {
        let mut word = *b"\0 gridmpi 0123456789abcd";
        let random = RandomState::new().build_hasher().finish();
        let digits = format!("{:014x}", random >> 8);
        word[10..].copy_from_slice(digits.as_bytes());
        Marks { word, held: Vec::new(), told, reads: 0, taken: 0 }
    }

    /// The word, for the child.
    pub(crate) fn word(&self) -> String {
        String::from_utf8_lossy(&self.word).into_owned()
    }

    /// Tells the child that its output is read now. It must know that before, since it compares what is read with what is
    /// left.
    pub(crate) fn begin_read(&mut self) {
        self.reads += 1;
        self.tell(0, self.reads);
    }

    /// Tells the child how much was read.
    pub(crate) fn end_read(&mut self, bytes: usize) {
        self.taken += bytes as u64;
        self.tell(2, self.taken);
        self.tell(1, self.reads);
    }

    fn tell(&self, place: u64, number: u64) {
        let at = self.told.1 + place * size_of::<u64>() as u64;
        let _ = self.told.0.write_all_at(&number.to_ne_bytes(), at);
    }

    /// Splits what was printed next at the marks.
    pub(crate) fn split(&mut self, bytes: &[u8]) -> Vec<Marked> {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let (mut parts, mut rest) = (Vec::new(), &all[..]);
        while let Some(at) = rest.iter().position(|byte| *byte == self.word[0]) {
            let is_whole = rest.len() >= at + WORD + NUMBERS;
            let word = &rest[at..(at + WORD).min(rest.len())];
            if !self.word.starts_with(word) {
                push_text(&mut parts, &rest[..=at]); // the user's
                rest = &rest[at + 1..];
            } else if is_whole {
                push_text(&mut parts, &rest[..at]);
                let numbers = &rest[at + WORD..at + WORD + NUMBERS];
                let (numbers, _) = numbers.as_chunks();
                let number = |at: usize| u64::from_le_bytes(numbers[at]);
                let (request, first, last) = (number(0), number(1), number(2));
                parts.push(Marked::Mark(CallMark { request, first, last }));
                rest = &rest[at + WORD + NUMBERS..];
            } else {
                push_text(&mut parts, &rest[..at]);
                self.held = rest[at..].to_vec();
                return parts;
            }
        }
        push_text(&mut parts, rest);
        parts
    }

    /// What was held and is no mark, at the end of the output.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

fn push_text(parts: &mut Vec<Marked>, text: &[u8]) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Marked::Text(before)) => before.extend_from_slice(text),
        _ => parts.push(Marked::Text(text.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_however_the_output_is_cut() {
        let mut marks = Marks::new((tempfile::tempfile().unwrap(), 8));
        let mark = |request: u64, first: u64, last: u64| {
            let numbers = [request, first, last].map(u64::to_le_bytes).concat();
            [&marks.word[..], &numbers].concat()
        };
        let text = b"one\0 gridmpi \0\0two\xff";
        let all = [&text[..], &mark(1, 0, 0), &mark(1, 1, 4), b"\0three", &mark(2, 0, 9)].concat();
        let mark = |request, first, last| Marked::Mark(CallMark { request, first, last });
        let expected = [
            Marked::Text(text.to_vec()),
            mark(1, 0, 0),
            mark(1, 1, 4),
            Marked::Text(b"\0three".to_vec()),
            mark(2, 0, 9),
        ];
        for length in [1, 2, 7, 40, 1000] {
            let mut parts = Vec::new();
            for piece in all.chunks(length) {
                for part in marks.split(piece) {
                    match part {
                        Marked::Text(text) => push_text(&mut parts, &text),
                        mark => parts.push(mark),
                    }
                }
            }
            assert_eq!(parts, expected, "{length}");
            assert!(marks.rest().is_empty());
        }
        let word = marks.word[..10].to_vec();
        assert_eq!((marks.split(&word), marks.rest()), (vec![], word));
        let other = Marks::new((tempfile::tempfile().unwrap(), 8));
        assert_ne!(marks.word(), other.word());
    }
}
