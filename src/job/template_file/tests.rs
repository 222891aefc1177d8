//! What templates become, and what is refused in them.

use std::path::Path;

use super::*;
use crate::job::Job;

const LOOPS: &str = r#"
[[loop]]
name = "x"
values = [1.5, 1e-7, 2]
[[loop]]
name = "model"
json = '[{"name": "a b", "depth": null, "big": [1, null]}, {"name": "it\u0027s", "depth": 4, "big": true}]'
"#;

fn job(loops: &str) -> Job {
    let text = format!("[crunch]\nshell = \"echo 1\"\n{loops}");
    Job::parse(&text, Path::new("job.toml")).unwrap()
}

fn parsed(text: &str) -> Result<FileTemplate, String> {
    FileTemplate::parse("rc.in", text, &Delimiters::default())
}

fn facts() -> RunFacts {
    RunFacts { seed: 7, task: 1, ..RunFacts::of_any(Path::new("/jobs"), false, false) }
}

/// The text at a task.
fn filled(text: &str, task: u64) -> Result<String, String> {
    let job = job(LOOPS);
    let key = job.nest.task(task);
    let points = job.nest.indices(key);
    let cells = job.cells(|level| Some(points[level]));
    parsed(text)?.render(&job.nest.coordinates(key), cells, &facts())
}

fn checked(text: &str) -> Result<(), String> {
    parsed(text)?.check(&job(LOOPS).nest, &facts())
}

#[test]
fn values_are_written_as_placeholders_write_them() {
    for (text, task, expected) in [
        ("x={{ x }};\n", 0, "x=1.5;\n"),
        ("{{x}} {{ x ~ '!' }} {{ x | string }}", 2, "1e-7 1e-7! 1e-7"),
        ("{{ x * 2 }} {{ x + 1 }} {{ 1e22 * 1 }}", 0, "3.0 2.5 1e+22"),
        ("{{ model.name }} <&> {{ model[\"name\"] }}\n\n", 1, "it's <&> it's\n\n"),
        ("{{ model.big }} {{ model['big'] }}", 0, "[1,null] [1,null]"),
        ("{{ model }}", 1, r#"{"name":"it's","depth":4,"big":true}"#),
        ("{{ gridmpi.seed }} {{ gridmpi.job }}", 0, "7 /jobs"),
        (
            "{{ x | fmt('.3e') }} {{ 7 | fmt('03') }} {{ 'a/b.csv' | fmt('stem') }}",
            0,
            "1.500e+00 007 b",
        ),
        ("{{ model.big | fortran }} {{ model.name | fortran }}", 1, ".true. 'it''s'"),
        (
            "{{ x | fortran }} {{ 2.0 | fortran }} {{ 3 | fortran }} {{ [1, 2.5] | fortran }}",
            2,
            "1.0d-7 2.0d0 3 1, 2.5d0",
        ),
        (
            "{% if model.depth is not none %}depth {{ model.depth }}{% else %}no depth{% endif %}",
            0,
            "no depth",
        ),
        (
            "{% if model.depth is not none %}depth {{ model.depth }}{% else %}no depth{% endif %}",
            1,
            "depth 4",
        ),
        ("{% for i in range(3) %}{{ i * x }} {% endfor %}{# {{ nothing }} #}", 0, "0.0 1.5 3.0 "),
        ("{% set half = x / 2 %}{{ half }} {% raw %}{{ x }}{% endraw %}", 0, "0.75 {{ x }}"),
        ("{{ x if model.depth is none else model.depth }}", 0, "1.5"),
        ("{{\n x\n}}\r\n", 0, "1.5\r\n"),
        ("", 0, ""),
    ] {
        assert_eq!(filled(text, task).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn a_tables_own_text_is_written_and_its_number_is_counted_with() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.csv"), "v,id\n1.50,007\n2.00,010\n").unwrap();
    let text = "[crunch]\nshell = \"echo 1\"\n[[loop]]\nname = \"case\"\nrows = \"c.csv\"\n";
    let job = Job::parse(text, &folder.path().join("job.toml")).unwrap();
    let template =
        parsed("{{ case.v }} {{ case.v * 2 }} {{ case.v | fmt('.1f') }} {{ case.id }}").unwrap();
    template.check(&job.nest, &facts()).unwrap();
    let cells = job.cells(|_| Some(0));
    let filled = template.render(&job.nest.coordinates(job.nest.task(0)), cells, &facts());
    assert_eq!(filled.as_deref(), Ok("1.50 3.0 1.5 007"));
}

#[test]
fn names_and_none_are_checked_with_the_line_before_anything_runs() {
    for (text, why) in [
        ("a\n{{ other }}", "rc.in:2: 'other' names no loop (known: x, model, gridmpi)"),
        (
            "{% if false %}\n\n{{ modle.name }}{% endif %}",
            "rc.in:3: 'modle' names no loop; did you mean 'model'?",
        ),
        ("{{ model.dept }}", "rc.in:1: loop 'model' has no field 'dept'"),
        ("{{ x.a }}", "the points of loop 'x' have no fields"),
        ("{{ gridmpi.sed }}", "did you mean 'seed'?"),
        ("{{ gridmpi.workdir }}", "no run has a folder of its own"),
        ("\n{{ model.depth }}", "rc.in:2: {model.depth} is none for this task: ask first"),
        ("{{ model.depth }}", "at model = {\"name\":\"a b\""),
        ("{{ 'd' ~ model.depth }}", "{model.depth} is none for this task"),
        ("{{ model.depth | fmt('d') }}", "fmt: it is none"),
        ("{{ model.depth * 2 }}", "rc.in:1: invalid operation"),
        ("{{ x | fmt('d') }}", "fmt: type d is for whole numbers, not for 1.5, at x = 1.5"),
        ("{{ x | fotran }}", "unknown filter"),
        ("{{ x | fortran(1) }}", "too many arguments"),
        ("{{ model | fortran }}", "it is a record"),
        ("{% for x in [1] %}{% endfor %}", "'x' is a loop of the job"),
        ("{% set gridmpi = 1 %}", "'gridmpi' is what gridmpi tells"),
        ("a\n{{ open('f') }}", "rc.in:2: there is no function open()"),
        ("{{ x", "rc.in:1: syntax error"),
        ("a\n\n{% if %}", "rc.in:3: syntax error"),
        ("{% include 'other' %}", "syntax error"),
        (
            "{% for i in range(10000) %}{% for j in range(10000) %}.{% endfor %}{% endfor %}",
            "ran out of fuel",
        ),
    ] {
        let refused = checked(text).expect_err(text);
        assert!(refused.contains(why) && refused.starts_with("rc.in"), "{text}: {refused}");
    }
    checked("{% for i in range(2) %}{{ loop.index }} {{ i }}{% endfor %}").unwrap();
}

#[test]
fn a_loop_called_loop_is_none_of_the_templates_own() {
    let nest = job("[[loop]]\nname = \"loop\"\nvalues = [1]\n").nest;
    parsed("{{ loop }}").unwrap().check(&nest, &facts()).unwrap();
    let refused =
        parsed("{% for i in range(2) %}{{ loop }}{% endfor %}").unwrap().check(&nest, &facts());
    assert!(refused.unwrap_err().contains("'loop' is its own"));
}

#[test]
fn other_delimiters_leave_braces_alone() {
    let own = |begin, end| Delimiters::new(begin, end).unwrap();
    let latex =
        "\\frac{{{#1}}}{% a comment\n} << x >> <<% if x > 1 %>>yes<<% endif %>><<# no #>>\n";
    let fill = |text: &str, delimiters: &Delimiters| {
        let template = FileTemplate::parse("a.tex", text, delimiters).unwrap();
        template.check(&job(LOOPS).nest, &facts()).unwrap();
        template.render(&[("x", Value::Float(1.5))], |_, _| None, &facts()).unwrap()
    };
    let filled = fill(latex, &own("<<", ">>"));
    assert_eq!(filled, "\\frac{{{#1}}}{% a comment\n} 1.5 yes\n");
    assert_eq!(fill("a@x@ {{ x }}", &own("@", "@")), "a1.5 {{ x }}");
    for (begin, end) in [("", ">>"), ("<<", "end"), ("< <", ">>"), ("'", ">>")] {
        assert!(Delimiters::new(begin, end).is_err(), "{begin} {end}");
    }
}

#[test]
fn a_file_of_many_lines_keeps_its_numbers() {
    let text = format!("{}{{{{ y }}}}\n", "a line\n".repeat(70_000));
    let refused = checked(&text).unwrap_err();
    assert!(refused.starts_with("rc.in:70001: "), "{refused}");
}
