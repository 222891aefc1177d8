//! A part of a job: the tasks of a share of the outermost loop's points, computed in an allocation of its
//! own.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::model::key::Key;
use crate::model::nest::LoopNest;

/// The part with this number, from 1, of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct JobPart {
    pub(crate) of: u32,
    pub(crate) number: u32,
}

impl JobPart {
    /// Reads `2/4`, or `2-of-4`, the name of a part's folder.
    pub(crate) fn parse(text: &str) -> Result<JobPart, String> {
        let numbers = text.split_once('/').or_else(|| text.split_once("-of-"));
        let part = numbers.and_then(|(number, of)| {
            Some(JobPart { number: number.parse().ok()?, of: of.parse().ok()? })
        });
        part.filter(|part| (1..=part.of).contains(&part.number))
            .ok_or_else(|| "expected the part and how many there are, such as 2/4".to_string())
    }

    /// The name of its folder.
    pub(crate) fn folder_name(self) -> String {
        format!("{}-of-{}", self.number, self.of)
    }

    /// All parts that there are with this one.
    pub(crate) fn all(self) -> impl Iterator<Item = JobPart> {
        (1..=self.of).map(move |number| JobPart { number, ..self })
    }

    /// Its tasks: those of consecutive points of the outermost loop, of which each part has as many as the
    /// others, or one more.
    pub(crate) fn tasks(self, nest: &LoopNest) -> Range<u64> {
        let points = nest.loops()[0].points.len();
        let begin = |parts: u32| {
            let point = u128::from(points) * u128::from(parts) / u128::from(self.of);
            let key = nest.child(Key::ROOT, point as u64);
            key.map_or(nest.tasks(), |key| nest.tasks_below(key).start)
        };
        begin(self.number - 1)..begin(self.number)
    }
}

impl fmt::Display for JobPart {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "part {} of {}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_in_one_part() {
        for (points, of) in [(10, 4), (4, 4), (7, 3), (1, 1), (100, 7), (3, 5)] {
            let nest = LoopNest::sized(&[points, 3], 1);
            let mut next = 0;
            for part in (JobPart { number: 1, of }).all() {
                let tasks = part.tasks(&nest);
                assert_eq!((tasks.start, tasks.start % 3), (next, 0), "{part}");
                let least = points / u64::from(of);
                assert!((least..=least + 1).contains(&((tasks.end - tasks.start) / 3)), "{part}");
                next = tasks.end;
            }
            assert_eq!(next, nest.tasks());
        }
    }

    #[test]
    fn a_part_is_read_from_an_option_and_a_folder() {
        let part = JobPart { number: 2, of: 4 };
        assert_eq!(
            (JobPart::parse("2/4"), JobPart::parse(&part.folder_name())),
            (Ok(part), Ok(part))
        );
        for wrong in ["", "2", "0/4", "5/4", "a/4", "2/4/5", "-1/4", "2-of-", "+"] {
            assert!(JobPart::parse(wrong).is_err(), "{wrong}");
        }
    }
}
