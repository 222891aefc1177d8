//! Says which points have no task below them.

use crate::model::nest::{Loop, LoopNest};
use crate::model::value::Value;
use crate::util::text::count;

/// How many of them are named.
const NAMED: usize = 5;

impl LoopNest {
    /// A line per loop of which points have no task, such as `2 of 40 points of subject have no session:
    /// sub-07, sub-31`.
    pub(crate) fn left_out_in_words(&self) -> Vec<String> {
        self.left_out_lines(Loop::shown)
    }

    /// The same with the points themselves, where loops have labels.
    pub(crate) fn left_out_by_points(&self) -> Vec<String> {
        self.left_out_lines(|l, point| l.points.get(point))
    }

    fn left_out_lines(&self, shown: impl Fn(&Loop, u64) -> Value) -> Vec<String> {
        let value = |level: usize, point: u64| match shown(&self.loops()[level], point) {
            Value::Null => "none".to_string(),
            value => value.to_string(),
        };
        let mut lines = Vec::new();
        for (level, left_out) in self.left_out().iter().enumerate() {
            let (Some(own), Some(inside)) = (self.loops().get(level), self.loops().get(level + 1))
            else {
                continue;
            };
            if left_out.count == 0 {
                continue;
            }
            let name = |points: &Vec<(usize, u64)>| match points.as_slice() {
                [(_, point)] => value(level, *point),
                several => {
                    let of = |(level, point): &(usize, u64)| {
                        format!("{} = {}", self.loops()[*level].name, value(*level, *point))
                    };
                    several.iter().map(of).collect::<Vec<_>>().join(" and ")
                }
            };
            let is_several = left_out.named.first().is_some_and(|points| points.len() > 1);
            let names: Vec<String> = left_out.named.iter().take(NAMED).map(name).collect();
            let more = match left_out.count - names.len() as u64 {
                0 => String::new(),
                more => format!(", and {} more", count(more)),
            };
            let between = if is_several { "; " } else { ", " };
            lines.push(format!(
                "{} of {} points of {} have no {}: {}{more}",
                count(left_out.count),
                count(left_out.of),
                own.name,
                inside.name,
                names.join(between)
            ));
        }
        lines
    }
}
