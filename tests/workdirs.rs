//! A folder of its own for each attempt: what programs with fixed file names write, what is kept of it, and where.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Desk, gridmpi, mpirun, wait_until};

/// Programs of long ago: an input deck of a fixed name, and several files of fixed names.
const FIXED: &str = "echo {x} > deck.in; sleep 0.02; test $(ls | wc -l) = 1 || exit 3; cat deck.in > rc.out; mkdir log; echo {x} > log/iterations; cat rc.out";

fn job(crunch: &str, points: &str) -> String {
    format!("[crunch]\n{crunch}\n[[loop]]\nname = \"x\"\n{points}\nreduce = \"sum\"\n")
}

fn fixed(table: &str, count: usize) -> String {
    let points = format!("range = {{ from = 0, to = {count} }}");
    job(&format!("shell = '''{FIXED}'''\n{table}"), &points)
}

/// What is in the folder of runs, hidden names too, but for gridmpi's mark.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name != ".gridmpi").collect();
    names.sort();
    names
}

fn read(desk: &Desk, name: &str) -> String {
    fs::read_to_string(desk.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn fixed_file_names_do_not_meet_on_threads_and_ranks() {
    let desk = Desk::with_job(&fixed("workdir = { keep = [\"*.out\", \"log\"] }", 30));
    let threads = || {
        let mut command = gridmpi();
        command.args(["run", "--threads", "4"]);
        command
    };
    for (command, out) in [(threads(), "threads"), (mpirun(3), "ranks")] {
        let ran = desk.run(command, &["job.toml", "--out", out, "--format", "json"]).exits(0);
        assert_eq!(ran.score(), 435.0);
        let all: Vec<String> = names(&desk.path(&format!("{out}/runs")));
        assert_eq!(all.len(), 30, "nothing else is left: {all:?}");
        for x in 0..30 {
            let folder = format!("{out}/runs/x={x}");
            assert_eq!(names(&desk.path(&folder)), ["log", "rc.out"]);
            assert_eq!(read(&desk, &format!("{folder}/rc.out")), format!("{x}\n"));
            assert_eq!(read(&desk, &format!("{folder}/log/iterations")), format!("{x}\n"));
        }
    }
    assert!(!desk.path("rc.out").exists() && !desk.path("deck.in").exists());
}

#[test]
fn what_is_kept_is_what_the_job_says() {
    let fails = "echo {x} > a.out; test {x} -ne 1 && echo {x}";
    for (keep, kept) in [
        ("", &["x=1"][..]),
        ("keep = \"failed\"", &["x=1"]),
        ("keep = \"all\"", &["x=0", "x=1", "x=2"]),
        ("keep = \"none\"", &[]),
        ("keep = [\"*.out\"]", &["x=0", "x=1", "x=2"]),
        ("keep = [\"*.log\"]", &[]),
    ] {
        let table = format!("shell = '{fails}'\n[crunch.workdir]\n{keep}");
        let desk = Desk::with_job(&job(&table, "values = [0, 1, 2]"));
        let ran = desk.run_job().exits(100);
        assert_eq!(names(&desk.path("out/runs")), kept, "{keep}");
        let is_told = ran.stderr.contains("2 runs left no file of such a name");
        assert_eq!(is_told, keep.contains("*.log"), "{keep}: {}", ran.stderr);
        let column = desk.sql("SELECT workdir FROM all_runs WHERE x = 1");
        assert_eq!(column, [if kept.contains(&"x=1") { "runs/x=1" } else { "" }], "{keep}");
    }
    // Once the run succeeds, what the failed one has left goes.
    let desk = Desk::with_job(&job(
        &format!("shell = 'echo {{x}} > a; test -e {}/go && echo {{x}}'\nworkdir = true", "GO"),
        "values = [1]",
    ));
    let text = read(&desk, "job.toml").replace("GO", desk.path("").to_str().unwrap());
    desk.write("job.toml", &text);
    desk.run_job().exits(100);
    assert_eq!(names(&desk.path("out/runs")), ["x=1"]);
    desk.write("go", "");
    desk.run_job().exits(0);
    assert_eq!(names(&desk.path("out/runs")), [""; 0]);
    assert_eq!(desk.sql("SELECT coalesce(workdir, 'none') FROM all_runs"), ["none"]);
}

#[test]
fn the_last_attempt_is_kept_and_scratch_may_be_elsewhere() {
    let scratch = tempfile::tempdir().unwrap();
    let table = format!(
        "shell = 'pwd > where; echo $GRIDMPI_ATTEMPT $GRIDMPI_WORKDIR > a; exit 1'\nretries = 2\n[crunch.workdir]\nscratch = \"{}/$GRIDMPI_TEST_SCRATCH\"",
        scratch.path().display()
    );
    let desk = Desk::with_job(&job(&table, "values = [5]"));
    let ran = desk.run_job();
    assert!(ran.stderr.contains("$GRIDMPI_TEST_SCRATCH is not set"), "{}", ran.stderr);
    let mut command = gridmpi();
    command.env("GRIDMPI_TEST_SCRATCH", "below/it");
    desk.run(command, &["job.toml", "--out", "out"]).exits(100);
    let place = read(&desk, "out/runs/x=5/where");
    let below = scratch.path().join("below/it");
    assert!(place.starts_with(&*below.to_string_lossy()), "{place}");
    assert_eq!(read(&desk, "out/runs/x=5/a"), format!("3 {place}"));
    assert_eq!(names(&below), [""; 0]);
}

#[test]
fn a_grid_that_grows_keeps_names_and_files() {
    let shell = |points: &str| {
        job(
            "shell = 'echo {x} >> CALLS; echo {x} > out; echo 1'\nworkdir = { keep = \"all\" }",
            points,
        )
    };
    let desk = Desk::new();
    let write = |points: &str| {
        let calls = desk.path("calls");
        desk.write("job.toml", &shell(points).replace("CALLS", calls.to_str().unwrap()));
    };
    desk.write("calls", "");
    write("values = [2, \"data/a b.csv\", \"data/a_b.csv\", 1, 1.0]");
    desk.run_job().exits(0);
    assert_eq!(desk.calls().len(), 5);
    let first = names(&desk.path("out/runs"));
    assert_eq!(first.len(), 5);
    assert_eq!(&first[..3], ["x=1", "x=1.0", "x=2"]);
    assert!(first[3].starts_with("x=a_b.csv-") && first[4].starts_with("x=a_b.csv-"));
    let inode = || fs::metadata(desk.path("out/runs/x=2/out")).unwrap().ino();
    let was = inode();
    write("values = [0, 1.0, \"data/a b.csv\", 3, 2]");
    desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["0", "3"]);
    assert_eq!((inode(), read(&desk, "out/runs/x=2/out")), (was, "2\n".to_string()));
    assert!(names(&desk.path("out/runs")).iter().all(|name| !name.starts_with('.')));
    let column = desk.sql("SELECT workdir FROM all_runs ORDER BY task");
    assert_eq!([&column[0], &column[3], &column[4]], ["runs/x=0", "runs/x=3", "runs/x=2"]);
    // What had no place in the job has its folder still when its point comes back.
    write("values = [1, 2]");
    desk.run_job().exits(0);
    assert_eq!(desk.calls(), [""; 0]);
    assert_eq!(desk.sql("SELECT workdir FROM all_runs ORDER BY task"), ["runs/x=1", "runs/x=2"]);
    let explained = desk.says(&["explain", "out", "x=2"]);
    assert!(explained.contains("workdir   runs/x=2 (1 file"), "{explained}");
    let found = desk.says(&["runs", "out", "--where", "workdir like '%x=2'", "--format", "json"]);
    assert!(found.contains("\"workdir\":\"runs/x=2\"") && !found.contains("runs/x=1"), "{found}");
    let csv = desk.says(&["export", "out", "--format", "csv"]);
    assert!(csv.lines().next().unwrap().ends_with("attempt,memory,workdir,error"), "{csv}");
}

#[test]
fn loops_are_folders_and_many_points_are_spread() {
    let text = "[crunch]\ncommand = [\"touch\", \"a\"]\nworkdir = { keep = \"all\" }\n[[loop]]\nname = \"data\"\nvalues = [\"crime\"]\n[[loop]]\nname = \"model\"\nvalues = [\"ridge\", \"tree\"]\n[[loop]]\nname = \"alpha\"\nrange = { from = 0, to = 1500 }\nonly_if = { model = \"ridge\" }\nwhere = \"alpha < 2\"\n";
    let desk = Desk::with_job(text);
    desk.run_job().exits(0);
    assert_eq!(names(&desk.path("out/runs/data=crime")), ["model=ridge", "model=tree"]);
    let column = desk.sql("SELECT workdir FROM all_runs ORDER BY task");
    assert!(column.iter().all(|folder| desk.path(&format!("out/{folder}/a")).exists()));
    assert_eq!(column[2], "runs/data=crime/model=tree");
    let spread = column[0].strip_prefix("runs/data=crime/model=ridge/").unwrap();
    assert!(spread.ends_with("/alpha=0") && spread.len() == 10, "{spread}");
}

/// Recorded runs whose folders have not been renamed, as after a kill between the two.
#[test]
fn a_start_finishes_what_a_kill_has_cut_off() {
    let desk = Desk::with_job(&fixed("workdir = { keep = \"all\" }", 4));
    desk.run_job().exits(0);
    let unnamed = desk.sql("SELECT folder || ' ' || temporary FROM workdirs ORDER BY folder");
    let runs = desk.path("out/runs");
    for row in &unnamed[..2] {
        let (folder, temporary) = row.split_once(' ').unwrap();
        fs::rename(runs.join(folder), runs.join(temporary)).unwrap();
    }
    fs::create_dir(runs.join("x=1")).unwrap(); // of an earlier attempt
    fs::create_dir(runs.join(".1-3-1-9-9")).unwrap(); // its run was never recorded
    fs::create_dir(runs.join(".at-abcdef")).unwrap();
    desk.run_job().exits(0);
    assert_eq!(names(&runs), ["x=0", "x=1", "x=2", "x=3"]);
    for x in 0..4 {
        assert_eq!(read(&desk, &format!("out/runs/x={x}/rc.out")), format!("{x}\n"));
    }
}

#[test]
fn kills_at_any_moment_lose_no_folder_of_a_recorded_run() {
    let desk = Desk::with_job(&fixed("workdir = { keep = [\"rc.out\"] }", 60));
    let recorded = || -> Vec<String> {
        match desk.path("out/runs.sqlite").exists() {
            true => desk.sql("SELECT count(*) FROM runs"),
            false => vec!["0".to_string()],
        }
    };
    for round in 1..=4 {
        let mut command = gridmpi();
        command.args(["job.toml", "--threads", "3", "--out", "out"]).current_dir(desk.path("."));
        let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let enough = |count: &str| count.parse::<u64>().unwrap_or(0) >= 10 * round;
        wait_until("runs are recorded", || {
            child.try_wait().unwrap().is_some() || recorded().first().is_some_and(|n| enough(n))
        });
        std::thread::sleep(Duration::from_millis(37 * round));
        let _ = child.kill();
        child.wait().unwrap();
    }
    desk.run_job().exits(0);
    assert_eq!(names(&desk.path("out/runs")).len(), 60);
    for x in 0..60 {
        assert_eq!(read(&desk, &format!("out/runs/x={x}/rc.out")), format!("{x}\n"));
    }
    assert_eq!(desk.sql("SELECT count(workdir) FROM all_runs"), ["60"]);
}

#[test]
fn the_losing_copy_of_a_task_leaves_nothing() {
    let text = "shell = 'echo {x} > out; if test {x} = 3 && mkdir JOB/first; then echo loser > out; sleep 60; fi; echo {x}'\nspeculate = true\nworkdir = { keep = \"all\" }";
    let desk = Desk::new();
    let text = job(text, "range = { from = 0, to = 4 }");
    desk.write("job.toml", &text.replace("JOB", desk.path("").to_str().unwrap()));
    let ran =
        desk.run(gridmpi(), &["job.toml", "--threads", "3", "--out", "out", "--format", "json"]);
    assert_eq!(ran.exits(0).score(), 6.0);
    assert_eq!(names(&desk.path("out/runs")), ["x=0", "x=1", "x=2", "x=3"]);
    assert_eq!(read(&desk, "out/runs/x=3/out"), "3\n");
}

#[test]
fn merge_and_fresh_carry_folders() {
    let desk = Desk::with_job(&fixed("workdir = { keep = [\"*.out\"] }", 3));
    desk.run_job().exits(0);
    desk.write("job.toml", &fixed("workdir = { keep = [\"*.out\"] }", 5));
    desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "more"]).exits(0);
    desk.run(gridmpi(), &["merge", "out", "more", "--out", "both"]).exits(0);
    assert_eq!(names(&desk.path("both/runs")), ["x=0", "x=1", "x=2", "x=3", "x=4"]);
    assert_eq!(read(&desk, "both/runs/x=4/rc.out"), "4\n");
    let store = desk.path("both/runs.sqlite");
    let column = || common::sql_rows(&store, "SELECT workdir FROM all_runs WHERE x > 2 ORDER BY x");
    assert_eq!(column(), ["runs/x=3", "runs/x=4"]);
    let ran = desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "both"]).exits(0);
    assert!(ran.stderr.contains("5 of 5 runs reused"), "{}", ran.stderr);
    assert_eq!(column(), ["runs/x=3", "runs/x=4"]);
    desk.run(gridmpi(), &["job.toml", "--fresh", "--out", "both"]).exits(0);
    assert_eq!(names(&desk.path("both/earlier-1/runs")).len(), 5);
    assert_eq!(names(&desk.path("both/runs")).len(), 5);
    let earlier = desk.says(&["explain", "both/earlier-1", "x=4"]);
    assert!(earlier.contains("runs/x=4 (1 file") && !earlier.contains("not there"), "{earlier}");
}

#[test]
fn files_that_are_gone_are_noticed_and_the_result_stays() {
    let desk = Desk::with_job(&fixed("workdir = { keep = \"all\" }", 3));
    desk.run_job().exits(0);
    fs::remove_file(desk.path("out/runs/x=1/rc.out")).unwrap();
    fs::remove_dir_all(desk.path("out/runs/x=2")).unwrap();
    let explained = desk.says(&["explain", "out", "x=1"]);
    assert!(explained.contains("runs/x=1 has 2 of 3 files"), "{explained}");
    assert!(desk.says(&["explain", "out", "x=2"]).contains("runs/x=2 is not there"));
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("files of 2 runs are gone"), "{}", ran.stderr);
    assert_eq!(ran.score(), 3.0);
}

#[test]
fn files_are_copied_and_linked_and_count_for_reuse() {
    let table = |more: &str| {
        format!(
            "command = [\"sh\", \"-c\", \"cat mesh.msh deck/sub/b in.dat big | tr '\\\\n' ' ' > all; echo >> mesh.msh; wc -w < all\"]\n[crunch.workdir]\ncopy = [\"mesh.msh\", \"deck/**\", {{ \"in.dat\" = \"{{dataset}}\" }}]\nlink = {{ big = \"data/big.h5\" }}\n{more}"
        )
    };
    let text = |more: &str| {
        format!(
            "[crunch]\n{}\n[[loop]]\nname = \"dataset\"\nfiles = \"data/*.csv\"\nreduce = \"sum\"\n",
            table(more)
        )
    };
    let desk = Desk::with_job(&text("keep = \"all\""));
    for (name, content) in [
        ("mesh.msh", "mesh\n"),
        ("deck/a", "a\n"),
        ("deck/sub/b", "b\n"),
        ("data/one.csv", "1\n"),
        ("data/two.csv", "2 2\n"),
        ("data/big.h5", "big\n"),
    ] {
        desk.write(name, content);
    }
    desk.run_job().exits(0);
    let runs = names(&desk.path("out/runs"));
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert!(runs[0].starts_with("dataset=one.csv-"), "{runs:?}");
    assert_eq!(read(&desk, &format!("out/runs/{}/all", runs[1])), "mesh b 2 2 big ");
    assert!(desk.path(&format!("out/runs/{}/big", runs[1])).is_symlink());
    assert_eq!(read(&desk, "mesh.msh"), "mesh\n", "a copy is the attempt's own");
    assert_eq!(desk.sql("SELECT dataset FROM all_runs ORDER BY task")[0], "data/one.csv");
    // What is kept, and where attempts run, changes nothing.
    desk.write("job.toml", &text("keep = \"none\"\nscratch = \"$TMPDIR\""));
    assert!(desk.run_job().exits(0).stderr.contains("2 of 2 runs reused"));
    // A file that a point names counts for its runs alone, the others for all.
    desk.write("data/two.csv", "2 2 2\n");
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("1 of 2 runs reused"), "{}", ran.stderr);
    assert_eq!(ran.score(), 10.0);
    for (name, before) in [("mesh.msh", "mesh\n"), ("deck/a", "a\n"), ("data/big.h5", "big\n")] {
        desk.write(name, "other\n");
        let ran = desk.run_job().exits(2);
        assert!(ran.stderr.contains(&format!("{name} has changed")), "{}", ran.stderr);
        desk.write(name, before);
    }
    desk.run_job().exits(0);
    let other = text("").replace("\"mesh.msh\", ", "");
    desk.write("job.toml", &other.replace("cat mesh.msh", "cat"));
    assert!(desk.run_job().exits(2).stderr.contains("in a folder of its own"));
    let by_hand = {
        desk.write("job.toml", &text("keep = \"none\""));
        desk.run_job().exits(0);
        let explained = desk.says(&["explain", "out", "0", "--format", "json"]);
        let explained: serde_json::Value = serde_json::from_str(&explained).unwrap();
        explained["by_hand"].as_str().unwrap().to_string()
    };
    let mut pasted = Command::new("bash");
    pasted.args(["-c", &by_hand]);
    let ran = desk.run(pasted, &[]).exits(0);
    assert_eq!(ran.stdout.trim(), "4", "{by_hand}");
    assert!(desk.run_job().exits(0).stderr.contains("2 of 2 runs reused"));
}

#[test]
fn templates_are_filled_in_and_count_for_reuse() {
    let text = |more: &str| {
        format!(
            "[crunch]\nshell = 'cat rc.cir case/deep/plain; test \"$(pwd)\" = {{gridmpi.workdir}} || exit 4; tail -1 rc.cir'\n[crunch.workdir]\ntemplate = [\"rc.cir.in\", \"case/**\"]\nkeep = \"all\"\n{more}\n[[loop]]\nname = \"dataset\"\nfiles = \"data/*\"\n[[loop]]\nname = \"r\"\nvalues = [1.5, 2.0]\nreduce = \"sum\"\n"
        )
    };
    let desk = Desk::with_job(&text(""));
    let deck = "* {{ dataset }} {{ gridmpi.attempt }}\nR1 1 2 {{ r | fmt(\".3e\") }}\n{{ r }}\n";
    desk.write("rc.cir.in", deck);
    desk.write("case/deep/plain", "no expression\n");
    desk.write("data/a", "");
    assert_eq!(desk.run_job().exits(0).score(), 3.5);
    let folder = &desk.sql("SELECT workdir FROM all_runs ORDER BY task")[0];
    let data = desk.path("data/a").canonicalize().unwrap();
    let filled = format!("* {} 1\nR1 1 2 1.500e+00\n1.5\n", data.display());
    assert_eq!(read(&desk, &format!("out/{folder}/rc.cir")), filled);
    assert!(!desk.path(&format!("out/{folder}/rc.cir.in")).exists());
    let explained = desk.says(&["explain", "out", "1", "--format", "json"]);
    let explained: serde_json::Value = serde_json::from_str(&explained).unwrap();
    let by_hand = explained["by_hand"].as_str().unwrap();
    let mut pasted = Command::new("bash");
    pasted.args(["-c", by_hand]);
    assert!(desk.run(pasted, &[]).exits(0).stdout.ends_with("\n2.0\n"), "{by_hand}");
    desk.write("rc.cir.in", &deck.replace("R1", "R2"));
    assert!(desk.run_job().exits(2).stderr.contains("rc.cir.in has changed"));
    desk.write("rc.cir.in", "one\n{{ q }}\n");
    let refused = desk.run(gridmpi(), &["job.toml", "--out", "new"]).exits(2);
    let says = ["job.toml:", "template[0]: rc.cir.in:2:", "'q'"];
    assert!(says.iter().all(|text| refused.stderr.contains(text)), "{}", refused.stderr);
    desk.write("rc.cir.in", "{{ q }} <<r>>\n1\n");
    desk.write("job.toml", &text("delimiters = [\"<<\", \">>\"]"));
    desk.run(gridmpi(), &["job.toml", "--out", "new"]).exits(0);
    let folder = desk.path("new").join(folder);
    assert_eq!(fs::read_to_string(folder.join("rc.cir")).unwrap(), "{{ q }} 1.5\n1\n");
}

#[test]
fn files_in_the_jobs_folder_count_when_named_there() {
    let line = "command = [\"sh\", \"{gridmpi.job}/sim.sh\", \"--deck={gridmpi.job}/deck.in\", \"{gridmpi.job}/data/{x}\"]\nworkdir = true";
    let desk = Desk::with_job(&job(line, "values = [1, 2]"));
    for (name, text) in
        [("sim.sh", "wc -c < \"$2\"\n"), ("deck.in", ""), ("data/1", "1"), ("data/2", "22")]
    {
        desk.write(name, text);
    }
    assert_eq!(desk.run_job().exits(0).score(), 3.0);
    desk.write("data/2", "222");
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("1 of 2 runs reused"), "{}", ran.stderr);
    assert_eq!(ran.score(), 4.0);
    for name in ["sim.sh", "deck.in"] {
        let before = read(&desk, name);
        desk.write(name, &format!("{before}# more\n"));
        let ran = desk.run_job().exits(2);
        assert!(ran.stderr.contains(&format!("{name} has changed")), "{}", ran.stderr);
        desk.write(name, &before);
    }
    let shell = "shell = 'sh {gridmpi.job}/sim.sh - {gridmpi.job}/data/{x}'\nworkdir = true";
    desk.write("job.toml", &job(shell, "values = [1, 2]"));
    assert_eq!(
        desk.run(gridmpi(), &["job.toml", "--out", "shell", "--format", "json"]).exits(0).score(),
        4.0
    );
    desk.write("sim.sh", "wc -c < \"$2\" # changed\n");
    desk.run(gridmpi(), &["job.toml", "--out", "shell"]).exits(2);
}

#[test]
fn points_that_name_files_are_absolute_paths_there() {
    let text = "[crunch]\nshell = 'cat {case.file} {folder}/inner > got; echo {case.file} > path; pwd > where; cat got'\nworkdir = { keep = \"all\" }\n[[loop]]\nname = \"folder\"\nfolders = \"d/*\"\n[[loop]]\nname = \"case\"\nrows = \"cases.csv\"\nreduce = \"max\"\n";
    let desk = Desk::with_job(text);
    desk.write("cases.csv", "file,n\none.txt,1\ntwo.txt,2\n");
    desk.write("one.txt", "0\n");
    desk.write("two.txt", "0\n");
    desk.write("d/a/inner", "7\n");
    assert_eq!(desk.run_job().exits(0).score(), 7.0);
    let folder = &desk.sql("SELECT workdir FROM all_runs ORDER BY task")[0];
    let path = read(&desk, &format!("out/{folder}/path"));
    assert!(path.starts_with('/') && path.ends_with("/one.txt\n"), "{path}");
    assert_eq!(
        desk.sql("SELECT folder, \"case.file\" FROM all_runs ORDER BY task")[0],
        "d/a|one.txt"
    );
    let shown = text.replace("cat got'", "echo \"$GRIDMPI_POINT\" > point; cat got'");
    desk.write("job.toml", &shown);
    desk.run(gridmpi(), &["job.toml", "--out", "other"]).exits(0);
    let point = read(&desk, &format!("other/{folder}/point"));
    assert!(point.contains(path.trim()), "{point}");
}

#[test]
fn python_is_called_in_the_folder_and_loads_in_the_jobs() {
    let code = r#"
import os

def load(dataset):
    with open("beside.txt") as beside:  # in the job's folder
        return beside.read(), open(dataset).read(), dataset

def crunch(dataset, x, seed, workdir):
    import late
    assert os.getcwd() == os.path.realpath(workdir) == os.path.realpath(os.environ["GRIDMPI_WORKDIR"])
    assert os.listdir(".") == [], os.listdir(".")
    assert os.path.isabs(dataset[2]), dataset
    open("out.txt", "w").write(f"{x} {dataset[1].strip()}")
    return {"score": x + len(dataset[0]) + late.VALUE, "folder": workdir}
"#;
    let text = |more: &str| {
        format!(
            "[crunch]\npython = \"fit.py:crunch\"\nload = \"fit.py:load\"\nworkdir = {{ keep = [\"*.txt\"] }}\n{more}[[loop]]\nname = \"dataset\"\nfiles = \"data/*\"\n[[loop]]\nname = \"x\"\nrange = {{ from = 0, to = 20 }}\nreduce = \"sum\"\n"
        )
    };
    let desk = Desk::with_job(&text(""));
    desk.write("fit.py", code);
    desk.write("late.py", "VALUE = len(open('beside.txt').read())\n");
    desk.write("beside.txt", "abc");
    desk.write("data/a", "A\n");
    desk.write("data/b", "B\n");
    let ran = desk.run_job().exits(0);
    assert_eq!(ran.score(), 190.0 + 20.0 * 6.0);
    let ranks = desk.run(mpirun(3), &["job.toml", "--out", "ranks", "--format", "json"]).exits(0);
    assert_eq!(ranks.score(), ran.score());
    for out in ["out", "ranks"] {
        let sql = "SELECT workdir FROM all_runs ORDER BY task";
        let folders = common::sql_rows(&desk.path(&format!("{out}/runs.sqlite")), sql);
        assert_eq!(folders.len(), 40);
        assert_eq!(read(&desk, &format!("{out}/{}/out.txt", folders[23])), "3 B");
    }
    assert!(!desk.path("out.txt").exists());
    // A loop goes before what gridmpi adds.
    desk.write("fit.py", "def crunch(workdir):\n    return workdir\n");
    desk.write(
        "job.toml",
        "[crunch]\npython = \"fit.py:crunch\"\nworkdir = true\n[[loop]]\nname = \"workdir\"\nvalues = [4]\nreduce = \"sum\"\n",
    );
    let ran = desk.run(gridmpi(), &["job.toml", "--out", "own", "--format", "json"]).exits(0);
    assert_eq!(ran.score(), 4.0);
    assert!(desk.says(&["runs", "own"]).contains("run.workdir"));
    // A call that fails keeps what it has written; one that ends its process too.
    desk.write(
        "fit.py",
        "import os\ndef crunch(x):\n    open('a', 'w').write(str(x))\n    if x == 1:\n        raise ValueError('no')\n    if x == 2:\n        os._exit(3)\n    return x\n",
    );
    let few = "[[loop]]\nname = \"x\"\nvalues = [0, 1, 2]\nreduce = \"sum\"\n";
    desk.write("job.toml", &format!("[crunch]\npython = \"fit.py:crunch\"\nworkdir = true\n{few}"));
    desk.run(gridmpi(), &["job.toml", "--out", "failed"]).exits(100);
    assert_eq!(names(&desk.path("failed/runs")), ["x=1", "x=2"]);
    assert_eq!(read(&desk, "failed/runs/x=2/a"), "2");
}

#[test]
fn what_would_be_missing_in_the_folder_is_refused() {
    let desk = Desk::new();
    for name in ["sim.py", "deck.in", "data/1.dat", "a/x", "b/x"] {
        desk.write(name, "");
    }
    desk.script("run", "#!/bin/sh\necho $1\n");
    let refused = |crunch: &str, says: &[&str]| {
        desk.write("job.toml", &job(crunch, "values = [1, 2]"));
        let ran = desk.run_job().exits(2);
        for text in says {
            assert!(ran.stderr.contains(text), "{crunch}: {text}: {}", ran.stderr);
        }
        assert!(!desk.path("out/runs.sqlite").exists());
    };
    let ways = ["{gridmpi.job}/", "copy = ["];
    let own = "workdir = true";
    for line in [
        "command = [\"python3\", \"sim.py\", \"{x}\"]",
        "command = [\"./run\", \"--deck=deck.in\"]",
        "command = [\"./run\", \"data/{x}.dat\"]",
        "shell = './run {x}'",
        "shell = 'cat deck.in; echo {x}'",
    ] {
        refused(
            &format!("{line}\n{own}"),
            &["is a file beside the job", ways[0], ways[1], "job.toml:"],
        );
    }
    let with = |table: &str| format!("command = [\"./run\", \"{{x}}\"]\n[crunch.workdir]\n{table}");
    refused(&with("copy = [\"mehs.msh\"]"), &["job.toml:", "names no file"]);
    refused(&with("kep = \"all\""), &["did you mean 'keep'?"]);
    refused(&with("keep = \"al\""), &["did you mean \"all\"?"]);
    refused(&with("keep = [\"../x\"]"), &["no path inside the folder"]);
    refused(&with("copy = { \"../x\" = \"deck.in\" }"), &["no path inside the folder"]);
    refused(&with("copy = [{ x = \"a/x\" }, { x = \"b/x\" }]"), &["cannot both be put"]);
    refused(&with("copy = [{ in = \"data/{x}.dat\" }]"), &["there is no \"data/2.dat\""]);
    refused(&with("copy = [\"data/{x}.dat\"]"), &["needs a name of its own"]);
    refused(&with("copy = [{ in = \"data/{y}.dat\" }]"), &["y"]);
    refused("builtin = \"multiply\"\nworkdir = true", &["a builtin writes no files"]);
    refused("command = [\"./run\", \"{x}\"]\nworkdir = 3", &["expected true, false or a table"]);
    // A program with a slash is relative to the job file, and false is as if nothing were said.
    desk.write(
        "job.toml",
        &job("command = [\"./run\", \"{x}\"]\nworkdir = true", "values = [1, 2]"),
    );
    assert_eq!(desk.run_job().exits(0).score(), 3.0);
    desk.write(
        "job.toml",
        &job("shell = './run {x}; pwd > here'\nworkdir = false", "values = [3]"),
    );
    let ran = desk.run(gridmpi(), &["job.toml", "--out", "plain"]).exits(0);
    assert!(!desk.path("plain/runs").exists() && desk.path("here").exists(), "{}", ran.stderr);
}

#[test]
fn a_folder_of_runs_of_the_users_is_left_alone() {
    let desk = Desk::with_job(&fixed("workdir = true", 1));
    desk.write("out/runs/mine", "");
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("has not made it"), "{}", ran.stderr);
    assert!(desk.path("out/runs/mine").exists());
}

#[test]
fn a_plan_says_what_would_be_kept() {
    let desk = Desk::with_job(&fixed("workdir = { keep = [\"*.out\"] }", 40));
    let plan = desk.says(&["plan", "job.toml", "--out", "out"]);
    assert!(plan.contains("kept in runs/, up to 40 folders"), "{plan}");
    let plan = desk.says(&["plan", "job.toml", "--out", "out", "--pilot", "4"]);
    assert!(plan.contains("some 40 folders with") && plan.contains("4 recorded runs"), "{plan}");
    desk.write("job.toml", &fixed("workdir = { keep = \"all\" }", 100_001));
    let ran = desk.run(gridmpi(), &["plan", "job.toml", "--out", "none"]).exits(0);
    assert!(ran.stderr.contains("more than 100,000 folders"), "{}", ran.stderr);
    desk.write("job.toml", &fixed("workdir = { keep = \"none\" }", 100_001));
    let plan = desk.says(&["plan", "job.toml", "--out", "none"]);
    assert!(!plan.contains("kept in"), "{plan}");
}

#[test]
fn a_full_disk_pauses_attempts_and_no_run_is_lost() {
    let text = "shell = 'head -c 200000 /dev/zero > big.out; test $(wc -c < big.out) = 200000 || exit 1; echo {x}'\nretries = 1000\nworkdir = { keep = \"all\", scratch = \"SCRATCH\" }";
    let desk = Desk::new();
    let disk = desk.path("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |options: &str| {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "none"]).arg(&disk).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    };
    if !mount("size=3m") {
        eprintln!("skipped: no leave to mount a small disk here");
        return;
    }
    let scratch = desk.path("scratch");
    let text = job(text, "range = { from = 0, to = 30 }");
    desk.write("job.toml", &text.replace("SCRATCH", scratch.to_str().unwrap()));
    let mut command = gridmpi();
    command.args(["job.toml", "--threads", "2", "--out", "disk/out", "--format", "json"]);
    let errors = fs::File::create(desk.path("errors")).unwrap();
    command.current_dir(desk.path(".")).stdout(Stdio::piped()).stderr(errors);
    let child = command.spawn().unwrap();
    let said = || fs::read_to_string(desk.path("errors")).unwrap();
    wait_until("the disk is full", || said().contains("waits until there is room"));
    let grown = Command::new("mount").args(["-o", "remount,size=50m"]).arg(&disk).status();
    assert!(grown.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let unmounted = || {
        let kept = names(&disk.join("out/runs")).len();
        let _ = Command::new("umount").arg("-l").arg(&disk).status();
        kept
    };
    let (status, kept) = (output.status, unmounted());
    assert!(status.success(), "{status}: {}", said());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["groups"][0]["summary"]["score"], 435.0);
    assert_eq!((kept, json["groups"][0]["failed"].clone()), (30, 0.into()), "{}", said());
}

#[test]
fn a_run_that_comes_back_has_its_own_files() {
    let text = "[crunch]\nshell = 'grep . {d} | tee kept'\nworkdir = { keep = \"all\" }\n[[loop]]\nname = \"d\"\nfiles = \"*.txt\"\n";
    let desk = Desk::with_job(text);
    for number in ["1", "7", "1"] {
        desk.write("d.txt", &format!("{number}\n"));
        desk.run_job().exits(0);
        let folder = &desk.sql("SELECT workdir FROM all_runs")[0];
        assert_eq!(read(&desk, &format!("out/{folder}/kept")), format!("{number}\n"), "{folder}");
    }
}

#[test]
fn a_disk_that_is_full_when_files_are_kept_loses_none_of_them() {
    let desk = Desk::new();
    let disk = desk.path("disk");
    fs::create_dir(&disk).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=8m,nr_inodes=60", "none"]).arg(&disk);
    if !mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: no leave to mount a small disk here");
        return;
    }
    // No inode is left for a new folder when the run ends.
    let fill = "mkdir log; echo x > log/x; echo out > a.out; cd FILL; i=0; while : > $i; do i=$((i+1)); done 2>/dev/null; rm 0; echo 5";
    let fill = fill.replace("FILL", disk.join("fill").to_str().unwrap());
    fs::create_dir(disk.join("fill")).unwrap();
    let table = format!("shell = '{fill}'\nworkdir = {{ keep = [\"a.out\", \"log/x\"] }}");
    desk.write("job.toml", &job(&table, "values = [1]"));
    let ran = desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "disk/out"]);
    let kept = names(&disk.join("out/runs/x=1"));
    let _ = Command::new("umount").arg("-l").arg(&disk).status();
    assert_eq!(
        (ran.code, kept),
        (0, vec!["a.out".to_string(), "log".to_string()]),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_plain_word_is_no_file_and_what_is_linked_is_there() {
    let text = "shell = 'cat lk/a > /dev/null; sed \"s/method = //\" in.txt'\n[crunch.workdir]\ntemplate = \"in.txt.in\"\nlink = \"lk\"";
    let desk = Desk::with_job(&job(text, "values = [\"euler\", \"rk4\"]"));
    desk.write("in.txt.in", "method = {% if x == \"euler\" %}1{% else %}2{% endif %}\n");
    fs::create_dir(desk.path("lk")).unwrap();
    desk.write("lk/a", "");
    desk.write("euler", "notes\n");
    assert_eq!(desk.run_job().exits(0).score(), 3.0);
    // gridmpi's own results are no data.
    let text = "shell = 'ls -R | wc -l'\nworkdir = { copy = \"*\" }";
    desk.write("job.toml", &job(text, "values = [1]"));
    for out in ["results/a", "results/b", "results/a"] {
        desk.run(gridmpi(), &["job.toml", "--out", out]).exits(0);
    }
    assert_eq!(desk.sql("SELECT count(*) FROM all_runs").len(), 1);
}
