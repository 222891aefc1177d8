//! Another `result`: results are read again from the files that runs have left, without a call of the program, or the
//! start is refused and says why.

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{Desk, Ran, gridmpi, mpirun};

const WRITES: &str = "echo {x}-{y} >> {gridmpi.job}/calls\nprintf 'E = %s\\nF = %s\\n' {x} {y} > out.dat\nprintf 't, cd, cl\\n0, 9, %s\\n1, %s, %s\\n' {x} {x} {y} > out.csv\necho took 3 s\n";

struct Job {
    result: &'static str,
    keep: &'static str,
    x: &'static str,
    more: &'static str,
}

const ENERGY: &str = "score = { file = \"out.dat\", pattern = 'E = (\\S+)' }";
const FORCE: &str = "score = { file = \"out.dat\", pattern = 'F = (\\S+)' }";

const JOB: Job = Job { result: ENERGY, keep: "\"all\"", x: "[1, 2]", more: "" };

impl Job {
    fn write(&self, desk: &Desk) {
        let Job { result, keep, x, more } = self;
        desk.write(
            "job.toml",
            &format!(
                "[crunch]\nshell = '''\n{WRITES}{more}'''\n[crunch.workdir]\nkeep = {keep}\n[crunch.result]\n{result}\n[[loop]]\nname = \"x\"\nvalues = {x}\n[[loop]]\nname = \"y\"\nvalues = [10, 20, 30]\nreduce = \"mean\"\n"
            ),
        );
    }

    /// A folder in which it has run.
    fn done(&self, exit: i32) -> Desk {
        let desk = Desk::new();
        self.write(&desk);
        desk.run_job().exits(exit);
        desk
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The results are those of a start that computes all anew.
fn is_as_fresh(desk: &Desk, exit: i32) {
    let mut command = gridmpi();
    command.args(["job.toml", "--threads", "2", "--out", "fresh"]);
    desk.run(command, &[]).exits(exit);
    let table = |out: &str| read(&desk.path(&format!("{out}/summary.csv")));
    assert_eq!(table("out"), table("fresh"));
    let rows = |out: &str| {
        let sql = "SELECT task, status, score, value FROM all_runs ORDER BY task";
        common::sql_rows(&desk.path(&format!("{out}/runs.sqlite")), sql)
    };
    assert_eq!(rows("out"), rows("fresh"));
    fs::remove_dir_all(desk.path("fresh")).unwrap();
    desk.write("calls", "");
}

/// A start that has read these results again, and called the program so often.
fn read_again(desk: &Desk, (runs, calls): (usize, usize), exit: i32) -> Ran {
    desk.write("calls", "");
    let ran = desk.run_job().exits(exit);
    let said = format!("read the results of {runs} runs again from their kept files");
    assert_eq!(ran.stderr.matches(&said).count(), 1, "{}", ran.stderr);
    assert_eq!(desk.calls().len(), calls);
    ran
}

#[test]
fn patterns_names_and_columns_change_without_a_call() {
    let desk = JOB.done(0);
    let named = "cd = { file = \"out.csv\", column = \"cd\" }";
    let column = |name: &str, row: &str| {
        let text = format!(
            "score = {{ file = \"out.csv\", column = \"{name}\", row = {row} }}\nenergy = {{ file = \"out.dat\", pattern = 'E = (\\S+)' }}"
        );
        Box::leak(text.into_boxed_str()) as &str
    };
    let both: &str = Box::leak(format!("{FORCE}\n{named}").into_boxed_str());
    for result in [FORCE, both, column("cl", "\"last\""), column("cd", "0"), ENERGY] {
        Job { result, ..JOB }.write(&desk);
        let said = desk.says(&["plan", "job.toml", "--out", "out"]);
        assert!(
            said.contains("6 of 6 runs are there and would be reused; 0 tasks would be done. result has changed: the results of 6 runs would be read again from kept files."),
            "{said}"
        );
        read_again(&desk, (6, 0), 0);
        is_as_fresh(&desk, 0);
        let again = desk.run_job().exits(0);
        assert!(!again.stderr.contains("read the results"), "{}", again.stderr);
        assert!(again.stderr.contains("6 of 6 runs reused"), "{}", again.stderr);
        let said = desk.says(&["plan", "job.toml", "--out", "out"]);
        assert!(!said.contains("has changed"), "{said}");
    }
    assert!(!desk.says(&["status", "out"]).contains("earlier crunch"));
    // The score may be another one at the same time, and ranks do the same.
    Job { result: both, ..JOB }.write(&desk);
    let text = read(&desk.path("job.toml")).replace("[crunch]\n", "[crunch]\nscore = \"cd\"\n");
    desk.write("job.toml", &text);
    let ran = desk.run(mpirun(3), &["job.toml", "--out", "out"]).exits(0);
    assert!(ran.stderr.contains("read the results of 6 runs again"), "{}", ran.stderr);
    assert!(desk.calls().is_empty());
    is_as_fresh(&desk, 0);
}

#[test]
fn a_grid_may_grow_at_the_same_time() {
    let desk = JOB.done(0);
    Job { result: FORCE, x: "[0, 2, 1]", keep: "[\"*.dat\"]", ..JOB }.write(&desk);
    read_again(&desk, (6, 3), 0);
    is_as_fresh(&desk, 0);
    // Points that are gone are read again too, and are right when they come back.
    Job { result: ENERGY, x: "[2]", ..JOB }.write(&desk);
    read_again(&desk, (9, 0), 0);
    Job { result: ENERGY, x: "[0, 1, 2]", ..JOB }.write(&desk);
    desk.run_job().exits(0);
    assert!(desk.calls().is_empty());
    is_as_fresh(&desk, 0);
}

/// A start that is refused with these words, and has left everything as it was.
fn is_refused(desk: &Desk, words: &[&str]) {
    let all = "SELECT * FROM runs ORDER BY key; SELECT * FROM groups; SELECT * FROM crunches";
    let before = desk.sql(all);
    let ran = desk.run_job().exits(2);
    let said = desk.says(&["plan", "job.toml", "--out", "out"]);
    for word in words {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(said.contains("A start would be refused"), "{said}");
    assert_eq!(desk.sql(all), before);
}

#[test]
fn what_cannot_be_read_again_is_refused_in_words() {
    let desk = JOB.done(0);
    desk.write("calls", "");
    let both = "--fresh, which moves the runs aside and computes all anew";
    // Stdout, and a result where there was none, or none where there was one.
    for (result, why) in [
        (
            "score = { pattern = 'took (\\S+) s' }",
            "result.score is read from stdout, which is not kept",
        ),
        (
            "score = { file = \"other.dat\", pattern = 'E = (\\S+)' }",
            "6 of 6 runs cannot be read again from kept files (the first: task 0, runs/x=1/y=10: it has no other.dat)",
        ),
    ] {
        Job { result, ..JOB }.write(&desk);
        is_refused(&desk, &[why, both, "put result back"]);
    }
    let text = read(&desk.path("job.toml"));
    let begin = text.find("[crunch.result]").unwrap();
    let end = text.find("[[loop]]").unwrap();
    desk.write("job.toml", &format!("{}{}", &text[..begin], &text[end..]));
    is_refused(&desk, &["crunch has changed", "--fresh"]);
    // Anything else that has changed.
    Job { result: FORCE, more: "# more", ..JOB }.write(&desk);
    is_refused(&desk, &["crunch has changed"]);
    // A file that has changed, one that is a link, one that is gone.
    Job { result: FORCE, ..JOB }.write(&desk);
    let file = desk.path("out/runs/x=2/y=20/out.dat");
    let (was, times) = (read(&file), fs::metadata(&file).unwrap().modified().unwrap());
    desk.write("out/runs/x=2/y=20/out.dat", "E = 2\nF = 21\n");
    is_refused(
        &desk,
        &[
            "1 of 6 runs cannot",
            "task 4, runs/x=2/y=20: names, sizes or times of its files are not those that the run has left",
            both,
        ],
    );
    fs::remove_file(&file).unwrap();
    is_refused(&desk, &["1 of 6 runs cannot", "task 4, runs/x=2/y=20 has 1 of 2 files", both]);
    fs::remove_dir_all(desk.path("out/runs/x=1/y=10")).unwrap();
    is_refused(&desk, &["2 of 6 runs cannot", "task 0, runs/x=1/y=10 is not there", both]);
    assert!(desk.calls().is_empty());
    // Put back, it goes on; --keep leaves results as they are; --fresh computes them.
    JOB.write(&desk);
    desk.run_job().exits(0);
    assert!(desk.calls().is_empty());
    Job { result: FORCE, ..JOB }.write(&desk);
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--keep"]).exits(0);
    assert_eq!(desk.sql("SELECT sum(score) FROM all_runs"), ["9.0"]);
    assert!(desk.calls().is_empty());
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--fresh"]).exits(0);
    assert_eq!(desk.calls().len(), 6);
    is_as_fresh(&desk, 0);
    // The file itself was right all the time.
    let desk = JOB.done(0);
    desk.write("out/runs/x=2/y=20/out.dat", &was);
    let set = fs::File::options().write(true).open(desk.path("out/runs/x=2/y=20/out.dat")).unwrap();
    set.set_modified(times).unwrap();
    Job { result: FORCE, ..JOB }.write(&desk);
    is_refused(&desk, &["names, sizes or times of its files are not those that the run has left"]);
    // Nothing is kept of runs that succeed.
    let desk = Job { keep: "\"failed\"", ..JOB }.done(0);
    Job { result: FORCE, ..JOB }.write(&desk);
    is_refused(&desk, &["6 of 6 runs cannot", "task 0, of which no files were kept"]);
    // Without folders, nobody knows what has become of files.
    let text = "[crunch]\nshell = 'echo E = {x} > o.{x}'\nresult = { file = \"o.{x}\", pattern = 'E = (.*)' }\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\nreduce = \"mean\"\n";
    let desk = Desk::with_job(text);
    desk.run_job().exits(0);
    desk.write("job.toml", &text.replace("E = (.*)", "= (.*)"));
    is_refused(&desk, &["runs have no folders of their own"]);
}

/// What was in the folder before the program is no result of it.
#[test]
fn files_that_the_job_puts_there_are_not_read_again() {
    let text = "[crunch]\nshell = 'echo a = {x} > out.txt; [ {x} = 1 ] || echo b = {x} >> in.txt'\n[crunch.workdir]\nPLACED\nkeep = \"all\"\n[crunch.result]\nscore = { file = \"out.txt\", pattern = 'a = (\\S+)' }\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\n";
    for (placed, file, key) in [
        ("copy = [\"in.txt\"]", "in.txt", "copy"),
        ("copy = { \"sub\" = \"folder\" }", "./sub/in.txt", "copy"),
        ("template = [\"in.txt\"]", "in.txt", "template"),
    ] {
        let desk = Desk::with_job(&text.replace("PLACED", placed));
        desk.write("in.txt", "b = 777\n");
        desk.write("folder/in.txt", "b = 777\n");
        desk.run_job().exits(0);
        let now = format!("{{ file = \"{file}\", pattern = 'b = (\\S+)' }}");
        let text = read(&desk.path("job.toml"));
        let text = text.replace("{ file = \"out.txt\", pattern = 'a = (\\S+)' }", &now);
        desk.write("job.toml", &text);
        let why = format!("{file} was put there before the run, as {key} in [crunch.workdir] says");
        is_refused(&desk, &["2 of 2 runs cannot", &why, "--fresh"]);
    }
    // Nor is a file elsewhere, whose state is not noted.
    let place = Desk::new();
    let file = format!("{}/of-{{gridmpi.id}}", place.path("").canonicalize().unwrap().display());
    let write = format!("echo b = {{x}} > {file}");
    let text = text
        .replace("PLACED", "")
        .replace("[ {x} = 1 ] || ", "")
        .replace("echo b = {x} >> in.txt", &write);
    let desk = Desk::with_job(&text);
    desk.run_job().exits(0);
    let text = text.replace("\"out.txt\", pattern = 'a", &format!("\"{file}\", pattern = 'b"));
    desk.write("job.toml", &text);
    is_refused(&desk, &["cannot", "is outside, and whether it has changed since is not known"]);
}

/// Runs that --keep has used as they were are like all others, once they are read again.
#[test]
fn what_was_kept_is_read_again_too() {
    let desk = JOB.done(0);
    Job { result: FORCE, ..JOB }.write(&desk);
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--keep"]).exits(0);
    assert_eq!(desk.sql("SELECT sum(score) FROM all_runs"), ["9.0"]);
    let is_told = || desk.says(&["status", "out"]).contains("made by an earlier crunch");
    assert!(is_told());
    let column = "score = { file = \"out.csv\", column = \"cl\", row = 0 }";
    for result in [column, ENERGY, FORCE] {
        Job { result, ..JOB }.write(&desk);
        read_again(&desk, (6, 0), 0);
        assert!(!is_told());
        is_as_fresh(&desk, 0);
    }
}

#[test]
fn failed_runs_are_read_again_where_the_result_was_at_fault() {
    // Runs at y = 30 fail by themselves, others for want of a result.
    let fails = Job {
        result: "score = { file = \"out.dat\", pattern = 'G = (\\S+)' }",
        keep: "\"failed\"",
        more: "test {y} -ne 30\n",
        ..JOB
    };
    let desk = fails.done(100);
    assert_eq!(
        desk.sql("SELECT count(*) FROM all_runs WHERE error LIKE 'no result found: result.score: pattern%'"),
        ["4"]
    );
    Job { result: FORCE, ..fails }.write(&desk);
    read_again(&desk, (4, 2), 100);
    is_as_fresh(&desk, 100);
    assert_eq!(desk.sql("SELECT count(*) FROM failures WHERE error LIKE 'no result%'"), ["0"]);
    // What has no such result fails, and this start does not try it again; the next one does.
    let kept = Job {
        more: "test {y} -ne 30 || echo only > only\ntest {y} -ne 20 || echo 'H = 2' >> out.dat\n",
        ..JOB
    };
    let desk = kept.done(0);
    Job { result: "score = { file = \"out.dat\", pattern = 'H = (\\S+)' }", ..kept }.write(&desk);
    let ran = read_again(&desk, (6, 0), 100);
    assert!(
        ran.stderr.contains("4 have none there, which the next start computes again"),
        "{}",
        ran.stderr
    );
    is_as_fresh(&desk, 100);
    desk.run_job().exits(100);
    assert_eq!(desk.calls().len(), 4);
    // And back again: nothing is lost.
    kept.write(&desk);
    read_again(&desk, (6, 0), 0);
    is_as_fresh(&desk, 0);
}

#[test]
fn a_merged_folder_is_read_again_too() {
    let desk = JOB.done(0);
    Job { x: "[3]", ..JOB }.write(&desk);
    desk.run(gridmpi(), &["job.toml", "--out", "more"]).exits(0);
    desk.says(&["merge", "out", "more", "--out", "both"]);
    fs::remove_dir_all(desk.path("out")).unwrap();
    fs::rename(desk.path("both"), desk.path("out")).unwrap();
    Job { x: "[1, 2, 3]", result: FORCE, ..JOB }.write(&desk);
    read_again(&desk, (9, 0), 0);
    is_as_fresh(&desk, 0);
}

/// Rank 0 is killed while it reads: the store has the old results, all of them, or the new ones.
#[test]
fn a_kill_in_the_middle_leaves_one_or_the_other() {
    let long = "yes '2, 3, 4' | head -n 40000 > long.csv; cat long.csv >> out.csv\n";
    let job = Job { more: long, x: "[1, 2, 3, 4]", ..JOB };
    let desk = job.done(0);
    let result = "score = { file = \"out.csv\", column = \"cl\", row = 1 }";
    let sums = || desk.sql("SELECT sum(score), count(*) FROM runs; SELECT count(*) FROM crunches");
    let old = sums();
    Job { result, ..job }.write(&desk);
    // From long before it reads to long after it has written, on any machine.
    let (mut was_old, mut delay) = (false, Duration::from_millis(5));
    for _ in 0..16 {
        let mut command = gridmpi();
        command.args(["job.toml", "--out", "out"]).current_dir(desk.path("."));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(delay);
        delay = delay * 7 / 5;
        child.kill().unwrap();
        child.wait().unwrap();
        let now = sums();
        was_old |= now == old;
        assert!(now == old || now == ["240.0|12", "1"], "{now:?}");
    }
    assert!(was_old, "none was killed in time");
    desk.write("calls", "");
    desk.run_job().exits(0);
    assert!(desk.calls().is_empty());
    is_as_fresh(&desk, 0);
}
