//! `gridmpi report` in a real browser: charts are drawn, hovering shows values, there are no network
//! requests, and user strings are never interpreted as markup or script.

#[path = "common/browser.rs"]
mod browser;
mod common;
#[path = "common/report.rs"]
mod page;

use std::fs;
use std::process::Command;

use browser::Browser;
use common::{Desk, example, gridmpi, of_tasks, sql_rows};
use page::{assert_clean, hover, report, reported};
use serde_json::json;

const LINES: &str = "
[crunch]
builtin = \"multiply\"
sleep = 0.02
[[loop]]
name = \"dataset\"
values = [2.0, -3.0]
[[loop]]
name = \"alpha\"
logspace = { from = 0.01, to = 100.0, count = 5 }
reduce = \"max\"
[[loop]]
name = \"fold\"
range = { from = 1, to = 3 }
reduce = \"mean\"
";

/// Sets worker and time of all runs, so that the bar of the first one is wide enough for a mouse, whatever was held up.
fn spread_in_time(desk: &Desk) {
    let numbers = "SELECT key, row_number() OVER (ORDER BY key) - 1 AS task FROM runs";
    let sql = format!(
        "UPDATE runs SET worker = (SELECT iif(t.task % 2, max(worker), min(worker)) FROM workers),
                         started = 1000 + iif(t.task < 2, 0, 0.4 + 0.02 * (t.task / 2)),
                         seconds = iif(t.task < 2, 0.4, 0.02)
         FROM ({numbers}) t WHERE t.key = runs.key;
         UPDATE failures SET (worker, started, seconds) =
                         (SELECT worker, started, seconds FROM runs WHERE runs.key = failures.key);"
    );
    sql_rows(&desk.path("out/runs.sqlite"), &sql);
}

#[test]
fn a_line_for_each_data_set_and_a_bar_for_each_run() {
    let desk = Desk::with_job(LINES);
    desk.run_job().exits(0);
    spread_in_time(&desk);
    let mut browser = report(&desk);
    let charts = "[...document.querySelectorAll('.chart')].filter(c => c.querySelector('.main-svg')).map(c => c.id).join()";
    assert_eq!(browser.eval(charts), json!("scores,timeline,durations"));
    assert_eq!(
        browser.eval("document.querySelectorAll('#scores .scatterlayer .trace').length"),
        json!(4)
    );
    assert_eq!(
        browser.eval("document.getElementById('scores')._fullLayout.xaxis.type"),
        json!("log")
    );
    assert_eq!(
        browser.eval("document.querySelectorAll('#timeline .bars .point').length"),
        json!(20)
    );
    // The third point of the first line: alpha 1, 2 x 1 x (1 + 2) / 2; the best point is the last.
    hover(&mut browser, "scores", (0, 2), &["alpha: 1", "mean score: 3"]);
    hover(&mut browser, "scores", (1, 0), &["alpha: 100", "mean score: 300"]);
    hover(&mut browser, "timeline", (0, 3), &["task ", "dataset 2, alpha ", " ms on rank "]);
    let page = browser.eval("document.body.innerText");
    let page = page.as_str().unwrap();
    for said in [
        "Complete: 20 of 20 runs are there, none failed.",
        "2 workers were busy ",
        "No run has failed.",
    ] {
        assert!(page.contains(said), "{said:?} is not in:\n{page}");
    }
    // The table can be sorted by column.
    let first = "document.querySelector('table.sorted tbody td').textContent";
    assert_eq!(browser.eval(first), json!("2"));
    browser.eval("document.querySelector('table.sorted th button').click()");
    assert_eq!(browser.eval(first), json!("-3"));
    assert_clean(&mut browser);
}

#[test]
fn two_parameters_make_a_heat_map() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"dataset\"\nvalues = [1.0, 2.0]\n[[loop]]\nname = \"a\"\nvalues = [1.0, 5.0, 3.0]\nreduce = \"min\"\n[[loop]]\nname = \"b\"\nlinspace = { from = 1.0, to = 2.0, count = 6 }\nreduce = \"min\"\n",
    );
    let mut browser = reported(&desk, 0);
    assert_eq!(
        browser.eval("document.getElementById('scores')._fullData[0].type"),
        json!("heatmap")
    );
    let best = "(() => { const t = document.getElementById('scores')._fullData[1]; return [t.x[0], t.y[0]] })()";
    assert_eq!(browser.eval(best), json!([1, 1]), "the lowest");
    hover(&mut browser, "scores", (1, 0), &["best", "score: 1"]);
    // Select another data set, in both charts.
    let choose = "(() => { const s = document.querySelector('select[data-choice=scores]'); s.selectedIndex = 1; s.dispatchEvent(new Event('change')); })()";
    browser.eval(choose);
    let corner = "document.getElementById('scores')._fullData[0].z[5][2]";
    browser.until(&format!("{corner} === 20"));
    browser.until("Math.max(...document.getElementById('parameters')._fullData[0].y) === 10");
    assert_eq!(
        browser.eval("document.querySelector('select[data-choice=parameters]').value"),
        json!("2")
    );
    assert_clean(&mut browser);
}

/// Hostile names and error messages.
const HOSTILE: [&str; 5] = [
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "a\u{2028}b\u{2029}c",
    "'\"><b>%{x} ${hacked} $\\alpha$ &lt;",
    "<a href='javascript:window.hacked=1'>x</a>",
];

#[test]
fn nothing_a_user_wrote_is_markup_or_script() {
    let names = serde_json::to_string(&HOSTILE).unwrap();
    let desk = Desk::with_job(&format!(
        "name = \"a<img src=x onerror=window.hacked=1>\"\n[crunch]\npython = \"f.py:f\"\n[[loop]]\nname = \"dataset\"\nvalues = {names}\n[[loop]]\nname = \"p\"\nreduce = \"max\"\ngrid = {{ \"<img src=x onerror=window.hacked=1>\" = {names}, b = [1, 2, 3], c = [0.1, 1.0, 10.0] }}\n"
    ));
    desk.write(
        "f.py",
        "def f(dataset, p):\n    if p['b'] == 2: raise ValueError('</script><script>window.hacked=1</script>' + dataset)\n    return p['b'] * p['c'] * len(dataset)\n",
    );
    desk.run_job().exits(100);
    spread_in_time(&desk);
    let mut browser = report(&desk);
    assert_eq!(
        browser.eval("document.querySelectorAll('img, svg a, .chart b, script[src]').length"),
        json!(0)
    );
    assert_eq!(
        browser.eval("document.querySelector('h1').textContent"),
        json!("a<img src=x onerror=window.hacked=1>")
    );
    let cells =
        "[...document.querySelectorAll('table.sorted tbody tr')].map(r => r.cells[0].textContent)";
    let shown = browser.eval(cells);
    assert_eq!(shown[0], json!(HOSTILE[0]));
    assert_eq!(shown[3], json!(HOSTILE[3]));
    assert_eq!(browser.eval("document.querySelector('select').options[1].text"), json!(HOSTILE[1]));
    // Parallel coordinates for three parameters, and each parameter separately; every data set is drawn once.
    assert_eq!(browser.eval("document.querySelectorAll('#scores canvas').length > 0"), json!(true));
    assert_eq!(
        browser.eval("document.getElementById('scores')._fullData[0].dimensions.length"),
        json!(4)
    );
    for set in 0..HOSTILE.len() {
        browser.eval(&format!(
            "(() => {{ const s = document.querySelector('select'); s.selectedIndex = {set}; s.dispatchEvent(new Event('change')); }})()"
        ));
    }
    hover(&mut browser, "parameters", (0, 1), &["<img src=x"]);
    hover(&mut browser, "timeline", (0, 0), &["dataset "]);
    let message = browser.eval("document.querySelector('#failures summary').textContent");
    assert!(message.as_str().unwrap().contains("</script>"), "{message}");
    assert_clean(&mut browser);
}

#[test]
fn failures_are_grouped_and_strange_numbers_do_no_harm() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"test {x} -ne 7 -a {x} -ne 8 || ( echo no row {x} >&2; false ) || exit 3; test {x} -eq 3 && echo inf || ( test {x} -eq 4 && echo nan || echo -{x} )\"\n[[loop]]\nname = \"dataset\"\nvalues = [1, 2]\n[[loop]]\nname = \"x\"\nrange = { from = 0, to = 10 }\nreduce = \"max\"\n",
    );
    let mut browser = reported(&desk, 100);
    let page = browser.eval("document.body.innerText");
    let page = page.as_str().unwrap();
    for said in [
        "20 of 20 runs are there, 6 failed.",
        "6 points have no score",
        "2 scores are infinite and not drawn.",
        "2 rows failed or incomplete.",
        "exit status: 3: no row 7",
        "NaN",
    ] {
        assert!(page.contains(said), "{said:?} is not in:\n{page}");
    }
    let kinds = "[...document.querySelectorAll('#failures tbody tr')].map(r => r.cells[0].textContent).join()";
    assert_eq!(browser.eval(kinds), json!("4,2"));
    let y = "document.getElementById('scores')._fullData[0].y.slice(2, 6)";
    assert_eq!(
        browser.eval(&format!("JSON.stringify(Array.from({y}))")),
        json!("[-2,null,null,-5]")
    );
    assert_clean(&mut browser);
}

#[test]
fn where_all_failed_nothing_is_drawn_or_marked() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"exit 3\"\n[[loop]]\nname = \"d\"\nvalues = [1, 2]\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\nreduce = \"max\"\n",
    );
    let mut browser = reported(&desk, 100);
    let page = browser.eval("document.body.innerText");
    let page = page.as_str().unwrap();
    for said in [
        "4 of 4 runs are there, 4 failed",
        "No point has a score that could be drawn.",
        "failed ones are red",
    ] {
        assert!(page.contains(said), "{said:?} is not in:\n{page}");
    }
    assert!(!page.contains("marked"), "{page}");
    assert_clean(&mut browser);
}

#[test]
fn parallel_axes_name_their_values_and_the_red_line_is_the_best() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"dataset\"\nvalues = [1.0, -1.0]\n[[loop]]\nname = \"depth\"\nvalues = [2, 4, 8, 16]\nreduce = \"min\"\n[[loop]]\nname = \"rate\"\nlogspace = { from = 0.001, to = 7.0, count = 20 }\nreduce = \"min\"\n[[loop]]\nname = \"n\"\nvalues = [1, 2, 3]\nreduce = \"min\"\n",
    );
    let mut browser = reported(&desk, 0);
    let of = |browser: &mut Browser, what: &str| {
        browser.eval(&format!("(() => {{ const t = document.getElementById('scores')._fullData[0]; return {what} }})()"))
    };
    assert_eq!(of(&mut browser, "t.dimensions[0].ticktext"), json!(["2", "4", "8", "16"]));
    assert_eq!(
        of(&mut browser, "t.dimensions[1].ticktext"),
        json!(["1e-3", "1e-2", "1e-1", "1e0"])
    );
    // The only line in the colour of the best: depth, n and score; the lowest score, as the loops define it.
    let red = "(() => { const red = Array.from(t.line.color, (c, i) => c === 1 ? i : -1).filter(i => i >= 0); return [red.length, ...[0, 2, 3].map(d => t.dimensions[d].values[red[0]])] })()";
    let one = of(&mut browser, red);
    assert_eq!((&one[0], &one[2]), (&json!(1), &json!(1)));
    assert!((one[3].as_f64().unwrap() - 0.002).abs() < 1e-9, "{one}");
    browser.eval("(() => { const s = document.querySelector('select'); s.selectedIndex = 1; s.dispatchEvent(new Event('change')); })()");
    let other = of(&mut browser, red);
    assert_eq!((&other[0], &other[2]), (&json!(1), &json!(3)));
    assert!((other[3].as_f64().unwrap() + 336.0).abs() < 1e-3, "{other}");
    assert_clean(&mut browser);
}

#[test]
fn utilisation_is_told_against_the_lower_bound() {
    let desk = Desk::with_job(LINES);
    desk.run_job().exits(0);
    // Ten seconds on two workers; the last run takes three more.
    sql_rows(
        &desk.path("out/runs.sqlite"),
        &format!(
            "UPDATE runs SET started = 1000 + t.task / 2, seconds = 1, worker = (SELECT min(worker) FROM workers)
             FROM (SELECT key, row_number() OVER (ORDER BY key) - 1 AS task FROM runs) t WHERE t.key = runs.key;
             UPDATE runs SET worker = (SELECT max(worker) FROM workers) WHERE {};
             UPDATE runs SET seconds = 4 WHERE {};",
            of_tasks("task % 2"),
            of_tasks("task = 19")
        ),
    );
    let mut browser = report(&desk);
    let page = browser.eval("document.body.innerText");
    let page = page.as_str().unwrap();
    for said in [
        "2 workers were busy 88.5% of the time; the last 3.00 s waited for task 19 (dataset -3, alpha 100, fold 2).",
        "The makespan of 20 runs, from the start of the first to the end of the last, was 13.0 s.",
        "The lower bound of the makespan, for any order of the runs, is 11.5 s (the total time of the runs, divided by the number of workers); the makespan is 1.13 times that.",
        "the longest, task 19 (dataset -3, alpha 100, fold 2), took 4.00 s",
    ] {
        assert!(page.contains(said), "{said:?} is not in:\n{page}");
    }
}

#[test]
fn each_start_is_measured_by_itself() {
    let desk = Desk::with_job(LINES);
    desk.run_job().exits(0);
    desk.write("job.toml", &LINES.replace("count = 5", "count = 9"));
    let mut browser = reported(&desk, 0);
    let page = browser.eval("document.body.innerText");
    let page = page.as_str().unwrap();
    for said in [
        "The job was started 2 times.",
        "Start 2",
        "The makespan of 20 runs,",
        "The makespan of 16 runs,",
    ] {
        assert!(page.contains(said), "{said:?} is not in:\n{page}");
    }
    let bars = "document.querySelectorAll('#timeline .bars .point').length";
    assert_eq!(browser.eval(bars), json!(16), "the latest first");
    browser.eval("(() => { const s = document.querySelector('select[data-choice=timeline]'); s.selectedIndex = 1; s.dispatchEvent(new Event('change')); })()");
    browser.until(&format!("{bars} === 20"));
    // An interrupted run says so and shows what is there.
    let store = desk.path("out/runs.sqlite");
    sql_rows(
        &store,
        &format!(
            "UPDATE job SET value = 'running' WHERE key = 'state'; DELETE FROM groups WHERE level < 2; DELETE FROM groups WHERE number > 11; DELETE FROM runs WHERE {};",
            of_tasks("task > 24")
        ),
    );
    let mut browser = report(&desk);
    let page = browser.eval("document.body.innerText");
    let page = page.as_str().unwrap();
    for said in [
        "Not complete",
        "25 of 36 runs are there",
        "Not there yet: 2 rows.",
        "6 points have no score",
    ] {
        assert!(page.contains(said), "{said:?} is not in:\n{page}");
    }
    assert_clean(&mut browser);
}

#[test]
fn a_hundred_thousand_runs_open() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"dataset\"\nrange = { from = 0, to = 1000 }\n[[loop]]\nname = \"alpha\"\nlogspace = { from = 1e-4, to = 1e4, count = 100 }\nreduce = \"max\"\n",
    );
    let mut browser = reported(&desk, 0);
    let size = fs::metadata(desk.path("out/report.html")).unwrap().len();
    assert!(size < 8 << 20, "{size} bytes");
    assert_eq!(browser.eval("document.querySelectorAll('#rows tbody tr').length"), json!(1000));
    assert_eq!(browser.eval("document.querySelector('select').options.length"), json!(1000));
    let page = browser.eval("document.body.innerText");
    let page = page.as_str().unwrap();
    for said in [
        "bands are over 1,000 values of dataset",
        "100,000 runs are too many to be drawn one by one",
    ] {
        assert!(page.contains(said), "{said:?} is not in:\n{page}");
    }
    browser.eval("(() => { const s = document.querySelector('select'); s.selectedIndex = 999; s.dispatchEvent(new Event('change')); })()");
    browser.until("document.getElementById('scores')._fullData.at(-2).y.at(-1) === 9990000");
    assert_clean(&mut browser);
}

#[test]
fn a_study_in_rust_has_the_verb_too() {
    let desk = Desk::new();
    let study = || Command::new(example("textbook"));
    desk.run(study(), &["--threads", "2", "--out", "out"]).exits(0);
    let ran = desk.run(study(), &["report", "out"]).exits(0);
    assert_eq!(ran.stdout, "wrote out/report.html\n");
    let mut browser = report(&desk);
    // Ten data sets over three parameters; only the user's function defines the best.
    let lines = "document.querySelectorAll('#scores .scatterlayer .trace').length";
    assert_eq!(browser.eval(lines), json!(10));
    let page = browser.eval("document.body.innerText");
    assert!(page.as_str().unwrap().contains("so none is marked"), "{page}");
    assert_clean(&mut browser);
}

#[test]
fn figures_are_sound_and_say_what_they_show() {
    let hostile = "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"dataset\"\nvalues = [1.0, \"</svg><script>\"]\n[[loop]]\nname = \"p\"\nreduce = \"min\"\ngrid = { \"a<b>&\" = [1, 2, 3], kind = [\"</text>\", \"\\u0001\"] }\n";
    for (job, figures) in [
        (LINES, vec![("score-over-alpha.svg", "mean score"), ("timeline.svg", "rank 1")]),
        (
            hostile,
            vec![
                ("score-over-p.a-b--.svg", "p.a<b>&"),
                ("score-over-p.kind.svg", "</text>"),
                ("score-map-1.svg", "p.a<b>&"),
                ("score-map-2.svg", "</svg><script>"),
                ("timeline.svg", "time (s)"),
            ],
        ),
    ] {
        let desk = Desk::with_job(job);
        desk.run_job().exits(0);
        let ran = desk.run(gridmpi(), &["report", "out", "--figures", "figures"]).exits(0);
        let mut names: Vec<String> = ran.stdout.lines().skip(1).map(String::from).collect();
        names.sort();
        let mut expected: Vec<String> =
            figures.iter().map(|(name, _)| format!("wrote figures/{name}")).collect();
        expected.sort();
        assert_eq!(names, expected);
        desk.write("empty.html", "");
        let mut browser = Browser::open(&desk.path("empty.html"));
        for (name, text) in &figures {
            let svg = fs::read_to_string(desk.path(&format!("figures/{name}"))).unwrap();
            let parse = format!("new DOMParser().parseFromString({}, 'image/svg+xml')", json!(svg));
            let sound = format!("{parse}.querySelector('parsererror, script') === null");
            assert_eq!(browser.eval(&sound), json!(true), "{name}");
            let texts =
                format!("[...{parse}.querySelectorAll('text')].map(t => t.textContent.trim())");
            let texts = browser.eval(&texts);
            assert!(texts.as_array().unwrap().contains(&json!(text)), "{name}: {texts}");
        }
        if job == LINES {
            // The best is at the last alpha for one data set, at the first for the other.
            let svg = fs::read_to_string(desk.path("figures/score-over-alpha.svg")).unwrap();
            let marked = format!(
                "(() => {{ const all = [...new DOMParser().parseFromString({}, 'image/svg+xml').querySelectorAll('circle')], x = c => Number(c.getAttribute('cx'));
                    const points = all.filter(c => c.getAttribute('r') === '2').map(x), best = all.filter(c => c.getAttribute('r') === '7').map(x);
                    return [points.length, Math.max(...points) - Math.max(...best), Math.min(...points) - Math.min(...best)] }})()",
                json!(svg)
            );
            assert_eq!(browser.eval(&marked), json!([10, 0, 0]));
        }
    }
}

#[test]
fn what_is_no_result_is_refused() {
    let desk = Desk::with_job(LINES);
    let refused = |folder: &str, says: &[&str]| {
        let ran = desk.run(gridmpi(), &["report", folder]).exits(2);
        assert_eq!(ran.stdout, "");
        for said in says {
            assert!(ran.stderr.contains(said), "{said:?} is not in {}", ran.stderr);
        }
    };
    refused("nowhere", &["results folder nowhere: is not there", "results/NAME"]);
    refused(".", &["results folder .: there is no runs.sqlite in it"]);
    desk.write(
        "text/runs.sqlite",
        "this is no SQLite file, however long it may be, and so on and on",
    );
    refused("text", &["runs.sqlite cannot be read: file is not a database"]);
    desk.write("other/readme", "");
    sql_rows(&desk.path("other/runs.sqlite"), "CREATE TABLE t (x)");
    refused("other", &["runs.sqlite is no store of gridmpi's"]);
    desk.run_job().exits(0);
    let own = sql_rows(&desk.path("out/runs.sqlite"), "PRAGMA user_version").remove(0);
    sql_rows(&desk.path("out/runs.sqlite"), "PRAGMA user_version = 99");
    refused("out", &["written by a newer gridmpi", "99"]);
    sql_rows(&desk.path("out/runs.sqlite"), &format!("PRAGMA user_version = {own}"));
    let ran = desk.run(gridmpi(), &["report", "out", "--to", "no/such/folder.html"]).exits(2);
    assert!(ran.stderr.contains("no/such/folder.html: not written"), "{}", ran.stderr);
}
