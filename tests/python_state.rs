//! What a call of a Python function leaves behind does not reach the calls after it: whatever the number of
//! workers, each task has the result that it has alone.

mod common;

use common::{Desk, gridmpi, python_with_sklearn};

/// A job over the points of `x`, with more keys of [crunch].
fn desk(code: &str, crunch: &str, points: &str) -> Desk {
    let desk = Desk::with_job(&format!(
        "[crunch]\npython = \"fit.py:crunch\"\ninterpreter = \"{}\"\n{crunch}\n[[loop]]\nname = \"x\"\nvalues = {points}\n",
        python_with_sklearn().display()
    ));
    desk.write("fit.py", code);
    desk
}

/// Two loops: the data set 5, and `a` from 1 to 4.
fn desk_with_data(code: &str, crunch: &str) -> Desk {
    let desk = desk(code, &format!("load = \"fit.py:load\"\n{crunch}"), "[5]");
    let job = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &format!("{job}[[loop]]\nname = \"a\"\nvalues = [1, 2, 3, 4]\n"));
    desk
}

/// Runs the job on that many threads; returns its scores and errors, and what it printed.
fn run(desk: &Desk, threads: &str, exits: i32) -> (Vec<String>, String) {
    let arguments = ["job.toml", "--threads", threads, "--out", "out", "--fresh"];
    let ran = desk.run(gridmpi(), &arguments).exits(exits);
    let rows = "SELECT coalesce(score, replace(error, char(10), ' ')) FROM all_runs ORDER BY task";
    (desk.sql(rows), ran.stderr)
}

#[test]
fn the_folder_and_the_environment_are_put_back() {
    let code = r#"
import os, subprocess
os.environ["FROM_IMPORT"] = "1"
def crunch(x):
    seen = 0.0
    seen += not os.path.exists("fit.py")
    seen += os.environ.get("HOME") != subprocess.run(["sh", "-c", "printf %s $HOME"], stdout=-1).stdout.decode()
    seen += len({"BOOST", "PUT"} & set(os.environ)) + os.environ["FROM_IMPORT"] != "1"
    seen += len(subprocess.run(["sh", "-c", "echo $PUT$BOOST"], stdout=-1).stdout.strip())
    if x % 3 == 0:
        os.environ["BOOST"] = "1"
        os.putenv("PUT", "1")
        os.environ["FROM_IMPORT"] = "2"
        del os.environ["HOME"]
        os.chdir("/")
    if x == 3:
        raise ValueError("left in disorder")
    return seen
"#;
    let code = code.replace(
        r#"+ os.environ["FROM_IMPORT"] != "1""#,
        r#"+ (os.environ["FROM_IMPORT"] != "1")"#,
    );
    let desk = desk(&code, "", "[0, 1, 2, 3, 4, 5, 6, 7]");
    for threads in ["1", "3"] {
        let (rows, _) = run(&desk, threads, 100);
        assert!(rows[3].contains("left in disorder"), "{rows:?}");
        let good: Vec<_> = rows.iter().filter(|row| *row == "0.0").collect();
        assert_eq!(good.len(), 7, "{rows:?}");
    }
}

#[test]
fn generators_of_random_numbers_are_seeded_for_each_task() {
    for (code, crunch) in [
        ("import random\ndef crunch(x):\n    return random.random()\n", ""),
        ("def crunch(x):\n    import random\n    return random.random()\n", ""),
        ("import numpy as np\ndef crunch(x):\n    return np.random.rand()\n", ""),
        (
            "def crunch(x):\n    if x < 3:\n        return 0.5\n    import numpy as np\n    return np.random.rand()\n",
            "",
        ),
        (
            "import random\ndef crunch(x, seed):\n    a = random.random()\n    random.seed(seed)\n    return float(a == random.random())\n",
            "",
        ),
        (
            "def load(x):\n    import random\n    return [random.random() for _ in range(3)]\n\
             def crunch(x):\n    import random\n    return x[2] + random.random()\n",
            "load = \"fit.py:load\"",
        ),
    ] {
        let points: Vec<String> = (0..30).map(|x| x.to_string()).collect();
        let desk = desk(code, crunch, &format!("[{}]", points.join(", ")));
        let (one, _) = run(&desk, "1", 0);
        let (three, _) = run(&desk, "3", 0);
        assert_eq!(one, three, "{code}");
        if code.contains("seed") {
            assert!(one.iter().all(|same| same == "1.0"), "it is the task's seed: {one:?}");
        } else {
            let distinct: std::collections::HashSet<_> = one.iter().collect();
            assert!(distinct.len() > 20, "{code}: {one:?}");
        }
    }
}

#[test]
fn what_the_child_imports_for_itself_seeds_no_generator() {
    // The versions of packages are looked up with importlib.metadata, which imports `random`.
    let code = r#"
import sys
sys.path.append("site-packages")
import package
def crunch(x):
    seen = "random" in sys.modules
    if x == 2:
        import random
        return random.random()
    return float(seen)
"#;
    let desk = desk(code, "", "[0, 1, 2]");
    desk.write("site-packages/package.py", "__version__ = '1.5'\n");
    for beside in [None, Some("email.py")] {
        if let Some(name) = beside {
            desk.write(name, "");
        }
        let (scores, _) = run(&desk, "1", 0);
        assert_eq!(scores[..2], ["0.0", "0.0"], "{beside:?}");
        let (again, _) = run(&desk, "1", 0);
        assert_eq!(again, scores, "an import during a call is seeded");
        desk.write("fit.py", &code.replace("x == 2", "x == 9"));
        assert_eq!(run(&desk, "1", 0).0, ["0.0"; 3], "{beside:?}");
        desk.write("fit.py", code);
    }
}

#[test]
fn the_users_own_seed_stays_if_asked() {
    let code = "import random\nrandom.seed(7)\nexpected = random.random()\nrandom.seed(7)\ndef crunch(x):\n    return float(random.random() == expected)\n";
    let desk = desk(code, "reseed = false", "[1, 2, 3]");
    assert_eq!(run(&desk, "1", 0).0, ["1.0", "0.0", "0.0"]);
}

#[test]
fn texts_have_the_same_hash_everywhere() {
    let desk = desk("def crunch(x):\n    return float(hash(f'text {x}'))\n", "", "[1, 2, 3, 4]");
    assert_eq!(run(&desk, "1", 0).0, run(&desk, "3", 0).0);
    let mut other = gridmpi();
    other.env("PYTHONHASHSEED", "7");
    desk.run(other, &["job.toml", "--out", "seven"]).exits(0);
    let of_seven = common::sql_rows(&desk.path("seven/runs.sqlite"), "SELECT score FROM all_runs");
    assert_ne!(run(&desk, "1", 0).0, of_seven);
}

/// Data sets, each changed by crunch in another way; a sum of 12 is right.
const CHANGES: &str = "
import numpy as np, pandas as pd
class Fit:
    def __init__(self):
        self.sum = 6
def double(d):
    for i in range(3):
        d[i] *= 2
    return sum(d)
def append(d):
    d['a']['b'].append(6)
    return sum(d['a']['b'])
def attribute(d):
    d.sum += 6
    return d.sum
def member(d):
    d.add(len(d) + 1)
    return 9 + len(d)
def array(d):
    d *= 2
    return d.sum()
def inner_array(d):
    d['x'][0][:] *= 2
    return d['x'][0].sum()
def column(d):
    d['v'] = d['v'] * 2
    return d['v'].sum()
def cell(d):
    d.iloc[0, 0] += 3.0
    return d['v'].sum()
def forced(d):
    d.setflags(write=True)
    d *= 2
    return d.sum()
def row(d):
    d.drop(index=0, inplace=True)
    return d['v'].sum()
def element(d):
    d['v'][0].append(6)
    return sum(d['v'][0]) + 0.0
def attributes(d):
    d.attrs['sum'] = d.attrs.get('sum', 6) + 6
    return d.attrs['sum']
def mask(d):
    d[np.ma.count_masked(d)] = np.ma.masked
    return 12 + 5 - d.sum()
def index_name(d):
    d.index.name = (d.index.name or '') + 'x'
    return 11 + len(d.index.name)
def name(d):
    d.name += 'x'
    return 10 + len(d.name)
class Named(np.ndarray):
    pass
def named():
    array = np.zeros(3).view(Named)
    array.sum_ = 6
    return array
def attribute_of_array(d):
    d.sum_ += 6
    return d.sum_
numbers = lambda: np.array([1.0, 2.0, 3.0])
frame = lambda: pd.DataFrame({'v': [3.0, 6.0]})
KINDS = [(double, lambda: [1, 2, 3]), (append, lambda: {'a': {'b': [6]}}), (attribute, Fit), (member, lambda: {1, 2}),
         (array, numbers), (inner_array, lambda: {'x': [numbers()]}),
         (column, lambda: pd.DataFrame({'v': [1.0, 2.0, 3.0]})), (cell, frame), (forced, numbers),
         (row, lambda: pd.DataFrame({'v': [3.0, 12.0]})), (element, lambda: pd.DataFrame({'v': [[6], [0]]})),
         (attributes, frame), (mask, lambda: np.ma.array([1.0, 2.0, 3.0])), (index_name, frame),
         (name, lambda: pd.Series([1.0], name='v')), (attribute_of_array, named)]
def load(p):
    return p, KINDS[p][1]()
def crunch(x, a):
    p, data = x
    return float(KINDS[p][0](data))
";

#[test]
fn loaded_data_that_is_changed_fails_the_run_that_changes_it() {
    // NumPy's copy of an array of a class of one's own lacks its attributes.
    for (copies, kinds) in [(false, 16), (true, 15)] {
        let desk = desk_with_data(CHANGES, &format!("data_copy = {copies}"));
        let job = std::fs::read_to_string(desk.path("job.toml")).unwrap();
        desk.write(
            "job.toml",
            &job.replace("values = [5]", &format!("range = {{ from = 0, to = {kinds} }}")),
        );
        let (rows, _) = run(&desk, "2", if copies { 0 } else { 100 });
        for (task, row) in rows.iter().enumerate() {
            if copies {
                assert_eq!(row, "12.0", "task {task}");
                continue;
            }
            let said =
                row.contains("data in place") || row.contains("read-only, because tasks share");
            assert!(said && row.contains("data_copy = true"), "task {task}: {row}");
        }
    }
}

#[test]
fn what_load_leaves_behind_reaches_no_call() {
    let code = "
import os, signal
def load(p):
    os.environ['SCALE'] = '10'
    os.chdir('/')
    return 1
def crunch(x, a):
    return float(os.environ.get('SCALE', 1)) + (not os.path.exists('fit.py'))
";
    assert_eq!(run(&desk_with_data(code, ""), "1", 0).0, ["1.0"; 4]);
}

#[test]
fn a_timer_ends_no_other_call() {
    let code = "import signal, time\ndef crunch(x):\n    if x == 1:\n        signal.alarm(1)\n    \
                if x == 2:\n        signal.setitimer(signal.ITIMER_REAL, 0.5)\n    if x == 3:\n        time.sleep(1.2)\n    return float(x)\n";
    let desk = desk(code, "retries = 0", "[1, 2, 3]");
    assert_eq!(run(&desk, "1", 0).0, ["1.0", "2.0", "3.0"]);
}

#[test]
fn a_file_that_is_named_and_imported_is_one_module() {
    let desk = desk(
        "import data\ndef crunch(x):\n    return float(isinstance(x, data.Model) + data.loads)\n",
        "load = \"data.py:load\"",
        "[1]",
    );
    desk.write(
        "data.py",
        "loads = 0\nclass Model:\n    pass\ndef load(x):\n    global loads\n    loads += 1\n    return Model()\n",
    );
    assert_eq!(run(&desk, "1", 0).0, ["2.0"]);
}

#[test]
fn only_the_run_that_changes_loaded_data_fails() {
    let code = "calls = 0\ndef load(p):\n    return {'values': [1, 2, 3]}\ndef crunch(x, a):\n    global calls\n    calls += 1\n    \
                if a == 2:\n        x['values'][0] = 100\n    return {'score': float(sum(x['values'])), 'calls': calls}\n";
    let desk = desk_with_data(code, "");
    for threads in ["1", "3"] {
        let (rows, _) = run(&desk, threads, 100);
        assert!(rows[1].contains("crunch changes its loaded data in place"), "{rows:?}");
        assert_eq!([&rows[0], &rows[2], &rows[3]], ["6.0"; 3]);
    }
}

#[test]
fn loaded_data_that_is_left_alone_can_be_of_any_kind() {
    let code = "
import threading
import numpy as np, pandas as pd
def load(p):
    frame = pd.DataFrame({'n': [1.5, 2.5], 't': ['a', 'b'], 'c': pd.Categorical(['u', 'v']), 'i': pd.array([1, None], 'Int64')})
    return {'lock': threading.Lock() if p == 6 else None, 'frame': frame, 'array': np.ones(3), 'odd': np.array(['a', [1]], object)}
def crunch(x, a):
    frame = x['frame']
    wider = frame.assign(m=frame['n'] * a).sort_values('m', ascending=False)
    return float(wider['m'].sum() + x['array'].sum() + frame['i'].sum() + len(frame.groupby('t')))
";
    let desk = desk_with_data(code, "");
    let (rows, said) = run(&desk, "1", 0);
    assert_eq!(rows, ["10.0", "14.0", "18.0", "22.0"]);
    assert!(!said.contains("WARN"), "{said}");
    let job = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &job.replace("[5]", "[6]"));
    let (rows, said) = run(&desk, "1", 0);
    assert_eq!(rows, ["10.0", "14.0", "18.0", "22.0"]);
    assert_eq!(said.matches("the loaded data of 6 cannot be compared").count(), 1, "{said}");
}

#[test]
fn data_too_large_to_be_compared_is_named_once() {
    let code = "def load(p):\n    return list(range(300_000))\ndef crunch(x, a):\n    return float(len(x))\n";
    let desk = desk_with_data(code, "");
    let job = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write(
        "job.toml",
        &job.replace("values = [1, 2, 3, 4]", "range = { from = 0, to = 20000 }"),
    );
    let (rows, said) = run(&desk, "1", 0);
    assert!(rows.iter().all(|row| row == "300000.0"));
    assert_eq!(said.matches("is too large to be compared after each call").count(), 1, "{said}");
}

#[test]
fn a_forked_process_that_returns_has_no_say() {
    let code = "import os\ndef crunch(x):\n    pid = os.fork()\n    if pid:\n        os.waitpid(pid, 0)\n        return float(x)\n    \
                with open('returned', 'a') as file: file.write(f'{x} ')\n    return 100.0\n";
    let desk = desk(code, "", "[1, 2, 3, 4]");
    assert_eq!(run(&desk, "1", 0).0, ["1.0", "2.0", "3.0", "4.0"]);
    let returned = std::fs::read_to_string(desk.path("returned")).unwrap();
    assert_eq!(returned, "1 2 3 4 ", "each makes the call that it was forked in, and no other");
}

#[test]
fn a_data_set_that_makes_room_is_compared_before() {
    let code = "def load(x):\n    return [x, x]\ndef crunch(a, x):\n    \
                if a == 2 and x == [2, 2]:\n        x.append(1)\n    return float(sum(x) + a)\n";
    let job = "[crunch]\npython = \"fit.py:crunch\"\nload = \"fit.py:load\"\ndata = \"x\"\nkeep = 1\n[[loop]]\nname = \"a\"\nvalues = [1, 2, 3]\n[[loop]]\nname = \"x\"\nvalues = [1, 2, 3]\n";
    let desk = Desk::with_job(job);
    desk.write("fit.py", code);
    let (rows, _) = run(&desk, "1", 100);
    assert!(rows[4].contains("crunch changes its loaded data in place"), "{rows:?}");
    let others: Vec<_> = rows
        .iter()
        .enumerate()
        .filter(|(task, _)| *task != 4)
        .map(|(_, row)| row.as_str())
        .collect();
    assert_eq!(others, ["3.0", "5.0", "7.0", "4.0", "8.0", "5.0", "7.0", "9.0"]);
}

/// Names of modules that the child itself imports.
const STANDARD: [&str; 9] =
    ["ast", "copy", "email", "hashlib", "inspect", "json", "pickle", "random", "struct"];

#[test]
fn files_with_names_of_standard_modules_are_not_in_the_way_of_the_child() {
    let code = "def crunch(x):\n    if x == 3: raise ValueError('three')\n    return {'score': 2.0 * x, 'list': [1]}\n";
    let desk = desk(code, "", "[1, 2, 3]");
    for name in STANDARD.into_iter().chain(["mmap", "traceback", "difflib", "sysconfig", "types"]) {
        desk.write(&format!("{name}.py"), "raise ImportError('this is the own one')\n");
    }
    let found = run(&desk, "2", 100).0;
    assert_eq!(found[..2], ["2.0", "4.0"]);
    assert!(found[2].contains("three"), "{found:?}");
}

#[test]
fn the_user_gets_a_module_of_the_own_folder_as_from_python_itself() {
    for name in STANDARD {
        let code = format!("import {name}\ndef crunch(x):\n    return {name}.FACTOR * x\n");
        let desk = desk(&code, "", "[1, 2]");
        desk.write(&format!("{name}.py"), "FACTOR = 3.0\n");
        assert_eq!(run(&desk, "1", 0).0, ["3.0", "6.0"], "{name}");
        // It counts, as any module of the user's.
        desk.write(&format!("{name}.py"), "FACTOR = 4.0\n");
        let again = desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(2);
        assert!(again.stderr.contains(&format!("{name}.py has changed")), "{}", again.stderr);
    }
}
