//! Failures, grouped by their message. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::store::FailureRow;

/// Failures with the same message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FailureKind {
    /// The most informative line.
    pub(crate) message: String,
    /// The full text of the first failure.
    pub(crate) example: String,
    pub(crate) attempts: u64,
    /// How many of the attempts were followed by a successful one.
    pub(crate) mended: u64,
    /// The first few tasks, in grid order.
    pub(crate) tasks: Vec<u64>,
}

/// Limits: number of kinds, tasks listed per kind, and the length of an example. (bytes)
const KINDS: usize = 200;
const TASKS: usize = 8;
const LONGEST: usize = 4000;

#[derive(Default)]
pub(crate) struct Failures {
    kinds: BTreeMap<usize, FailureKind>,
    places: HashMap<String, usize>,
    /// Failures of further kinds, beyond the limit.
    pub(crate) others: u64,
}

impl Failures {
    pub(crate) fn add(&mut self, failure: FailureRow) {
        let message = message(&failure.error);
        let pattern = pattern(&message);
        let next = self.places.len();
        let place = match self.places.get(&pattern) {
            Some(place) => *place,
            None if next == KINDS => {
                self.others += 1;
                return;
            }
            None => {
                self.places.insert(pattern, next);
                next
            }
        };
        let kind = self.kinds.entry(place).or_insert_with(|| FailureKind {
            message: crate::report::beginning(&message, 300),
            example: crate::report::beginning(&failure.error, LONGEST),
            attempts: 0,
            mended: 0,
            tasks: Vec::new(),
        });
        kind.attempts += 1;
        kind.mended += u64::from(failure.mended);
        if kind.tasks.len() < TASKS && kind.tasks.last() != Some(&failure.task) {
            kind.tasks.push(failure.task);
        }
    }

    /// The kinds, the most frequent first.
    pub(crate) fn kinds(&self) -> Vec<&FailureKind> {
        let mut kinds: Vec<&FailureKind> = self.kinds.values().collect();
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.attempts));
        kinds
    }
}

/// One line for an error: the last line of a traceback; for a program, how it ended and the last line that it
/// wrote.
fn message(error: &str) -> String {
    let line = crate::report::in_a_line(error);
    let last = error.lines().rfind(|line| !line.trim().is_empty()).unwrap_or(line);
    if last == line { line.to_string() } else { format!("{line}: {}", last.trim()) }
}

/// A message without its numbers, so that "row 12 is empty" and "row 7 is empty" are one kind.
fn pattern(message: &str) -> String {
    let mut pattern = String::new();
    for c in message.chars() {
        match c.is_ascii_digit() {
            true if pattern.ends_with('#') => {}
            true => pattern.push('#'),
            false => pattern.push(c),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_whatever_the_numbers() {
        let mut failures = Failures::default();
        for (task, error, mended) in [
            (1, "row 12 is empty", false),
            (2, "Traceback (most recent call last):\n  File x\nValueError: row 3", true),
            (3, "row 7 is empty", false),
            (3, "row 8 is empty", true),
            (4, "./fit: exit status: 3\nreading\n  no such file\n\n", false),
        ] {
            failures.add(FailureRow { task, error: error.to_string(), mended });
        }
        let kinds = failures.kinds();
        assert_eq!(kinds.len(), 3);
        assert_eq!(kinds[2].message, "./fit: exit status: 3: no such file");
        assert_eq!((kinds[0].message.as_str(), kinds[0].attempts), ("row 12 is empty", 3));
        assert_eq!((kinds[0].mended, kinds[0].tasks.as_slice()), (1, &[1, 3][..]));
        assert_eq!(kinds[1].message, "ValueError: row 3");
    }

    #[test]
    fn too_many_kinds_are_counted() {
        let mut failures = Failures::default();
        for i in 0..KINDS as u32 + 5 {
            let error = format!("{}", char::from_u32(0x4e00 + i).unwrap());
            failures.add(FailureRow { task: 0, error, mended: false });
        }
        assert_eq!((failures.kinds().len(), failures.others), (KINDS, 5));
    }
}
