//! Early stopping: `stop` of a loop, and `score_range`, within which a run's score lies.

use crate::job::parse::keys::TomlEntry;
use crate::model::{LoopNest, Order, Policy, ScoreRange, StopRule, Value, check_stops};
use crate::util::error::Result;

/// `stop` of a loop, before the range of scores is known.
pub(super) struct ParsedStop<'a> {
    entry: TomlEntry<'a>,
    /// By how much and from where on points are halved; surely if `None`.
    halve: Option<(u64, u64)>,
}

impl<'a> ParsedStop<'a> {
    pub(super) fn of(entry: TomlEntry<'a>) -> Result<ParsedStop<'a>> {
        if !entry.is_table() {
            return match entry.text()?.as_str() {
                "sure" => Ok(ParsedStop { entry, halve: None }),
                other => Err(entry.error(format!(
                    "expected \"sure\" or {{ halve = 3, from = 1 }}, found \"{other}\""
                ))),
            };
        }
        let mut table = entry.table()?;
        let halve = table.need("halve")?.count(2)?;
        let from = table.take("from").map_or(Ok(1), |from| from.count(1))?;
        table.finish()?;
        Ok(ParsedStop { entry, halve: Some((halve, from)) })
    }
}

/// `score_range = [0, 1]`; either end may be infinite.
pub(super) fn score_range(entry: &TomlEntry) -> Result<ScoreRange> {
    let wrong = || entry.error("expected [least, most], two numbers, such as [0, 1] or [0, inf]");
    let ends = entry.array()?;
    let [least, most] = ends.as_slice() else { return Err(wrong()) };
    let number = |end: &TomlEntry| match end.value()? {
        Value::Int(whole) => Ok(whole as f64),
        Value::Float(number) => Ok(number),
        _ => Err(wrong()),
    };
    let (least, most) = (number(least)?, number(most)?);
    ScoreRange::new(least, most).ok_or_else(|| entry.error(format!("{least} is not below {most}")))
}

/// The nest with its rules to stop points.
pub(super) fn stopping(
    nest: LoopNest,
    stops: &[(usize, ParsedStop)],
    policy: &Policy,
) -> Result<LoopNest> {
    let mut nest = nest;
    for (level, ParsedStop { entry, halve }) in stops {
        let rule = match (halve, policy.score_range) {
            (Some((by, from)), _) => StopRule::Halve { by: *by, from: *from },
            (None, Some(range)) => StopRule::Sure(range),
            (None, None) => {
                return Err(entry.error(
                    "\"sure\" needs score_range = [least, most] in [crunch]: between what the score of a run lies",
                ));
            }
        };
        if policy.order != Order::Grid {
            return Err(entry
                .error("decisions are made in grid order; take order = out of the job, or this"));
        }
        nest = nest.stopping(*level, rule);
    }
    check_stops(&nest, policy.require).map_err(|(level, why)| {
        let entry = stops.iter().find(|(of, _)| *of == level).map(|(_, stop)| &stop.entry);
        entry.expect("only loops with stop are refused").error(why)
    })?;
    Ok(nest)
}
