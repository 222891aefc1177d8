//! Parses evenly spaced dates: `dates = { from = 2024-01-01, to = 2024-03-01, step = "7d" }`.

use jiff::civil::{Date, DateTime};
use jiff::{Span, Unit};

use crate::job::parse::keys::TomlEntry;
use crate::job::parse::listed::MOST_LISTED;
use crate::model::Value;
use crate::util::error::Result;

fn has_offset(time: &str) -> bool {
    time.get(11..).is_none_or(|clock| clock.contains(['Z', 'z', '+', '-', '[']))
}

/// A day, or a time of a day.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Day {
    Whole(Date),
    Timed(DateTime),
}

impl Day {
    fn parse(entry: &TomlEntry) -> Result<Day> {
        let text = entry.time()?;
        let is_day = text.len() <= 10;
        let parsed = match is_day {
            true => text.parse().map(Day::Whole).ok(),
            // With an offset it would be parsed too, and lose it.
            false if has_offset(&text) => None,
            false => text.parse().map(Day::Timed).ok(),
        };
        parsed.ok_or_else(|| {
            entry.error(format!(
                "expected a date such as 2024-01-31, or a time without an offset such as 2024-01-31T06:00:00, found {text}"
            ))
        })
    }

    fn plus(self, span: Span) -> Option<Day> {
        match self {
            Day::Whole(date) => date.checked_add(span).map(Day::Whole).ok(),
            Day::Timed(time) => time.checked_add(span).map(Day::Timed).ok(),
        }
    }

    fn text(self) -> Value {
        Value::Text(match self {
            Day::Whole(date) => date.to_string(),
            Day::Timed(time) => time.to_string(),
        })
    }
}

/// The days as ISO 8601 has them; `to` is one if a step ends there. Each is so many steps from the first: the
/// months after January 31 have their last day.
pub(super) fn points(entry: &TomlEntry) -> Result<Vec<Value>> {
    let mut table = entry.table()?;
    let (from_entry, to_entry) = (table.need("from")?, table.need("to")?);
    let (from, to) = (Day::parse(&from_entry)?, Day::parse(&to_entry)?);
    if std::mem::discriminant(&from) != std::mem::discriminant(&to) {
        return Err(to_entry.error("'from' and 'to' must both be dates, or both have a time"));
    }
    let step_entry = table.need("step")?;
    table.finish()?;
    let step = step(&step_entry, matches!(from, Day::Whole(_)))?;
    let is_back = step.is_negative();
    let is_within = |day: &Day| if is_back { *day >= to } else { *day <= to };
    let mut days = Vec::new();
    for number in 0.. {
        let day = step.checked_mul(number).ok().and_then(|span| from.plus(span));
        let Some(day) = day.filter(is_within) else { break };
        if days.len() as u64 == MOST_LISTED {
            return Err(entry.error(format!("more than {MOST_LISTED} dates: take a longer step")));
        }
        days.push(day.text());
    }
    match days.is_empty() {
        true => Err(entry.error(format!(
            "no dates: 'to' is {} 'from'",
            if is_back { "after" } else { "before" }
        ))),
        false => Ok(days),
    }
}

fn step(entry: &TomlEntry, is_of_days: bool) -> Result<Span> {
    let text = entry.text()?;
    let step: Span = text.parse().map_err(|_| {
        entry.error(format!(
            "expected a step such as \"7d\", \"1w\", \"1mo\", \"1y\" or \"6h\", found \"{text}\""
        ))
    })?;
    if step.is_zero() {
        return Err(entry.error("expected a step over 0"));
    }
    let smallest = [
        (step.get_hours() != 0, Unit::Hour),
        (step.get_minutes() != 0, Unit::Minute),
        (step.get_seconds() != 0, Unit::Second),
        (
            step.get_milliseconds() != 0
                || step.get_microseconds() != 0
                || step.get_nanoseconds() != 0,
            Unit::Nanosecond,
        ),
    ];
    let timed = smallest.iter().find(|(is_there, _)| *is_there);
    if is_of_days && timed.is_some() {
        let month =
            if step.get_minutes() != 0 { " (a month is \"1mo\", \"1m\" is a minute)" } else { "" };
        return Err(entry.error(format!(
            "\"{text}\" is no whole number of days: give 'from' and 'to' a time, as in 2024-01-31T00:00:00{month}"
        )));
    }
    Ok(step)
}
