//! How often, how long and how many: `retries`, `timeout`, `max_failures`, `require`.

use std::time::Duration;

use crate::job::parse::keys::{TomlEntry, TomlTable};
use crate::model::{Completeness, Value};
use crate::util::error::Result;

pub(super) fn retries(entry: &TomlEntry) -> Result<u32> {
    let retries = entry.count(0)?;
    u32::try_from(retries).map_err(|_| entry.error(format!("{retries} is more than 2^32 - 1")))
}

/// How many runs may fail: `max_failures` is a number or a fraction, `on_failure` means none or all.
pub(super) fn most_failures(table: &mut TomlTable, tasks: u64) -> Result<Option<u64>> {
    let most = table.take("max_failures");
    if let Some(entry) = table.take("on_failure") {
        if most.is_some() {
            return Err(entry.error("says the same as max_failures; keep one of them"));
        }
        return match entry.text()?.as_str() {
            "keep" => Ok(None),
            "stop" => Ok(Some(0)),
            other => Err(entry.error(format!("expected \"keep\" or \"stop\", found \"{other}\""))),
        };
    }
    let Some(entry) = most else { return Ok(None) };
    match entry.value()? {
        Value::Int(_) => entry.count(0).map(Some),
        Value::Float(fraction) if (0.0..1.0).contains(&fraction) => {
            Ok(Some((fraction * tasks as f64).floor() as u64))
        }
        other => Err(entry.error(format!(
            "expected a count, or a fraction of all runs from 0.0 to under 1.0, found {other}"
        ))),
    }
}

pub(super) fn timeout(entry: &TomlEntry) -> Result<Duration> {
    match entry.number()? {
        seconds if seconds > 0.0 && seconds < 1e9 => Ok(Duration::from_secs_f64(seconds)),
        other => Err(entry.error(format!("expected seconds, over 0, found {other}"))),
    }
}

pub(super) fn require(entry: &TomlEntry) -> Result<Completeness> {
    if let Ok(text) = entry.text() {
        return match text.as_str() {
            "all" => Ok(Completeness::All),
            _ => Err(entry.error(format!("expected \"all\" or a fraction, found \"{text}\""))),
        };
    }
    match entry.number()? {
        fraction if fraction > 0.0 && fraction <= 1.0 => Ok(Completeness::Fraction(fraction)),
        other => Err(entry.error(format!("expected over 0 and up to 1, found {other}"))),
    }
}
