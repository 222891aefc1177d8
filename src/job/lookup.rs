//! Finds the task that a user names: by its number, or by its coordinates as `alpha=0.1 fold=2`.

use crate::job::named_json;
use crate::model::{Loop, LoopNest, Points, Value};
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
    let (mut points, mut missing) = (Vec::new(), None);
    for (l, wanted) in nest.loops().iter().zip(wanted) {
        let point = match point(l, &wanted) {
            // An error in a given coordinate is reported before a missing one.
            Err(error) if wanted.is_empty() => {
                missing.get_or_insert(error);
                0
            }
            point => point?,
        };
        points.push(point);
    }
    if let Some(error) = missing {
        return Err(error);
    }
    match nest.key_at(&points) {
        Some(key) => Ok(key.index),
        None => Err(Error::input(format!(
            "{}: the job has no such task, since its loops depend on each other",
            words.join(" ")
        ))),
    }
}

/// A task's coordinates, exactly: one word per loop.
pub(crate) fn words(nest: &LoopNest, task: u64) -> Vec<String> {
    let coordinates = nest.coordinates(nest.task(task));
    let exact = |value: &Value| match value {
        Value::Record(_) | Value::List(_) => value.to_exact(),
        plain => plain.to_string(),
    };
    coordinates.into_iter().map(|(name, value)| format!("{name}={}", exact(&value))).collect()
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

/// The one point of a loop that has all the wanted values.
fn point(l: &Loop, wanted: &[(&str, Option<&str>, &str)]) -> Result<u64> {
    if let (Points::Range { from, step, count }, [(_, None, value)]) = (&l.points, wanted) {
        let number = value.parse::<i64>().ok().and_then(|number| number.checked_sub(*from));
        let place = number.filter(|n| n % step == 0).map(|n| n / step);
        return match place.and_then(|place| u64::try_from(place).ok()) {
            Some(place) if place < *count => Ok(place),
            _ => Err(nothing(l, wanted)),
        };
    }
    let found = |agree: fn(&Value, &str) -> bool| -> Vec<u64> {
        let is = |value: &Value| {
            wanted.iter().all(|(_, field, text)| match field {
                Some(field) => value.field(field).is_some_and(|value| agree(value, text)),
                None => agree(value, text),
            })
        };
        (0..l.points.len()).filter(|i| is(&l.points.get(*i))).collect()
    };
    if wanted.is_empty() {
        return match l.points.len() {
            1 => Ok(0),
            _ => Err(Error::input(format!(
                "which {0}? Give it too, as {0}=VALUE: {1}",
                l.name,
                listed(l, 0..l.points.len())
            ))),
        };
    }
    let mut same = found(is_same);
    if same.is_empty() {
        same = found(is_alike);
    }
    let equal = |places: &[u64]| places.iter().all(|i| l.points.get(*i) == l.points.get(places[0]));
    match same.as_slice() {
        [] => Err(nothing(l, wanted)),
        several if equal(several) => Ok(several[0]), // the first of equal ones
        several => Err(Error::input(format!(
            "{} points of {} are {}: {}; say which",
            several.len(),
            l.name,
            said(wanted),
            listed(l, several.iter().copied())
        ))),
    }
}

fn said(wanted: &[(&str, Option<&str>, &str)]) -> String {
    let words = wanted.iter().map(|(name, _, value)| format!("{name}={value}"));
    words.collect::<Vec<_>>().join(" ")
}

fn nothing(l: &Loop, wanted: &[(&str, Option<&str>, &str)]) -> Error {
    let points = listed(l, 0..l.points.len());
    Error::input(format!("{}: loop '{}' has no such point: {points}", said(wanted), l.name))
}

fn listed(l: &Loop, points: impl Iterator<Item = u64>) -> String {
    let mut points = points.peekable();
    let first: Vec<String> =
        points.by_ref().take(LISTED as usize).map(|i| l.points.get(i).to_string()).collect();
    let more = if points.peek().is_some() { ", ..." } else { "" };
    format!("{}{more}", first.join(", "))
}

fn is_same(value: &Value, text: &str) -> bool {
    match value {
        Value::Text(known) => known == text,
        Value::Null => ["null", "none", "None"].contains(&text),
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
        let l = |(name, points): (&str, Points)| Loop {
            name: name.to_string(),
            points,
            reduce: None,
            is_data: false,
            none: None,
            require: None,
        };
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
        let name = "x".to_string();
        let l = Loop {
            name,
            points: Points::List(points),
            reduce: None,
            is_data: false,
            none: None,
            require: None,
        };
        let nest = LoopNest::new(vec![l]).unwrap();
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
