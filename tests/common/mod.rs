//! Shared test helpers: a temporary folder with a job, and gridmpi started in various ways.

#![allow(dead_code, unreachable_pub)] // no test file uses all of it

pub mod launchers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The variables by which Open MPI is told to start more ranks than there are cores, and by root.
pub const OPEN_MPI_MAY: [(&str, &str); 4] = [
    ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
    ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
    ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
    ("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"),
];

/// A wait that has no limit of its own fails after this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// The path of the program under test.
const GRIDMPI: Option<&str> = option_env!("CARGO_BIN_EXE_gridmpi");

/// The program under test.
pub fn gridmpi() -> Command {
    clean(Command::new(GRIDMPI.expect("built with the features cli and jobs")))
}

/// The program under test on that many MPI ranks.
pub fn mpirun(ranks: usize) -> Command {
    mpirun_of(ranks, Path::new(GRIDMPI.expect("built with the features cli and jobs")))
}

/// Any program on that many MPI ranks.
pub fn mpirun_of(ranks: usize, program: &Path) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "-n", &ranks.to_string()]).arg(program);
    command.envs(OPEN_MPI_MAY[..2].iter().copied());
    clean(command)
}

/// The most memory that a command takes, in MiB.
pub fn peak(desk: &Desk, arguments: &[&str]) -> (Ran, u64) {
    let mut python = clean(Command::new("python3"));
    let program = "import resource, subprocess, sys\ncode = subprocess.run(sys.argv[1:]).returncode\n\
                   peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n\
                   print('peak', peak, file=sys.stderr)\nsys.exit(code)";
    python.args(["-c", program, GRIDMPI.expect("built with the features cli and jobs")]);
    let ran = desk.run(python, arguments).exits(0);
    let line = ran.stderr.lines().rev().find_map(|line| line.strip_prefix("peak ")).unwrap();
    let peak = line.parse::<u64>().unwrap() / 1024;
    (ran, peak)
}

/// An example program; examples are built together with the tests.
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).unwrap();
    built.join("examples").join(name)
}

/// Removes the variables that a launcher or the user's logging may have set.
fn clean(mut command: Command) -> Command {
    let of_launchers = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "GRIDMPI_MPI"];
    for name in ["RUST_LOG", "OMP_NUM_THREADS"].into_iter().chain(of_launchers) {
        command.env_remove(name);
    }
    for name in ["SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_CPUS_PER_TASK"] {
        command.env_remove(name);
    }
    command
}

/// A library for LD_PRELOAD: tests/`name`.c, compiled.
pub fn preload(desk: &Desk, name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{name}.c"));
    let built = desk.path(&format!("{name}.so"));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&built).arg(source).arg("-ldl");
    assert!(compiler.status().unwrap().success());
    built
}

/// Waits until something is so, but not for ever.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A Python with scikit-learn, installed by scripts/test.
pub fn python_with_sklearn() -> PathBuf {
    match std::env::var_os("GRIDMPI_TEST_PYTHON") {
        Some(path) => PathBuf::from(path),
        None => panic!("GRIDMPI_TEST_PYTHON names no Python with scikit-learn: run scripts/test"),
    }
}

/// The project's jobs/ folder.
pub fn jobs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs")
}

/// A temporary folder for one test.
pub struct Desk {
    folder: TempDir,
}

impl Desk {
    pub fn new() -> Desk {
        Desk { folder: tempfile::tempdir().unwrap() }
    }

    /// A folder with this job as job.toml.
    pub fn with_job(text: &str) -> Desk {
        let desk = Desk::new();
        desk.write("job.toml", text);
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn script(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        self.write(name, text);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a command in the folder.
    pub fn run(&self, mut command: Command, arguments: &[&str]) -> Ran {
        let output = command.args(arguments).current_dir(self.folder.path()).output().unwrap();
        Ran::new(output)
    }

    /// What gridmpi prints in the folder.
    pub fn says(&self, arguments: &[&str]) -> String {
        self.run(gridmpi(), arguments).exits(0).stdout
    }

    /// The rows of an export of [`Desk::run_job`]'s results, as objects.
    pub fn exported(&self, more: &[&str]) -> Vec<serde_json::Value> {
        let text = self.says(&[&["export", "out", "--format", "jsonl"], more].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs job.toml on two threads.
    pub fn run_job(&self) -> Ran {
        self.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "out", "--format", "json"])
    }

    /// The calls that crunch has noted in the file `calls` since the last look, sorted.
    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap();
        self.write("calls", "");
        let mut calls: Vec<String> = text.lines().map(String::from).collect();
        calls.sort();
        calls
    }

    /// Runs SQL on the results of [`Desk::run_job`].
    pub fn sql(&self, sql: &str) -> Vec<String> {
        sql_rows(&self.path("out/runs.sqlite"), sql)
    }
}

/// The output and exit status of a program.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn new(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Checks the exit code.
    pub fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The JSON summary on stdout, without the timing.
    pub fn summary(&self) -> &str {
        self.stdout.split(",\n\"timing\":").next().unwrap()
    }

    /// stdout as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// The groups of a summary on stdout.
    pub fn groups(&self) -> Vec<serde_json::Value> {
        self.json()["groups"].as_array().unwrap().clone()
    }

    /// The value of the first group of a summary on stdout.
    pub fn value(&self) -> serde_json::Value {
        self.groups()[0]["summary"]["value"].clone()
    }

    /// The score of the first group of a summary on stdout.
    pub fn score(&self) -> f64 {
        self.groups()[0]["summary"]["score"].as_f64().unwrap_or_else(|| panic!("{}", self.stdout))
    }
}

/// Rows of a query as the sqlite3 program prints them.
pub fn sql_rows(store: &Path, sql: &str) -> Vec<String> {
    let output = Command::new("sqlite3").arg(store).arg(sql).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect()
}

/// The cells of each line, which stand two spaces apart.
pub fn cells(text: &str) -> Vec<Vec<String>> {
    let line = |line: &str| {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        cells.map(String::from).collect()
    };
    text.lines().map(line).collect()
}

/// A column of rows.
pub fn column(rows: &[serde_json::Value], name: &str) -> serde_json::Value {
    rows.iter().map(|row| row[name].clone()).collect()
}

/// The number of processes with this command line.
pub fn running(text: &str) -> usize {
    let mut found = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        found += usize::from(String::from_utf8_lossy(&line).replace('\0', " ").trim() == text);
    }
    found
}

/// SQL for the rows of `runs` whose `task` meets a condition, in a store that has a run of every task.
pub fn of_tasks(condition: &str) -> String {
    let numbered = "SELECT key, row_number() OVER (ORDER BY key) - 1 AS task FROM runs";
    format!("key IN (SELECT key FROM ({numbered}) WHERE {condition})")
}

/// A store's runs without times and hosts.
pub fn runs_without_times(store: &Path) -> Vec<String> {
    let sql = "SELECT task, status, hex(cast(score AS TEXT)), score, value, error, attempt
                 FROM all_runs ORDER BY task;
               SELECT hex(exact) FROM runs ORDER BY 1;
               SELECT level, number, score, value, best, error, runs, failed, hex(exact)
                 FROM groups ORDER BY level, number;
               SELECT * FROM points; SELECT * FROM loops;";
    sql_rows(store, sql)
}
