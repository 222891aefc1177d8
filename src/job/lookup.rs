//! Finds the task that a user names: by its number, or by its coordinates as `alpha=0.1 fold=2`.

use crate::job::named_json;
use crate::model::{Key, Loop, LoopNest, Points, Value};
use crate::util::error::{Error, Result};
use crate::util::text::did_you_mean;

/// Relative tolerance when numbers are compared: tables show six digits.
const SIX_DIGITS: f64 = 5e-6;

const LISTED: u64 = 8;

/// The task that these words name.
pub(crate) fn task(nest: &LoopNest, words: &[String]) -> Result<u64> {
    if let [word] = words
        && let Ok(task) = word.parse::<u64>()
    {
        return match task < nest.tasks() {
            true => Ok(task),
            false => {
                let (tasks, last) = (nest.tasks(), nest.tasks() - 1);
                Err(Error::input(format!("task {task}: there are {tasks}, from 0 to {last}")))
            }
        };
    }
    let mut wanted = vec![Vec::new(); nest.depth()];
    for word in words {
        let (name, value) = word.split_once('=').ok_or_else(|| {
            Error::input(format!(
                "\"{word}\": expected a task's number, or coordinates such as {}",
                example(nest)
            ))
        })?;
        let (level, field) = column(nest, name)?;
        wanted[level].push((name, field, value));
    }
    // An error in a given coordinate is reported before a missing one.
    let (mut found, mut missing) = (Ok(Key::ROOT), None);
    for (l, wanted) in nest.loops().iter().zip(wanted) {
        let given = match wanted.is_empty() {
            true => None,
            false => Some(points(l, &wanted)?),
        };
        if missing.is_some() {
            continue;
        }
        found = match (found, given) {
            (Ok(key), None) => only_child(nest, key).or_else(|error| {
                missing = Some(error);
                Ok(key)
            }),
            (Ok(key), Some(given)) => child(nest, key, &wanted, &given),
            (failed, _) => failed,
        };
    }
    match missing {
        Some(error) => Err(error),
        None => found.map(|key| key.index),
    }
}

/// A task's coordinates, exactly: one word per loop that applies.
pub(crate) fn words(nest: &LoopNest, task: u64) -> Vec<String> {
    let exact = |value: &Value| match value {
        Value::Record(_) | Value::List(_) => value.to_exact(),
        plain => plain.to_string(),
    };
    let coordinates = nest.applying(nest.task(task));
    coordinates.into_iter().map(|(name, value)| format!("{name}={}", exact(&value))).collect()
}

/// The key directly inside a key, if there is but one.
fn only_child(nest: &LoopNest, key: Key) -> Result<Key> {
    let l = &nest.loops()[key.level];
    match nest.child(key, 0) {
        Some(child) if nest.slots(key) == 1 => Ok(child),
        _ => Err(Error::input(format!(
            "which {0}? Give it too, as {0}=VALUE: {1}",
            l.name,
            listed_at(nest, key)
        ))),
    }
}

/// The key directly inside a key at one of these points.
fn child(nest: &LoopNest, key: Key, wanted: &[WantedValue], points: &[u64]) -> Result<Key> {
    let l = &nest.loops()[key.level];
    let mut there = points.iter().filter_map(|point| Some((*point, nest.child_at(key, *point)?)));
    let Some((first, child)) = there.next() else {
        let around: Vec<String> =
            nest.applying(key).iter().map(|(name, value)| format!("{name}={value}")).collect();
        let around = match around.join(" ") {
            none if none.is_empty() => String::new(),
            around => format!(" at {around}"),
        };
        let only = nest.child(key, 0).map(|child| nest.point(child));
        return Err(Error::input(match l.none.is_some() && l.none == only {
            true => format!(
                "{}: loop '{}' does not apply{around}: leave it out, or write {}=none",
                said(wanted),
                l.name,
                l.name
            ),
            false => format!(
                "{}: loop '{}' has no such point{around}: {}",
                said(wanted),
                l.name,
                listed_at(nest, key)
            ),
        }));
    };
    let value = l.points.get(first);
    let others: Vec<u64> =
        there.map(|(point, _)| point).filter(|point| l.points.get(*point) != value).collect();
    match others.is_empty() {
        true => Ok(child), // the first of equal ones
        false => Err(Error::input(format!(
            "{} points of {} are {}: {}; say which",
            others.len() + 1,
            l.name,
            said(wanted),
            listed(l, std::iter::once(first).chain(others))
        ))),
    }
}

fn example(nest: &LoopNest) -> String {
    words(nest, 0).join(" ")
}

/// The loop that a name stands for, and the field of its points, if it names one.
fn column<'n>(nest: &LoopNest, name: &'n str) -> Result<(usize, Option<&'n str>)> {
    let loops = nest.loops();
    if let Some(level) = loops.iter().position(|l| l.name == name) {
        return Ok((level, None));
    }
    if let Some((of, field)) = name.split_once('.')
        && let Some(level) = loops.iter().position(|l| l.name == of)
        && loops[level].points.fields().iter().any(|known| known == field)
    {
        return Ok((level, Some(field)));
    }
    let mut known: Vec<String> = loops.iter().map(|l| l.name.clone()).collect();
    for l in loops {
        known.extend(l.points.fields().iter().map(|field| format!("{}.{field}", l.name)));
    }
    let (near, all) = (did_you_mean(name, &known, "'"), known.join(", "));
    Err(Error::input(format!("there is no loop '{name}'{near} (loops: {all})")))
}

/// A name as it was given, the field that it stands for if any, and the value.
type WantedValue<'w> = (&'w str, Option<&'w str>, &'w str);

/// The points of a loop that have all the wanted values; at least one.
fn points(l: &Loop, wanted: &[WantedValue]) -> Result<Vec<u64>> {
    if let [(_, None, label)] = wanted
        && l.has_labels()
        && let Some(point) = (0..l.points.len()).find(|point| l.label(*point) == Some(*label))
        && !(0..l.points.len()).any(|point| is_same(&l.points.get(point), label))
    {
        return Ok(vec![point]); // as tables have it
    }
    if let (Points::Range { from, step, count }, [(_, None, value)]) = (&l.points, wanted) {
        let number = value.parse::<i64>().ok().and_then(|number| number.checked_sub(*from));
        let place = number.filter(|n| n % step == 0).map(|n| n / step);
        return match place.and_then(|place| u64::try_from(place).ok()) {
            Some(place) if place < *count => Ok(vec![place]),
            _ => Err(nothing(l, wanted)),
        };
    }
    let found = |agree: fn(&Value, &str) -> bool| -> Vec<u64> {
        let is = |value: &Value| {
            wanted.iter().all(|(_, field, text)| match field {
                Some(field) => match value.field(field) {
                    Some(value) => agree(value, text),
                    None => is_none(text),
                },
                None => agree(value, text),
            })
        };
        (0..l.points.len()).filter(|i| is(&l.points.get(*i))).collect()
    };
    let mut same = found(is_same);
    if same.is_empty() {
        same = found(is_alike);
    }
    if same.is_empty() { Err(nothing(l, wanted)) } else { Ok(same) }
}

fn said(wanted: &[WantedValue]) -> String {
    let words = wanted.iter().map(|(name, _, value)| format!("{name}={value}"));
    words.collect::<Vec<_>>().join(" ")
}

fn nothing(l: &Loop, wanted: &[WantedValue]) -> Error {
    let points = listed(l, 0..l.points.len());
    Error::input(format!("{}: loop '{}' has no such point: {points}", said(wanted), l.name))
}

fn listed(l: &Loop, points: impl Iterator<Item = u64>) -> String {
    let mut points = points.peekable();
    let word = |point| match l.points.get(point) {
        Value::Null => "none".to_string(),
        value => value.to_string(),
    };
    let first: Vec<String> = points.by_ref().take(LISTED as usize).map(word).collect();
    let more = if points.peek().is_some() { ", ..." } else { "" };
    format!("{}{more}", first.join(", "))
}

/// The points that the loop directly inside a key has there.
fn listed_at(nest: &LoopNest, key: Key) -> String {
    let children = nest.children(key);
    let point = |index| nest.point(Key { level: key.level + 1, index });
    listed(&nest.loops()[key.level], children.map(point))
}

/// Whether a word stands for none: as tables and CSV, JSON and Python, or this program print it.
fn is_none(text: &str) -> bool {
    ["", "null", "none", "None"].contains(&text)
}

fn is_same(value: &Value, text: &str) -> bool {
    match value {
        Value::Null => is_none(text),
        Value::Text(known) => known == text,
        Value::Int(_) | Value::Float(_) => {
            text.parse::<f64>().is_ok_and(|number| value.as_f64() == Some(number))
        }
        Value::Record(_) | Value::List(_) => exact(&Value::from_exact(text)) == exact(value),
        other => Value::parse(text).is_ok_and(|given| given.to_json() == other.to_json()),
    }
}

/// A text that is the same for records with the same fields in any order.
fn exact(value: &Value) -> String {
    match value {
        Value::Record(fields) => {
            let mut fields = fields.clone();
            fields.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Record(fields).to_exact()
        }
        other => other.to_exact(),
    }
}

fn is_alike(value: &Value, text: &str) -> bool {
    match value {
        Value::Text(known) => {
            let path = std::path::Path::new(known);
            let is = |name: Option<&std::ffi::OsStr>| name.is_some_and(|name| name == text);
            is(path.file_name()) || is(path.file_stem())
        }
        Value::Float(known) => text
            .parse::<f64>()
            .is_ok_and(|number| (known - number).abs() <= SIX_DIGITS * number.abs()),
        _ => false,
    }
}

pub(crate) fn coordinates_json(nest: &LoopNest, task: u64) -> serde_json::Value {
    named_json(&nest.coordinates(nest.task(task)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nest() -> LoopNest {
        let list = |json: &str| {
            let Ok(Value::List(values)) = Value::parse(json) else { panic!("{json}") };
            Points::List(values)
        };
        let l = |(name, points): (&str, Points)| Loop::new(name, points, None);
        let loops = [
            ("dataset", list(r#"["data/a.csv", "data/b.csv", "more/b.csv"]"#)),
            ("alpha", list("[0.1, 0.316227766, 1.0, 1.0]")),
            ("p", list(r#"[{"depth": 2, "rate": 0.1}, {"depth": 3, "rate": 0.1}]"#)),
            ("fold", Points::Range { from: 10, step: -2, count: 5 }),
        ];
        LoopNest::new(loops.into_iter().map(l).collect()).unwrap()
    }

    fn find(words: &str) -> Result<u64, String> {
        let words: Vec<String> = words.split_whitespace().map(String::from).collect();
        task(&nest(), &words).map_err(|error| error.to_string())
    }

    #[test]
    fn tasks_are_found_by_number_or_coordinates() {
        for (words, task) in [
            ("7", 7),
            ("dataset=data/a.csv alpha=0.1 p.depth=2 fold=10", 0),
            ("dataset=a.csv alpha=.1 p.depth=2 fold=8", 1),
            ("fold=2 dataset=a alpha=0.316228 p.depth=3", 19),
            (r#"dataset=more/b.csv alpha=1 p={"rate":0.1,"depth":3} fold=10"#, 105),
        ] {
            assert_eq!(find(words), Ok(task), "{words}");
        }
        for task in 0..nest().tasks() {
            let words = words(&nest(), task);
            let found = super::task(&nest(), &words).map_err(|error| error.to_string()).unwrap();
            assert_eq!(coordinates_json(&nest(), found), coordinates_json(&nest(), task));
        }
    }

    #[test]
    fn infinities_and_none_are_told_from_words() {
        let infinite = |value| Value::Record(vec![("a".to_string(), value)]);
        let points = vec![
            Value::Null,
            Value::Float(f64::INFINITY),
            infinite(Value::Float(f64::INFINITY)),
            infinite("Infinity".into()),
        ];
        let nest = LoopNest::new(vec![Loop::new("x", Points::List(points), None)]).unwrap();
        for (word, expected) in [
            ("x=none", 0),
            ("x=null", 0),
            ("x=inf", 1),
            ("x={\"a\":9e999}", 2),
            ("x={\"a\": Infinity}", 2),
            ("x={\"a\":\"Infinity\"}", 3),
        ] {
            let found = task(&nest, &[word.to_string()]).map_err(|error| error.to_string());
            assert_eq!(found, Ok(expected), "{word}");
        }
        for task in 0..4 {
            assert!(matches!(super::task(&nest, &words(&nest, task)), Ok(found) if found == task));
        }
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        for (words, says) in [
            ("120", "task 120: there are 120, from 0 to 119"),
            ("x", "expected a task's number, or coordinates such as dataset=data/a.csv alpha=0.1"),
            (
                "alhpa=1",
                "there is no loop 'alhpa'; did you mean 'alpha'? (loops: dataset, alpha, p, fold, p.depth",
            ),
            (
                "dataset=b alpha=1 p.depth=2 fold=10",
                "2 points of dataset are dataset=b: data/b.csv, more/b.csv",
            ),
            (
                "dataset=a alpha=0.2 p.depth=2 fold=10",
                "alpha=0.2: loop 'alpha' has no such point: 0.1, 0.316227766",
            ),
            ("dataset=a alpha=0.1 p.rate=0.1 fold=10", "2 points of p are p.rate=0.1"),
            (
                "dataset=a alpha=0.1 p.depth=2",
                "which fold? Give it too, as fold=VALUE: 10, 8, 6, 4, 2",
            ),
            ("dataset=a alpha=0.1 p.depth=2 fold=3", "fold=3: loop 'fold' has no such point"),
            ("dataset=a alpha=0.1 p.depth=2 fold=0", "fold=0: loop 'fold' has no such point"),
        ] {
            let why = find(words).unwrap_err();
            assert!(why.contains(says), "{words}: {why}");
        }
    }
}
