//! The wheel's program under the launchers of two MPIs, each with its own library, and under launchers that it cannot
//! serve. scripts/wheel-test runs these tests; otherwise they run only if named.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::Desk;
use common::launchers::{self, JOB, line, same_as_threads, wheel_program};

fn program() -> PathBuf {
    wheel_program("empty")
}

fn gridmpi() -> Command {
    launchers::alone(&program())
}

fn four(launcher: &str) -> Command {
    launchers::four(Path::new(launcher), &program())
}

#[test]
fn each_launcher_gets_its_own_library_and_the_same_results() {
    let desk = Desk::with_job(JOB);
    for (launcher, version, library) in [
        ("mpirun.openmpi", "Open MPI v4.1", "libmpi.so.40"),
        ("mpiexec.mpich", "MPICH Version: 4.0", "libmpich.so.12"),
    ] {
        let seen = desk.run(four(launcher), &["doctor"]).exits(0);
        assert!(line(&seen, "MPI").starts_with(version), "{}", seen.stdout);
        assert!(line(&seen, "library").contains(library), "{}", seen.stdout);
        assert!(line(&seen, "ranks").starts_with("4: 4 on "), "{}", seen.stdout);
        same_as_threads(&desk, &program(), four(launcher), launcher);
    }
}

#[test]
fn doctor_describes_this_machine_without_a_launcher() {
    let desk = Desk::new();
    let seen = desk.run(gridmpi(), &["doctor"]).exits(0);
    for (name, says) in [
        ("gridmpi", env!("CARGO_PKG_VERSION")),
        ("launcher", "none"),
        ("MPI", "Open MPI v4"), // that of the mpirun on PATH
        ("CPUs", " of "),
        ("memory", " GiB"),
        ("Python", "3."),
        ("locks", "work in "),
    ] {
        assert!(line(&seen, name).contains(says), "{name}: {}", seen.stdout);
    }
    let ran = desk.run(gridmpi(), &["doctor", "nowhere"]).exits(2);
    assert!(ran.stderr.contains("nowhere: no file can be made"), "{}", ran.stderr);
}

#[test]
fn the_user_may_choose_the_library() {
    let desk = Desk::with_job(JOB);
    let chosen = |choice: &str, arguments: &[&str]| {
        let mut command = four("mpirun.openmpi");
        command.env("GRIDMPI_MPI", choice);
        desk.run(command, arguments)
    };
    assert_eq!(line(&chosen("openmpi", &["doctor"]).exits(0), "ranks")[..2], *"4:");
    for (choice, says) in [
        ("mpich", "OMPI_COMM_WORLD_SIZE says 4 processes, but MPI says this one is alone"),
        ("none", "but GRIDMPI_MPI=none forbids to load an MPI"),
        ("lam", "GRIDMPI_MPI=lam: expected openmpi, mpich or none"),
    ] {
        let ran = chosen(choice, &["job.toml"]).exits(2);
        assert_eq!(ran.stderr.matches(says).count(), 1, "{}", ran.stderr);
        assert!(!desk.path("results").exists());
    }
    let mut alone = gridmpi();
    alone.env("GRIDMPI_MPI", "none");
    desk.run(alone, &["job.toml"]).exits(0);
}

/// The library of the launcher is broken: a file without content, where the system looks first.
#[test]
fn a_launcher_that_cannot_be_served_is_told_what_was_looked_for() {
    let desk = Desk::with_job(JOB);
    for name in ["libmpi.so.12", "libmpich.so.12", "libmpi.so.40"] {
        desk.write(&format!("broken/{name}"), "");
    }
    let broken = |mut command: Command| {
        command.env("LD_LIBRARY_PATH", desk.path("broken"));
        command
    };
    let says = "PMI_SIZE says 4 processes, but no MPI library can be loaded that fits: looked for \
                libmpi.so.12 or libmpich.so.12 (MPICH";
    let ran = desk.run(broken(four("mpiexec.mpich")), &["job.toml"]).exits(2);
    assert_eq!(ran.stderr.matches(says).count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("hydra_pmi_proxy"), "{}", ran.stderr);
    assert!(ran.stderr.contains("file too short"), "{}", ran.stderr);
    let seen = desk.run(broken(four("mpiexec.mpich")), &["doctor"]).exits(2);
    assert!(line(&seen, "MPI").contains("looked for libmpi.so.12"), "{}", seen.stdout);

    // On a host without the library, its first rank speaks: rank 0 may have one on its own.
    for (local, errors) in [("0", 1), ("1", 0)] {
        let mut other = broken(gridmpi());
        other.envs([("PMI_SIZE", "4"), ("PMI_RANK", "2"), ("MPI_LOCALRANKID", local)]);
        let ran = desk.run(other, &["job.toml"]).exits(2);
        assert_eq!(ran.stderr.matches(says).count(), errors, "{}", ran.stderr);
    }

    let mut cray = broken(gridmpi());
    cray.envs([("SLURM_STEP_NUM_TASKS", "4"), ("PALS_RANKID", "0"), ("SLURM_PROCID", "0")]);
    let ran = desk.run(cray, &["job.toml"]).exits(2);
    assert!(ran.stderr.contains("`module load cray-mpich-abi`"), "{}", ran.stderr);

    // No launcher, no MPI.
    desk.run(broken(gridmpi()), &["job.toml"]).exits(0);
}
