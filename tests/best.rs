//! `best`: the points of all loops that choose, ranked together, for values and by other fields, against nested
//! loops in Python; and the run's own table.

mod common;

use std::process::Command;

use common::{Desk, Ran, gridmpi, mpirun};
use serde_json::{Value as Json, json};

/// Records with few different numbers, so that there are ties.
const FIT: &str = "
import hashlib, json
def crunch(**point):
    point.pop('seed', None)
    word = json.dumps(point, sort_keys=True)
    def pick(name):
        return int.from_bytes(hashlib.sha256((name + word).encode()).digest()[:4], 'big') % 7 / 4
    return {'score': pick('s'), 'r2': pick('r'), 'error': {'rmse': pick('e')}, 'kind': 'fit', 'list': [1]}
";

/// The same nests as loops; each row's points in grid order, and then ranked.
const REFERENCE: &str = "
import json, sys
from fit import crunch
nest, number, sign, top, by = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
def mean(values):
    total = 0.0
    for value in values: total += value
    return total / len(values)
def folded(**point):
    runs = [crunch(**point, fold=fold) for fold in range(3)]
    return {'score': mean([run['score'] for run in runs]), 'r2': mean([run['r2'] for run in runs]),
            'error.rmse': mean([run['error']['rmse'] for run in runs])}
def places(d):
    if nest == 'nested':
        for model in ('a', 'b', 'c'):
            for alpha in (0.1, 1.0, 10.0):
                yield {'model': model, 'alpha': alpha}, folded(d=d, model=model, alpha=alpha)
    if nest == 'ragged':
        for model in ('ridge', 'tree'):
            for alpha in (0.1, 1.0, 10.0, 100.0) if model == 'ridge' else (None,):
                for depth in (2, 4, 8) if model == 'tree' else (None,):
                    at = {'model': model, 'alpha': alpha, 'depth': depth}
                    yield {k: v for k, v in at.items() if v is not None}, folded(d=d, **at)
    if nest == 'union':
        for model in ([{'family': 'ridge', 'alpha': a} for a in (0.1, 1.0, 10.0)]
                      + [{'family': 'tree', 'depth': n} for n in (2, 4)]):
            yield {'model': model}, folded(d=d, model=model)
    if nest == 'joined':
        for model in ('a', 'b'):
            for fold in range(3):
                run = crunch(d=d, model=model, fold=fold)
                yield ({'model': model, 'fold': fold},
                       {'score': run['score'], 'r2': run['r2'], 'error.rmse': run['error']['rmse']})
def value(coordinates, name):
    own, _, field = name.partition('.')
    return coordinates.get(own, {} if field else None) if not field else coordinates[own].get(field)
rows = []
for d in (1, 2, 3, 4):
    ranked = sorted(places(d), key=lambda place: -sign * place[1][number])
    taken, kept = {}, []
    for coordinates, numbers in ranked:
        key = json.dumps([value(coordinates, name) for name in by.split(',')] if by else None)
        taken.setdefault(key, []).append([coordinates, numbers[number]])
    rows.append([place for places in taken.values() for place in places[:top]])
print(json.dumps(rows))
";

const FOLD: &str = "[[loop]]\nname = \"fold\"\nrange = { from = 0, to = 3 }\nreduce = ";

/// A job over four data sets, with these loops inside.
fn desk(loops: &str) -> Desk {
    let head =
        "[crunch]\npython = \"fit.py:crunch\"\n[[loop]]\nname = \"d\"\nvalues = [1, 2, 3, 4]\n";
    let desk = Desk::with_job(&format!("{head}{loops}"));
    desk.write("fit.py", FIT);
    desk.write("reference.py", REFERENCE);
    desk
}

fn nested(outer: &str, inner: &str, fold: &str) -> String {
    format!(
        "[[loop]]\nname = \"model\"\nvalues = [\"a\", \"b\", \"c\"]\nreduce = {outer}\n\
         [[loop]]\nname = \"alpha\"\nvalues = [0.1, 1.0, 10.0]\nreduce = {inner}\n{FOLD}{fold}\n"
    )
}

fn ragged(reduce: &str, fold: &str) -> String {
    format!(
        "[[loop]]\nname = \"model\"\nvalues = [\"ridge\", \"tree\"]\nreduce = {reduce}\n\
         [[loop]]\nname = \"alpha\"\nvalues = [0.1, 1.0, 10.0, 100.0]\nonly_if = {{ model = \"ridge\" }}\nreduce = {reduce}\n\
         [[loop]]\nname = \"depth\"\nvalues = [2, 4, 8]\nonly_if = {{ model = \"tree\" }}\nreduce = {reduce}\n{FOLD}{fold}\n"
    )
}

fn union(reduce: &str, fold: &str) -> String {
    format!(
        "[[loop]]\nname = \"model\"\nreduce = {reduce}\ngrids = [{{ family = [\"ridge\"], alpha = [0.1, 1.0, 10.0] }}, \
         {{ family = [\"tree\"], depth = [2, 4] }}]\n{FOLD}{fold}\n"
    )
}

fn joined(reduce: &str) -> String {
    format!(
        "[[loop]]\nname = \"model\"\nvalues = [\"a\", \"b\"]\nreduce = {reduce}\n{FOLD}\"join\"\n"
    )
}

fn ask(desk: &Desk, arguments: &[&str]) -> Ran {
    desk.run(gridmpi(), &[&["best", "out"], arguments].concat())
}

fn best(desk: &Desk, arguments: &[&str]) -> Json {
    ask(desk, &[arguments, &["--format", "json"]].concat()).exits(0).json()
}

/// The places of each row: coordinates, and the number by which they are ranked.
fn places(rows: &Json, number: &str) -> Json {
    let place = |place: &Json| json!([place["coordinates"], place[number]]);
    let row = |row: &Json| row["best"].as_array().unwrap().iter().map(place).collect::<Json>();
    rows.as_array().unwrap().iter().map(row).collect()
}

/// What the loops in Python say.
fn expected(desk: &Desk, words: [&str; 5]) -> Json {
    let mut python = Command::new("python3");
    python.arg("reference.py");
    desk.run(python, &words).exits(0).json()
}

#[test]
fn the_first_point_is_that_of_the_runs_own_table() {
    let within = "{ max = \"r2\", within = { sem = 1 }, prefer = { max = \"alpha\" } }";
    let by = "{ max = \"r2\" }";
    let mean = "\"mean\"";
    for loops in [
        nested("\"max\"", "\"max\"", mean),
        nested("\"min\"", "\"min\"", mean),
        nested("\"max\"", "\"min\"", mean),
        nested("\"max\"", by, mean),
        nested(by, by, mean),
        nested(by, "{ min = \"error.rmse\" }", mean),
        nested(by, "\"max\"", mean),
        nested(by, within, "[\"mean\", \"sem\"]"),
        nested(within, by, "[\"mean\", \"sem\"]"),
        nested("\"max\"", "\"mean\"", mean),
        ragged("\"max\"", mean),
        ragged(by, mean),
        union("\"max\"", mean),
        union("{ min = \"error.rmse\" }", "\"median\""),
        union(
            "{ max = \"r2\", within = { value = 0.5 }, prefer = { min = \"model.alpha\" } }",
            mean,
        ),
        joined("\"max\""),
        joined(by),
    ] {
        let desk = desk(&loops);
        let groups = desk.run_job().exits(0).groups();
        let of_rows: Vec<&Json> = groups.iter().filter(|group| group["over"] == "model").collect();
        for arguments in [&[][..], &["--top", "2"]] {
            let rows = best(&desk, arguments);
            let rows = rows.as_array().unwrap();
            assert_eq!((rows.len(), of_rows.len()), (4, 4));
            for (row, group) in rows.iter().zip(&of_rows) {
                assert_eq!(row["coordinates"], group["coordinates"]);
                assert_eq!(row["status"], "complete");
                let (first, summary) = (&row["best"][0], &group["summary"]);
                assert_eq!(first["coordinates"], summary["best"], "{loops}");
                assert_eq!(first["score"], summary["score"], "{loops}");
                assert_eq!(row["best"].as_array().unwrap().len(), arguments.len().max(1));
            }
        }
    }
}

#[test]
fn all_points_of_the_loops_that_choose_are_ranked_together() {
    for (name, loops) in [
        ("nested", nested("\"max\"", "\"max\"", "\"mean\"")),
        ("ragged", ragged("\"max\"", "\"mean\"")),
        ("union", union("\"max\"", "\"mean\"")),
        ("joined", joined("\"max\"")),
    ] {
        let desk = desk(&loops);
        desk.run_job().exits(0);
        for top in ["1", "3", "100"] {
            let rows = best(&desk, &["--top", top]);
            let expected = expected(&desk, [name, "score", "1", top, ""]);
            assert_eq!(places(&rows, "score"), expected, "{name}, {top}");
        }
        for (option, field, sign) in
            [("--max", "r2", "1"), ("--min", "error.rmse", "-1"), ("--min", "score", "-1")]
        {
            let rows = best(&desk, &[option, field, "--top", "4"]);
            let expected = expected(&desk, [name, field, sign, "4", ""]);
            assert_eq!(places(&rows, "number"), expected, "{name}, {option} {field}");
            assert_eq!(
                (&rows[0]["field"], &rows[0]["reduce"]),
                (&json!(field), &json!(&option[2..]))
            );
        }
    }
    // The own measure of a job may be a field.
    let by = desk(&nested("{ min = \"error.rmse\" }", "{ min = \"error.rmse\" }", "\"mean\""));
    by.run_job().exits(0);
    let rows = best(&by, &["--top", "5"]);
    assert_eq!(places(&rows, "score"), expected(&by, ["nested", "error.rmse", "-1", "5", ""]));
}

#[test]
fn each_value_has_its_own_best() {
    for (name, by, loops) in [
        ("nested", "model", nested("\"max\"", "\"max\"", "\"mean\"")),
        ("nested", "alpha", nested("\"max\"", "\"max\"", "\"mean\"")),
        ("nested", "alpha,model", nested("\"max\"", "\"max\"", "\"mean\"")),
        ("ragged", "model", ragged("\"max\"", "\"mean\"")),
        ("ragged", "depth", ragged("\"max\"", "\"mean\"")),
        ("union", "model.family", union("\"max\"", "\"mean\"")),
        ("union", "model.depth", union("\"max\"", "\"mean\"")),
    ] {
        let desk = desk(&loops);
        desk.run_job().exits(0);
        for top in ["1", "2"] {
            let rows = best(&desk, &["--by", by, "--top", top]);
            let own = expected(&desk, [name, "score", "1", top, by]);
            assert_eq!(places(&rows, "score"), own, "{name}, {by}, {top}");
            let rows = best(&desk, &["--by", by, "--top", top, "--min", "error.rmse"]);
            let other = expected(&desk, [name, "error.rmse", "-1", top, by]);
            assert_eq!(places(&rows, "number"), other, "{name}, {by}, {top}");
        }
    }
}

#[test]
fn the_table_has_the_values_and_the_field() {
    let desk = desk(&union("\"max\"", "\"mean\""));
    desk.run_job().exits(0);
    let table = ask(&desk, &["--by", "model.family", "--min", "error.rmse", "--top", "2"]).exits(0);
    let header = table.stdout.lines().next().unwrap().split_whitespace().collect::<Vec<_>>();
    let expected = ["d", "model.family", "place", "model", "error.rmse", "mean", "score", "runs"];
    assert_eq!(header, expected);
    let lines: Vec<Vec<&str>> =
        table.stdout.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 4 * 2 * 2, "{}", table.stdout);
    assert!(lines.chunks(2).all(|pair| pair[0][1] == pair[1][1] && pair[0][2..3] == ["1"]));
    assert!(lines.iter().all(|line| ["ridge", "tree"].contains(&line[1])), "{}", table.stdout);
}

#[test]
fn within_and_prefer_are_of_the_job_alone() {
    let within = "{ max = \"r2\", within = { value = 1.0 }, prefer = { max = \"alpha\" } }";
    let desk = desk(&nested("{ max = \"r2\" }", within, "\"mean\""));
    desk.run_job().exits(0);
    let words = "within and prefer of loop 'alpha' do not apply here";
    let own = ask(&desk, &["--top", "9"]).exits(0);
    assert!(own.stderr.contains("the first point of a row is the one that loop 'alpha' chose"));
    assert!(!own.stderr.contains(words) && !ask(&desk, &[]).stderr.contains("within"));
    // All nine are there once, the chosen one first.
    let rows = best(&desk, &["--top", "9"]);
    let ranked = expected(&desk, ["nested", "r2", "1", "9", ""]);
    let mut moved = 0;
    for (row, ranked) in
        places(&rows, "score").as_array().unwrap().iter().zip(ranked.as_array().unwrap())
    {
        let mut others = ranked.as_array().unwrap().clone();
        let own = row[0].clone();
        moved += usize::from(others[0] != own);
        others.retain(|place| *place != own);
        assert_eq!(row.as_array().unwrap()[1..], others);
    }
    assert!(moved > 0, "the rule chooses another point somewhere");
    for arguments in [&["--max", "r2", "--top", "9"][..], &["--by", "model", "--top", "3"]] {
        let asked = ask(&desk, arguments).exits(0);
        assert!(asked.stderr.contains(words), "{}", asked.stderr);
    }
    assert_eq!(places(&best(&desk, &["--max", "r2", "--top", "9"]), "number"), ranked);
    let by_model = places(&best(&desk, &["--by", "model"]), "score");
    assert_eq!(by_model, expected(&desk, ["nested", "r2", "1", "1", "model"]));
}

#[test]
fn what_cannot_be_ranked_is_refused_in_words() {
    let desk = desk(&union("\"max\"", "\"mean\""));
    desk.run_job().exits(0);
    let fields = "number fields are: score, r2, error.rmse";
    for (arguments, why) in [
        (&["--max", "r3"][..], format!("--max r3: the results, folded over loop 'fold', have no field 'r3'; {fields}; did you mean 'r2'?")),
        (&["--min", "kind"], format!("--min kind: 'kind' is a string (fit), not a number; {fields}")),
        (&["--max", "list"], format!("no field 'list'; {fields}")),
        (&["--by", "fold"], "--by fold: loop 'fold' is inside each point that is ranked; loops that are ranked: model".to_string()),
        (&["--by", "d"], "--by d: each row has one point of loop 'd'".to_string()),
        (&["--by", "modl"], "there is no loop 'modl'; loops that are ranked: model; did you mean 'model'?".to_string()),
        (&["--by", "r2"], "--max or --min ranks by a field of the results".to_string()),
        (&["--by", "model.famly"], "points of loop 'model' have no field 'famly'; they have: family, alpha, depth; did you mean 'family'?".to_string()),
        (&["--max", "r2", "--min", "r2"], "cannot be used with".to_string()),
        (&["--max", "r2", "--lowest"], "cannot be used with".to_string()),
    ] {
        let ran = ask(&desk, arguments).exits(2);
        assert!(ran.stderr.contains(&why) && ran.stdout.is_empty(), "{arguments:?}: {}", ran.stderr);
    }
    // Runs have the fields themselves; numbers have none.
    let runs = self::desk("[[loop]]\nname = \"model\"\nvalues = [1, 2]\nreduce = \"max\"\n");
    runs.run_job().exits(0);
    let ran = ask(&runs, &["--max", "list"]).exits(2);
    assert!(
        ran.stderr.contains("'list' is a list, not a number; number fields are: score, r2"),
        "{}",
        ran.stderr
    );
    runs.write("fit.py", "def crunch(d, model): return d * model\n");
    let again = runs.run(gridmpi(), &["job.toml", "--out", "out", "--fresh"]).exits(0);
    let ran = ask(&runs, &["--max", "r2"]).exits(2);
    assert!(
        ran.stderr.contains("the results are no records, so only score can be ranked"),
        "{}",
        ran.stderr
    );
    assert_eq!(best(&runs, &["--min", "score"])[3]["best"][0]["number"], 4.0, "{}", again.stdout);
}

#[test]
fn none_and_nan_never_win_and_are_counted() {
    let code = "
def crunch(d, model, fold):
    rmse = {1: 2.0, 2: float('nan'), 3: None, 4: 1.0, 5: 2.0}[model]
    point = {'score': model, 'rmse': rmse, 'other': 1.0}
    if model == 5 and fold == 1: del point['rmse']
    return point
";
    let desk = desk(&format!(
        "[[loop]]\nname = \"model\"\nvalues = [1, 2, 3, 4, 5]\nreduce = \"max\"\n{FOLD}\"mean\"\n"
    ));
    desk.write("fit.py", code);
    desk.run_job().exits(0);
    let rows = best(&desk, &["--max", "rmse", "--top", "9"]);
    let row = json!([[{ "model": 1 }, 2.0], [{ "model": 4 }, 1.0]]);
    assert_eq!(places(&rows, "number")[0], row);
    assert_eq!(rows[0]["status"], "partial");
    assert_eq!(rows[0]["points"], json!({ "counted": 2, "failed": 0, "left_out": 3 }));
    let table = ask(&desk, &["--max", "rmse"]).exits(0).stdout;
    assert!(table.contains("(best of 2 of 5, 3 left out)"), "{table}");
    // The run's own ranking knows all of them.
    let own = best(&desk, &[]);
    assert_eq!((&own[0]["status"], &own[0]["points"]), (&json!("complete"), &Json::Null));
}

#[test]
fn points_of_groups_that_do_not_count_do_not_win() {
    // Of model b, one alpha fails, and its loop needs all of them; model b has the best of the others.
    let code = "
def crunch(d, model, alpha, fold):
    if model == 'b' and alpha == 1.0: raise ValueError('no')
    return {'score': alpha + (100 if model == 'b' else 0), 'r2': -alpha}
";
    let loops = nested("\"max\"\nrequire = 0.5", "\"max\"", "\"mean\"");
    let desk = desk(&loops);
    desk.write("fit.py", code);
    let groups = desk.run_job().exits(100).groups();
    let points = json!({ "counted": 6, "failed": 1, "left_out": 2 });
    assert_eq!((&groups[0]["status"], &groups[0]["points"]), (&json!("partial"), &points));
    for (arguments, alpha) in [(&[][..], 10.0), (&["--max", "r2"], 0.1), (&["--by", "alpha"], 10.0)]
    {
        let rows = best(&desk, &[arguments, &["--top", "9"]].concat());
        assert_eq!(rows[0]["best"][0]["coordinates"], json!({ "model": "a", "alpha": alpha }));
        assert_eq!((&rows[0]["status"], &rows[0]["points"]), (&json!("partial"), &points));
        assert_eq!(rows[0]["best"].as_array().unwrap().len(), 6);
    }
    let table = ask(&desk, &[]).exits(0).stdout;
    assert!(table.contains("(best of 6 of 9, 1 failed, 2 left out)"), "{table}");
}

#[test]
fn over_mpi_the_ranking_is_the_same() {
    let desk = desk(&ragged("\"max\"", "\"mean\""));
    desk.run(mpirun(3), &["job.toml", "--out", "out"]).exits(0);
    let rows = best(&desk, &["--top", "7", "--max", "r2"]);
    assert_eq!(places(&rows, "number"), expected(&desk, ["ragged", "r2", "1", "7", ""]));
}
