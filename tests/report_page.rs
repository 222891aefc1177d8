//! The page of `gridmpi report` as a reader uses it, in a real browser: filters, sorting, the spread of means,
//! light and dark, wide and narrow, and where the results come from.

#[path = "common/browser.rs"]
mod browser;
mod common;
#[path = "common/report.rs"]
mod page;

use std::fs;

use browser::Browser;
use common::{Desk, gridmpi};
use page::{assert_clean, hover, report, reported};
use serde_json::{Value as Json, json};

/// As many data sets as asked for, named `data/set_NUMBER.csv`.
fn sets(count: usize) -> Desk {
    let names: Vec<String> = (0..count).map(|i| format!("data/set_{i}.csv")).collect();
    let desk = Desk::with_job(&format!(
        "[crunch]\npython = \"f.py:f\"\n[[loop]]\nname = \"dataset\"\nvalues = {}\n[[loop]]\nname = \"alpha\"\nvalues = [0.5, 2.0]\nreduce = \"max\"\n",
        json!(names)
    ));
    desk.write(
        "f.py",
        "def f(dataset, alpha):\n    n = int(dataset.split('_')[1][:-4])\n    if n == 7: raise ValueError('no row in ' + dataset)\n    return {'score': -n / 3 if alpha == 0.5 else -n, 'rows': n % 5, 'kind': 'odd' if n % 2 else 'even'}\n",
    );
    desk
}

/// Types a filter into a column of the table.
fn filter(browser: &mut Browser, column: usize, text: &str) {
    browser.eval(&format!(
        "(() => {{ const i = document.querySelectorAll('#rows .filters input')[{column}]; i.value = {}; i.dispatchEvent(new Event('input')); }})()",
        json!(text)
    ));
}

/// The first cells of the rows that are shown, and what the page says of their number.
fn shown(browser: &mut Browser) -> (Vec<String>, String) {
    let rows = browser.eval("[...document.querySelectorAll('#rows tbody tr')].filter(r => r.offsetParent !== null).map(r => r.cells[0].textContent)");
    let says = browser.eval("document.querySelector('[data-rows]').textContent");
    (serde_json::from_value(rows).unwrap(), says.as_str().unwrap().to_string())
}

fn sort(browser: &mut Browser, column: usize) {
    browser.eval(&format!("document.querySelectorAll('#rows th button')[{column}].click()"));
}

#[test]
fn rows_are_filtered_and_sorted_by_any_column() {
    let desk = sets(40);
    let mut browser = reported(&desk, 100);
    let names = |numbers: &[usize]| -> Vec<String> {
        numbers.iter().map(|i| format!("data/set_{i}.csv")).collect()
    };
    let header =
        browser.eval("[...document.querySelectorAll('#rows th button')].map(h => h.textContent)");
    assert_eq!(header, json!(["dataset", "best alpha", "score", "rows", "kind", "runs", "status"]));
    assert_eq!(shown(&mut browser).1, "40 rows");
    filter(&mut browser, 0, "SET_3");
    assert_eq!(
        shown(&mut browser),
        (names(&[3, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39]), "11 of 40 rows".into())
    );
    filter(&mut browser, 4, "odd");
    assert_eq!(shown(&mut browser).0, names(&[3, 31, 33, 35, 37, 39]));
    // By number, whatever is shown of it; the score of 37 is -12.3333.
    filter(&mut browser, 2, "<= -11");
    assert_eq!(shown(&mut browser).0, names(&[33, 35, 37, 39]));
    filter(&mut browser, 2, "-12 .. -11");
    assert_eq!(shown(&mut browser).0, names(&[33, 35]));
    filter(&mut browser, 2, "= -12.3333");
    assert_eq!(shown(&mut browser), (names(&[37]), "1 of 40 rows".into()));
    filter(&mut browser, 2, "nothing such");
    assert_eq!(shown(&mut browser), (Vec::new(), "0 of 40 rows".into()));
    for column in [0, 2, 4] {
        filter(&mut browser, column, "");
    }
    assert_eq!(shown(&mut browser).1, "40 rows");
    // A failed row has no number, and so passes no comparison of numbers.
    filter(&mut browser, 2, "< 1");
    assert_eq!(shown(&mut browser).1, "39 of 40 rows");
    filter(&mut browser, 2, "");
    filter(&mut browser, 6, "INCOMPLETE");
    assert_eq!(shown(&mut browser).0, names(&[7]));
    filter(&mut browser, 6, "");
    // Numbers are sorted as numbers; the header shows which way. What is empty comes last both ways.
    let arrow = "getComputedStyle(document.querySelectorAll('#rows th button')[2], '::after').content.replace('\\u00a0', '')";
    assert_eq!(browser.eval(arrow), json!("\"\u{2195}\""));
    sort(&mut browser, 2);
    assert_eq!(browser.eval(arrow), json!("\"\u{2191}\""));
    let rows = shown(&mut browser).0;
    assert_eq!((&rows[..2], &rows[38..]), (&names(&[39, 38])[..], &names(&[0, 7])[..]));
    sort(&mut browser, 2);
    assert_eq!(browser.eval(arrow), json!("\"\u{2193}\""));
    let rows = shown(&mut browser).0;
    assert_eq!((&rows[..2], &rows[38..]), (&names(&[0, 1])[..], &names(&[39, 7])[..]));
    assert_clean(&mut browser);
}

#[test]
fn four_thousand_data_sets_are_all_there() {
    let desk = sets(4000);
    let mut browser = reported(&desk, 100);
    assert_eq!(shown(&mut browser).1, "4,000 rows");
    filter(&mut browser, 2, "<= -1333");
    assert_eq!(
        shown(&mut browser),
        (vec!["data/set_3999.csv".to_string()], "1 of 4,000 rows".into())
    );
    filter(&mut browser, 2, "");
    sort(&mut browser, 0);
    sort(&mut browser, 0);
    assert_eq!(shown(&mut browser).0[0], "data/set_999.csv");
    assert_clean(&mut browser);
}

#[test]
fn the_table_says_what_summary_json_says() {
    let desk = sets(40);
    let mut browser = reported(&desk, 100);
    let summary: Json =
        serde_json::from_str(&fs::read_to_string(desk.path("out/summary.json")).unwrap()).unwrap();
    let cell = |i: usize| {
        format!(
            "(c => 'value' in c.dataset ? Number(c.dataset.value) : c.textContent)(r.cells[{i}])"
        )
    };
    let cells: Vec<String> = (0..6).map(cell).collect();
    let rows = browser.eval(&format!(
        "[...document.querySelectorAll('#rows tbody tr')].map(r => [{}, r.cells[5].textContent, r.cells[6].textContent])",
        cells.join(",")
    ));
    let groups: Vec<&Json> = summary["groups"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|group| group["over"] == "alpha")
        .collect();
    assert_eq!((groups.len(), rows.as_array().unwrap().len()), (40, 40));
    let same = |a: &Json, b: &Json| match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b || (a.is_null() && b == ""),
    };
    for (group, row) in groups.into_iter().zip(rows.as_array().unwrap()) {
        let value = &group["summary"]["value"];
        let expected = [
            &group["coordinates"]["dataset"],
            &group["summary"]["best"]["alpha"],
            &group["summary"]["score"],
            &value["rows"],
            &value["kind"],
            &group["runs"],
        ];
        for (i, expected) in expected.into_iter().enumerate() {
            assert!(same(expected, &row[i]), "column {i}: {expected} in {row}");
        }
        let (runs, failed) = (group["runs"].as_u64().unwrap(), group["failed"].as_u64().unwrap());
        assert_eq!(row[6], json!(format!("{runs} of {}", runs + failed)));
        let status = row[7].as_str().unwrap();
        assert!(status.starts_with(group["status"].as_str().unwrap()), "{row}");
        let error = group["error"].as_str().unwrap_or_default();
        assert!(status.ends_with(error), "{error}: {row}");
    }
}

#[test]
fn every_field_of_a_value_has_a_column_under_a_name_of_its_own() {
    let desk =
        Desk::with_job("[crunch]\npython = \"f.py:f\"\n[[loop]]\nname = \"a\"\nvalues = [1, 2]\n");
    desk.write(
        "f.py",
        "def f(a): return {'score': a, 'a': '<b>', 'runs': 7, 'status': None, 'at': {'deep': [a]}, 'limit': float('-inf')}\n",
    );
    let mut browser = reported(&desk, 0);
    let cells = |row: &str| {
        format!("[...document.querySelector('#rows {row}').cells].map(c => c.textContent)")
    };
    assert_eq!(
        browser.eval(&cells("thead tr")),
        json!([
            "a",
            "score",
            "value.a",
            "value.runs",
            "value.status",
            "at",
            "limit",
            "runs",
            "status"
        ])
    );
    assert_eq!(
        browser.eval(&cells("tbody tr")),
        json!(["1", "1", "<b>", "7", "", "deep [1]", "-inf", "1 of 1", "ok"])
    );
    let limit =
        "Number(document.querySelector('#rows tbody tr').cells[6].dataset.value) === -Infinity";
    assert_eq!(browser.eval(limit), json!(true));
    assert_clean(&mut browser);
}

/// The mean of 1, 2 and 6 is 3, with a standard deviation of the square root of 14/3.
fn means(alphas: usize) -> Desk {
    Desk::with_job(&format!(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"dataset\"\nvalues = [1.0, 10.0]\n[[loop]]\nname = \"alpha\"\nlinspace = {{ from = 1.0, to = 4.0, count = {alphas} }}\nreduce = \"max\"\n[[loop]]\nname = \"fold\"\nvalues = [1.0, 2.0, 6.0]\nreduce = \"mean\"\n"
    ))
}

#[test]
fn means_have_the_spread_of_their_runs() {
    let deviation = (14.0f64 / 3.0).sqrt();
    let near = |found: &Json, expected: f64| {
        let found = found.as_f64().unwrap();
        assert!((found / expected - 1.0).abs() < 1e-5, "{found} is not {expected}");
    };
    let desk = means(4);
    let mut browser = reported(&desk, 0);
    let bars = |trace: usize| {
        format!("[...document.getElementById('scores')._fullData[{trace}].error_y.array]")
    };
    for (trace, by) in [(0, 1.0), (2, 10.0)] {
        let found = browser.eval(&bars(trace));
        (0..4).for_each(|i| near(&found[i], by * (i as f64 + 1.0) * deviation));
    }
    // Bars are drawn, two lines with four each; the caption says what they are.
    let drawn = "document.querySelectorAll('#scores .errorbar').length";
    assert_eq!(browser.eval(drawn), json!(8));
    let caption = "The error bars are one standard deviation of the 3 runs behind each mean";
    let text = browser.eval("document.getElementById('score').innerText");
    assert!(text.as_str().unwrap().contains(caption), "{text}");
    hover(
        &mut browser,
        "scores",
        (0, 1),
        &["alpha: 2", "mean score: 6", "standard deviation: 4.32"],
    );
    assert_clean(&mut browser);

    // Too many points for a bar each: a band from a deviation below the mean to one above.
    let desk = means(61);
    let mut browser = reported(&desk, 0);
    let text = browser.eval("document.getElementById('score').innerText");
    assert!(
        text.as_str().unwrap().contains("The band around a line is the mean ± one standard"),
        "{text}"
    );
    let last = "document.getElementById('scores')._fullData.slice(0, 3).map(t => t.y.at(-1))";
    let last = browser.eval(last);
    near(&last[0], 12.0 - 4.0 * deviation);
    near(&last[1], 12.0 + 4.0 * deviation);
    near(&last[2], 12.0);
    assert_clean(&mut browser);
}

#[test]
fn a_heat_map_and_each_parameter_have_it_too() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"a\"\nvalues = [1.0, 2.0]\nreduce = \"max\"\n[[loop]]\nname = \"b\"\nvalues = [1.0, 3.0]\nreduce = \"max\"\n[[loop]]\nname = \"fold\"\nvalues = [1.0, 3.0]\nreduce = \"mean\"\n",
    );
    let mut browser = reported(&desk, 0);
    // The mean of a b and 3 a b is 2 a b, the deviation a b.
    let cells = browser.eval("document.getElementById('scores')._fullData[0].customdata");
    assert_eq!(cells, json!([[1, 2], [3, 6]]));
    let best = browser.eval("document.getElementById('parameters')._fullData.filter(t => t.name === 'best').map(t => [...t.error_y.array])");
    assert_eq!(best, json!([[3, 6], [2, 6]]));
    let medians = "document.getElementById('parameters')._fullData.filter(t => t.name === 'median').every(t => t.error_y.visible === false)";
    assert_eq!(browser.eval(medians), json!(true));
    let text = browser.eval("document.getElementById('score').innerText");
    for said in [
        "Hovering over a mean also shows one standard deviation",
        "The error bars of the best are one standard deviation of the 2 runs",
    ] {
        assert!(text.as_str().unwrap().contains(said), "{said:?} is not in {text}");
    }
    assert_clean(&mut browser);
}

#[test]
fn what_is_no_mean_has_no_spread() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"alpha\"\nvalues = [1.0, 2.0]\nreduce = \"max\"\n[[loop]]\nname = \"fold\"\nvalues = [1.0, 3.0, 4.0]\nreduce = \"median\"\n",
    );
    let mut browser = reported(&desk, 0);
    assert_eq!(browser.eval("document.querySelectorAll('.errorbar').length"), json!(0));
    let text = browser.eval("document.getElementById('score').innerText");
    assert!(!text.as_str().unwrap().contains("standard deviation"), "{text}");
}

#[test]
fn each_family_of_a_union_has_a_panel_with_its_own_parameter() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo {fold}\"\n[[loop]]\nname = \"dataset\"\nvalues = [\"a\", \"b\"]\n[[loop]]\nname = \"model\"\nvalues = [\"ridge\", \"forest\"]\nreduce = \"max\"\n[[loop]]\nname = \"alpha\"\nvalues = [0.1, 1.0, 2.0]\nonly_if = \"model = 'ridge'\"\nreduce = \"max\"\n[[loop]]\nname = \"depth\"\nvalues = [2, 4]\nonly_if = \"model = 'forest'\"\nreduce = \"max\"\n[[loop]]\nname = \"fold\"\nvalues = [1, 5]\nreduce = \"mean\"\n",
    );
    let mut browser = reported(&desk, 0);
    let heads = browser.eval("[...document.querySelectorAll('#score h3')].map(h => h.textContent)");
    assert_eq!(heads, json!(["model ridge", "model forest"]));
    for (chart, axis, points) in [("scores", "alpha", 3), ("scores2", "depth", 2)] {
        let of = |what: &str| format!("document.getElementById('{chart}').{what}");
        assert_eq!(browser.eval(&of("_fullLayout.xaxis.title.text")), json!(axis));
        assert_eq!(browser.eval(&of("_fullData[0].x.length")), json!(points));
        assert_eq!(browser.eval(&of("_fullData[0].error_y.array[0]")), json!(2));
    }
    assert_clean(&mut browser);
}

/// How light the colour of an element is: 0 is black, 255 white.
fn lightness(browser: &mut Browser, element: &str, property: &str) -> f64 {
    let colour = browser.eval(&format!(
        "(getComputedStyle(document.querySelector('{element}'))['{property}'].match(/\\d+/g) || []).slice(0, 3).map(Number)"
    ));
    let parts = colour.as_array().unwrap();
    assert_eq!(parts.len(), 3, "{element} has no {property}");
    parts.iter().map(|part| part.as_f64().unwrap()).sum::<f64>() / 3.0
}

#[test]
fn the_page_is_dark_where_the_system_is() {
    let desk = means(4);
    let mut browser = reported(&desk, 0);
    let background = "document.getElementById('scores')._fullLayout.paper_bgcolor";
    for scheme in ["dark", "light", "dark"] {
        browser.colour_scheme(scheme);
        let is_dark = scheme == "dark";
        let page = if is_dark { "#16181b" } else { "#fff" };
        browser.until(&format!("{background} === '{page}'"));
        for element in ["body", "#rows thead"] {
            let (back, text) = (
                lightness(&mut browser, element, "background-color"),
                lightness(&mut browser, element, "color"),
            );
            assert!(
                if is_dark { back < 50.0 && text > 200.0 } else { back > 250.0 && text < 60.0 },
                "{element}, {scheme}: {back}, {text}"
            );
        }
        // Text of charts, and their lines, stand out from it.
        for (element, property) in [
            ("#scores .xtick text", "fill"),
            ("#scores .g-xtitle text", "fill"),
            ("#scores .legendtext", "fill"),
            ("#scores .js-line", "stroke"),
        ] {
            let mark = lightness(&mut browser, element, property);
            assert!(
                if is_dark { mark > 90.0 } else { mark < 130.0 },
                "{element}, {scheme}: {mark}"
            );
        }
    }
    assert_clean(&mut browser);
}

#[test]
fn a_narrow_page_is_right() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"dataset\"\nvalues = [1.0, 2.0]\n[[loop]]\nname = \"learning_rate\"\nlogspace = { from = 0.001, to = 1.0, count = 4 }\nreduce = \"max\"\n[[loop]]\nname = \"regularisation\"\nvalues = [1.0, 2.0]\nreduce = \"max\"\n[[loop]]\nname = \"number_of_trees\"\nvalues = [100, 200]\nreduce = \"max\"\n[[loop]]\nname = \"minimal_leaf\"\nvalues = [1, 5, 9]\nreduce = \"max\"\n",
    );
    let mut browser = reported(&desk, 0);
    // No two titles of axes of a chart overlap, nor are they cut off.
    let titles = "(() => { const all = [...document.querySelectorAll('#parameters [class^=g-] text')].filter(t => t.textContent).map(t => t.getBoundingClientRect());
        const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
        return [all.length, all.every((a, i) => all.slice(i + 1).every(b => apart(a, b)) && a.left >= 0 && a.right <= innerWidth)] })()";
    let rows = "new Set(Object.keys(document.getElementById('parameters')._fullLayout).filter(k => k.startsWith('yaxis')).map(k => document.getElementById('parameters')._fullLayout[k].domain[0])).size";
    for (width, in_rows, y_titles) in [(1400, 2, 2), (420, 4, 4), (700, 2, 2), (1400, 2, 2)] {
        browser.width(width);
        browser.until(&format!("innerWidth === {width} && {rows} === {in_rows}"));
        browser.until(&format!(
            "document.getElementById('scores').offsetWidth >= {}",
            if width == 420 { 400 } else { 600 }
        ));
        assert_eq!(browser.eval(titles), json!([4 + y_titles, true]), "at {width}");
        let fits = "document.documentElement.scrollWidth <= innerWidth";
        assert_eq!(browser.eval(fits), json!(true), "at {width} the page scrolls sideways");
        let scrolls =
            "(d => d.scrollWidth > d.clientWidth)(document.querySelector('#summary .scroll'))";
        let scrolls = browser.eval(scrolls);
        assert!(width == 700 || scrolls == json!(width == 420), "at {width}: {scrolls}");
    }
    assert_clean(&mut browser);
}

#[test]
fn names_wrap_between_their_parts() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo 1\"\n[[loop]]\nname = \"dataset\"\nvalues = [\"data/breast_cancer.csv\", \"data/a-long-path/with_several_parts/and_on/measurements.of-1.25_percent.csv\"]\n[[loop]]\nname = \"alpha\"\nvalues = [1, 2]\nreduce = \"max\"\n",
    );
    let mut browser = reported(&desk, 0);
    // The text of each line of a cell.
    let lines = "[...document.querySelectorAll('#rows tbody tr')].map(row => { const lines = []; let top = null;
        for (const node of row.cells[0].childNodes) for (let i = 0; i < (node.textContent || '').length; i++) {
            const range = document.createRange(); range.setStart(node, i); range.setEnd(node, i + 1);
            const box = range.getBoundingClientRect();
            if (top === null || box.top > top + 3) { lines.push(''); top = box.top; }
            lines[lines.length - 1] += node.textContent[i];
        } return lines; })";
    for (width, whole) in [(1400, true), (420, false)] {
        browser.width(width);
        browser.until(&format!("innerWidth === {width}"));
        let found: Vec<Vec<String>> = serde_json::from_value(browser.eval(lines)).unwrap();
        assert_eq!(found[0], ["data/breast_cancer.csv"], "at {width}");
        assert_eq!(found[1].len() == 1, whole, "at {width}: {:?}", found[1]);
        for line in &found[1][..found[1].len() - 1] {
            assert!(line.ends_with(['/', '_', '-', '.']), "at {width}: {:?}", found[1]);
        }
        assert!(found[1].concat().ends_with("of-1.25_percent.csv"));
    }
}

#[test]
fn the_page_says_where_the_results_come_from() {
    let desk = means(3);
    let job = fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &format!("seed = 1234567\n{job}"));
    desk.run(gridmpi(), &["run", "job.toml", "--out", "out", "--threads", "2"]).exits(0);
    let grown = job.replace("count = 3", "count = 5");
    desk.write("job.toml", &format!("seed = 1234567\n{grown}"));
    desk.run(gridmpi(), &["job.toml", "--out=out", "--threads", "1"]).exits(0);
    let mut browser = report(&desk);
    let of = |browser: &mut Browser, name: &str| {
        let all = "[...document.querySelectorAll('#origin dt')]";
        let value = browser.eval(&format!(
            "{all}.find(t => t.textContent === '{name}').nextElementSibling.textContent"
        ));
        value.as_str().unwrap().to_string()
    };
    let folder = fs::canonicalize(desk.path("")).unwrap();
    let program = gridmpi().get_program().to_str().unwrap().to_string();
    assert_eq!(
        of(&mut browser, "Command"),
        format!("cd {}\n{program} job.toml --out=out --threads 1", folder.display())
    );
    assert!(of(&mut browser, "Job file").contains("job.toml"));
    assert!(of(&mut browser, "Job file").contains(&grown));
    assert_eq!(of(&mut browser, "Seed"), "1234567");
    assert_eq!(of(&mut browser, "Crunch"), "builtin multiply 1");
    assert!(of(&mut browser, "Versions").contains(concat!("gridmpi ", env!("CARGO_PKG_VERSION"))));
    assert!(of(&mut browser, "Hosts").ends_with(" (2 workers)"));
    let starts = browser.eval("[...document.querySelectorAll('#origin tbody tr')].map(r => [0, 2, 3, 5].map(i => r.cells[i].textContent))");
    assert_eq!(
        starts,
        json!([
            ["1", "2", "18", format!("{program} run job.toml --out out --threads 2")],
            ["2", "1", "12", format!("{program} job.toml --out=out --threads 1")],
        ])
    );
    assert_clean(&mut browser);
}

#[test]
fn under_mpirun_the_command_is_that_of_mpirun() {
    let desk = means(3);
    desk.run(common::mpirun(3), &["job.toml", "--out", "out"]).exits(0);
    let mut browser = report(&desk);
    let command = browser.eval("document.querySelector('#origin pre').textContent");
    let command = command.as_str().unwrap();
    assert!(command.contains("mpirun") && command.ends_with("job.toml --out out"), "{command}");
    assert_clean(&mut browser);
}

#[test]
fn merged_results_tell_the_command_of_each_start_that_has_one() {
    let desk = means(3);
    desk.run(gridmpi(), &["job.toml", "--out", "new", "--threads", "1"]).exits(0);
    let job = fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &job.replace("[1.0, 10.0]", "[1.0, 10.0, 20.0]"));
    desk.run(gridmpi(), &["job.toml", "--out", "old", "--threads", "1"]).exits(0);
    // As an older gridmpi left it, which goes on all the same.
    common::sql_rows(&desk.path("old/runs.sqlite"), "DROP TABLE invocations");
    desk.run(gridmpi(), &["merge", "old", "new", "--out", "out"]).exits(0);
    desk.run(gridmpi(), &["job.toml", "--out", "old", "--threads", "1", "--keep"]).exits(0);
    let rows = |store: &str, sql: &str| common::sql_rows(&desk.path(store), sql);
    assert_eq!(
        rows("out/runs.sqlite", "SELECT session, json_extract(words, '$[3]') FROM invocations"),
        ["2|new"]
    );
    assert_eq!(rows("old/runs.sqlite", "SELECT session FROM invocations"), ["2"]);
    let mut browser = report(&desk);
    let commands = browser.eval("[...document.querySelectorAll('#origin tbody tr')].map(r => r.cells[5].textContent.includes('--out new'))");
    assert_eq!(commands, json!([false, true]));
    assert_clean(&mut browser);
}
