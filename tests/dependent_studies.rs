//! Studies whose loops depend on each other: what closures get, what is refused, and how runs are found again.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{Desk, gridmpi, sql_rows};
use gridmpi::{Exit, Nest, Outcome, Runs, Settings, Study, Value};
use serde::{Serialize, de::DeserializeOwned};

fn run<R, S>(study: Study<R, S>) -> Outcome<R, S>
where
    R: Serialize + DeserializeOwned + 'static,
    S: Serialize + DeserializeOwned + 'static,
{
    study.run(&Settings::default().threads(2)).unwrap().unwrap()
}

fn listed(runs: &Runs<String>) -> Vec<String> {
    runs.iter().map(|(i, run)| format!("{i}:{}:{run}", runs.point(i))).collect()
}

fn values<R, S: Clone>(outcome: &Outcome<R, S>) -> Vec<S> {
    outcome.summaries.iter().map(|row| row.value.clone().unwrap()).collect()
}

#[test]
fn a_subject_has_sessions_of_its_own() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = heard.clone();
    let study = Nest::new()
        .each("subject", ["ann", "bob", "eve", "joe"].map(String::from))
        .each_of("session", |(subject,)| {
            Ok(match subject.as_str() {
                "ann" => vec![7u8, 9, 5],
                "bob" => vec![5],
                "joe" => vec![9, 7],
                _ => Vec::new(),
            })
        })
        .crunch(|(subject, session), _| Ok(format!("{subject}{session}")))
        .reduce(listed)
        .on_summary(move |summary| {
            hear.lock().unwrap().push((summary.indices[0], summary.runs, summary.value?.len()));
            Ok(())
        });
    let folder = tempfile::tempdir().unwrap();
    let outcome = study.run(&Settings::default().out(folder.path())).unwrap().unwrap();
    let expected: [&[&str]; 3] =
        [&["0:7:ann7", "1:9:ann9", "2:5:ann5"], &["0:5:bob5"], &["0:9:joe9", "1:7:joe7"]];
    assert_eq!(values(&outcome), expected);
    heard.lock().unwrap().sort_unstable();
    assert_eq!(*heard.lock().unwrap(), [(0, 3, 3), (1, 1, 1), (3, 2, 2)]);
    let joe = &outcome.summaries[2];
    assert_eq!((joe.runs, joe.failed, &joe.indices[..]), (2, 0, &[3][..]));
    assert_eq!(joe.coordinates, [("subject".to_string(), Value::Text("joe".to_string()))]);
    let runs = outcome.runs(joe).unwrap();
    assert_eq!(runs, [Ok("joe9".to_string()), Ok("joe7".to_string())]);
    // Equal sessions of several subjects are one point.
    let store = folder.path().join("runs.sqlite");
    assert_eq!(sql_rows(&store, "SELECT key FROM points WHERE level = 1"), ["7", "9", "5"]);
    let rows = sql_rows(&store, "SELECT subject, session FROM all_runs ORDER BY task");
    assert_eq!(rows, ["ann|7", "ann|9", "ann|5", "bob|5", "joe|9", "joe|7"]);
    let left = sql_rows(&store, "SELECT value FROM job WHERE value LIKE '%have no%'");
    assert_eq!(left, ["[\"1 of 4 points of subject have no session: eve\"]"]);
}

#[test]
fn equal_points_of_one_place_are_two() {
    let study = Nest::new()
        .each("a", [2usize, 1, 2])
        .each_of("b", |(a,)| Ok(vec!["x".to_string(); *a]))
        .crunch(|(a, b), _| Ok(format!("{a}{b}")))
        .reduce(listed);
    let (two, one) = (vec!["0:x:2x", "1:x:2x"], vec!["0:x:1x"]);
    assert_eq!(values(&run(study)), [two.clone(), one, two]);
}

#[test]
fn the_outermost_loop_can_be_given_and_filtered() {
    let study = Nest::new()
        .each_of("a", |()| Ok((0..6).collect::<Vec<i32>>()))
        .filter(|(a,)| a % 2 == 1)
        .filter(|(a,)| *a > 1)
        .each("b", 0..2)
        .crunch(|(a, b), context| Ok(format!("{a}{b} at {:?}", context.indices())))
        .reduce(listed);
    let outcome = run(study);
    let expected =
        [["0:0:30 at [3, 0]", "1:1:31 at [3, 1]"], ["0:0:50 at [5, 0]", "1:1:51 at [5, 1]"]];
    assert_eq!(values(&outcome), expected);
    let indices: Vec<_> = outcome.summaries.iter().map(|row| row.indices[0]).collect();
    assert_eq!(indices, [3, 5], "as they were given");
    assert_eq!(outcome.runs(&outcome.summaries[1]).unwrap()[1], Ok("51 at [5, 1]".to_string()));
}

#[test]
fn data_sets_are_known_by_what_rank_0_has_of_them() {
    let loads = Arc::new(Mutex::new(Vec::new()));
    let log = loads.clone();
    let study = Nest::new()
        .named_data("site", || Ok(vec![("n".to_string(), vec![1, 2]), ("s".to_string(), vec![3])]))
        .load("file", ["a", "bb", "ccc"].map(String::from), move |name: &String| {
            log.lock().unwrap().push(name.clone());
            Ok(name.len() as f64)
        })
        .filter(|(site, name)| site.len() + name.len() < 5) // the data set here, the key there
        .each_of("row", |(site, name)| Ok(if name == "a" { Vec::new() } else { site.clone() }))
        .crunch(|(site, length, row), _| Ok(format!("{} {length} {row}", site.len())))
        .reduce(listed)
        .reduce(|rows: &Runs<Vec<String>>| {
            rows.iter().map(|(i, found)| format!("{} {found:?}", rows.point(i))).collect::<Vec<_>>()
        });
    let north = vec![r#"bb ["0:1:2 2 1", "1:2:2 2 2"]"#.to_string()];
    let south = vec![r#"bb ["0:3:1 2 3"]"#.to_string(), r#"ccc ["0:3:1 3 3"]"#.to_string()];
    assert_eq!(values(&run(study)), [north, south]);
    let mut loaded = std::mem::take(&mut *loads.lock().unwrap());
    loaded.sort();
    assert_eq!(loaded, ["bb", "ccc"], "what has no task is not loaded");
}

#[test]
fn closures_that_fail_name_the_loop_and_the_place() {
    let crunched = Arc::new(AtomicUsize::new(0));
    let refused = |wrong: &'static str| {
        let crunched = crunched.clone();
        let study = Nest::new()
            .each("subject", ["ann", "bob"].map(String::from))
            .each_of("day", move |(subject,)| match (wrong, subject.as_str()) {
                ("no days", _) => Ok(Vec::new()),
                ("read", "bob") => Err("no such file".into()),
                ("index", "bob") => Ok(vec![[1][subject.len()]]),
                _ => Ok(vec![3, 4]),
            })
            .filter(move |(subject, day)| match wrong {
                "all dropped" => false,
                "filter" => *day < 4 || subject == "ann" || panic!("no day"),
                _ => true,
            })
            .each_of("part", move |(subject, day)| match (wrong, subject.as_str(), day) {
                ("part", "bob", 4) => Err("it is\nbroken".into()),
                ("no parts", ..) => Ok(Vec::new()),
                _ => Ok(vec![0.5]),
            })
            .crunch(move |(_, day, part), _| {
                crunched.fetch_add(1, Ordering::Relaxed);
                Ok(f64::from(*day) * part)
            })
            .reduce(|runs: &Runs<f64>| runs.len());
        let error = study.run(&Settings::default()).err().unwrap();
        assert_eq!(error.exit, Exit::BadInput, "{error}");
        error.to_string()
    };
    assert_eq!(refused("read"), "loop 'day' at subject = \"bob\": no such file");
    let why = refused("index");
    assert!(
        why.starts_with("loop 'day' at subject = \"bob\": its closure panicked: index"),
        "{why}"
    );
    let why = "loop 'day' at subject = \"bob\" and day = 4: its filter panicked: no day";
    assert_eq!(refused("filter"), why);
    assert_eq!(refused("part"), "loop 'part' at subject = \"bob\" and day = 4: it is\nbroken");
    assert_eq!(refused("no days"), "loop 'day' has no points: its closure gives none anywhere");
    assert_eq!(refused("all dropped"), "loop 'day' has no points: its filter keeps none");
    assert_eq!(refused("no parts"), "loop 'part' has no points: its closure gives none anywhere");
    assert_eq!(crunched.load(Ordering::Relaxed), 0);
}

#[test]
fn points_that_cannot_be_sent_are_refused() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Odd {
        #[serde(flatten)]
        more: std::collections::BTreeMap<String, f64>,
    }
    let study = Nest::new()
        .each("a", [1, 2])
        .each_of("odd", |(a,)| {
            Ok((1..*a).map(|a| Odd { more: [("a".to_string(), f64::from(a))].into() }).collect())
        })
        .crunch(|_, _| Ok(1))
        .reduce(|runs: &Runs<i32>| runs.len());
    let why = study.run(&Settings::default()).err().unwrap().to_string();
    assert!(why.starts_with("loop 'odd' at a = 2: point 0: ") && why.contains("flatten"), "{why}");
    let study = Nest::new()
        .each("a", [1])
        .each_of("a", |_| Ok(vec![1]))
        .crunch(|_, _| Ok(1))
        .reduce(|runs: &Runs<i32>| runs.len());
    let why = study.run(&Settings::default()).err().unwrap().to_string();
    assert_eq!(why, "there is a loop 'a' already");
}

/// Of a longer text, the store shows the beginning.
const LONG: usize = 1 << 20;

/// A study over subjects and their sessions, whose points are long, and the calls that it makes.
fn sessions(
    subjects: &[(&str, &[usize])],
    calls: &Arc<AtomicUsize>,
) -> Study<(String, usize), Vec<(String, usize)>> {
    let (sessions, calls) = (subjects.to_vec(), calls.clone());
    let sessions: Vec<(String, Vec<usize>)> =
        sessions.into_iter().map(|(name, sizes)| (name.to_string(), sizes.to_vec())).collect();
    Nest::new()
        .each("subject", subjects.iter().map(|(subject, _)| subject.to_string()))
        .each_of("session", move |(subject,)| {
            let found = sessions.iter().find(|(name, _)| name == subject).ok_or("no subject")?;
            // Points that only their digests tell apart.
            Ok(found.1.iter().map(|size| "x".repeat(LONG + size)).collect::<Vec<_>>())
        })
        .crunch(move |(subject, session), _| {
            calls.fetch_add(1, Ordering::Relaxed);
            Ok((subject.clone(), session.len() - LONG))
        })
        .reduce(|runs: &Runs<(String, usize)>| runs.iter().map(|(_, run)| run.clone()).collect())
}

#[test]
fn a_study_grows_shrinks_and_is_merged() {
    let desk = Desk::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let start = |out: &str, subjects: &[(&str, &[usize])]| {
        let settings = Settings::default().threads(2).out(desk.path(out));
        let outcome = sessions(subjects, &calls).name("s").run(&settings).unwrap().unwrap();
        let expected: Vec<Vec<_>> = subjects
            .iter()
            .filter(|(_, sizes)| !sizes.is_empty())
            .map(|(name, sizes)| sizes.iter().map(|size| (name.to_string(), *size)).collect())
            .collect();
        assert_eq!(values(&outcome), expected);
        calls.swap(0, Ordering::Relaxed)
    };
    assert_eq!(start("out", &[("ann", &[1, 2, 3]), ("bob", &[2])]), 4);
    assert_eq!(start("out", &[("ann", &[1, 2, 3]), ("bob", &[2])]), 0);
    // Other numbers for all subjects and sessions; two runs are new.
    assert_eq!(start("out", &[("eve", &[3]), ("bob", &[5, 2]), ("ann", &[3, 1, 2])]), 2);
    assert_eq!(start("out", &[("ann", &[3]), ("bob", &[]), ("eve", &[3])]), 0);
    assert_eq!(start("out", &[("ann", &[1, 2, 3]), ("bob", &[2, 5])]), 0);

    assert_eq!(start("one", &[("ann", &[4, 1])]), 2);
    assert_eq!(start("two", &[("bob", &[1, 4, 6])]), 3);
    if !cfg!(all(feature = "cli", feature = "jobs")) {
        return; // there is no program that merges
    }
    desk.run(gridmpi(), &["merge", "one", "two", "--out", "both"]).exits(0);
    let rows = sql_rows(&desk.path("both/runs.sqlite"), "SELECT count(*) FROM all_runs");
    assert_eq!(rows, ["5"]);
    assert_eq!(start("both", &[("ann", &[1, 4]), ("bob", &[6, 4, 1])]), 0);
}

#[test]
fn points_that_look_alike_are_told_apart_in_another_order() {
    let folder = tempfile::tempdir().unwrap();
    let number = |b: &Option<Option<i32>>| b.map_or(1, |inner| inner.unwrap_or(2));
    let start = |order: &[i32], dependent: bool| {
        let order = order.to_vec();
        let points = |a: i32| match a {
            1 => vec![None, Some(None), Some(Some(7))],
            _ => vec![Some(None), None],
        };
        let calls = Arc::new(AtomicUsize::new(0));
        let called = calls.clone();
        let loops = Nest::new().each("a", order.clone());
        let loops = match dependent {
            true => loops.each_of("b", move |(a,)| Ok(points(*a))),
            false => loops.each("b", points(order[0])),
        };
        let outcome = loops
            .crunch(move |(a, b), _| {
                called.fetch_add(1, Ordering::Relaxed);
                Ok(10 * a + number(b))
            })
            .reduce(|runs: &Runs<i32>| runs.iter().map(|(_, run)| *run).collect::<Vec<_>>())
            .run(&Settings::default().out(folder.path()))
            .unwrap()
            .unwrap();
        (calls.load(Ordering::Relaxed), values(&outcome))
    };
    let (one, two) = (vec![11, 12, 17], vec![22, 21]);
    assert_eq!(start(&[2], true), (2, vec![two.clone()]));
    assert_eq!(start(&[1, 2], true), (3, vec![one.clone(), two.clone()]));
    assert_eq!(start(&[2, 1], true), (0, vec![two.clone(), one.clone()]));
    assert_eq!(start(&[2, 1], false), (0, vec![two, vec![12, 11]]));
    assert_eq!(start(&[1, 2], false), (1, vec![one, vec![21, 22, 27]]));
}

#[test]
fn large_whole_numbers_are_told_apart_in_another_order() {
    let folder = tempfile::tempdir().unwrap();
    let start = |seeds: &[u64]| {
        let calls = Arc::new(AtomicUsize::new(0));
        let called = calls.clone();
        let study = Nest::new()
            .each("seed", seeds.to_vec())
            .crunch(move |(seed,), _| {
                called.fetch_add(1, Ordering::Relaxed);
                Ok(*seed)
            })
            .reduce(|runs: &Runs<u64>| runs.iter().map(|(_, run)| *run).collect::<Vec<_>>());
        let outcome = study.run(&Settings::default().out(folder.path())).unwrap().unwrap();
        assert_eq!(values(&outcome), [seeds]);
        calls.load(Ordering::Relaxed)
    };
    let [one, two, three] = [u64::MAX - 3, u64::MAX - 2, u64::MAX - 1];
    assert_eq!(start(&[one]), 1);
    assert_eq!(start(&[two, one]), 1);
    assert_eq!(start(&[three, one, two]), 1);
    assert_eq!(start(&[two, one, three]), 0);
}
