//! `gridmpi doctor` of a program that is linked to its MPI; tests/which_mpi.rs has that of the wheel, which loads one.

mod common;

use common::launchers::{JOB, line};
use common::{Desk, gridmpi, mpirun};

#[test]
fn doctor_shows_the_ranks_and_the_mpi_that_gridmpi_is_linked_to() {
    let desk = Desk::with_job(JOB);
    let with = |mut command: std::process::Command, choice: &str, arguments: &[&str]| {
        command.env("GRIDMPI_MPI", choice);
        desk.run(command, arguments)
    };
    let seen = desk.run(mpirun(3), &["doctor"]).exits(0);
    assert!(line(&seen, "MPI").starts_with("Open MPI v"), "{}", seen.stdout);
    assert!(line(&seen, "library").contains("libmpi"), "{}", seen.stdout);
    assert!(line(&seen, "ranks").starts_with("3: 3 on "), "{}", seen.stdout);
    let seen = with(gridmpi(), "openmpi", &["doctor"]).exits(0);
    assert!(line(&seen, "MPI").starts_with("Open MPI v"), "{}", seen.stdout);
    assert_eq!(line(&seen, "launcher"), "none: jobs run on threads");
    assert!(line(&seen, "CPUs").contains(" of "), "{}", seen.stdout);
    let ran = desk.run(gridmpi(), &["doctor", "nowhere"]).exits(2);
    assert!(ran.stderr.contains("nowhere: no file can be made"), "{}", ran.stderr);

    for (choice, says) in [
        ("mpich", "GRIDMPI_MPI=mpich: this gridmpi was built with Open MPI"),
        ("none", "but GRIDMPI_MPI=none forbids to load an MPI"),
        ("lam", "GRIDMPI_MPI=lam: expected openmpi, mpich or none"),
    ] {
        let ran = with(mpirun(3), choice, &["job.toml"]).exits(2);
        assert_eq!(ran.stderr.matches(says).count(), 1, "{}", ran.stderr);
        assert!(!desk.path("results").exists());
    }
    with(gridmpi(), "none", &["job.toml"]).exits(0);
    let seen = with(gridmpi(), "none", &["doctor"]).exits(0);
    let forbids =
        "GRIDMPI_MPI=none forbids to load an MPI; unset it before a launcher starts gridmpi";
    assert_eq!(line(&seen, "MPI"), forbids);
    // Without a PATH, python3 may not know where it is.
    let mut bare = gridmpi();
    bare.env_remove("PATH");
    let python = desk.run(bare, &["doctor"]).exits(0);
    assert!(!line(&python, "Python").ends_with(','), "{}", python.stdout);
}
