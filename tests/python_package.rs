//! The Python package in python/: its own tests, in tests/python_package/, with the program under test.

mod common;

use std::path::Path;
use std::process::Command;

use common::{gridmpi, python_with_sklearn};

/// Runs a file of tests with pytest.
fn passes(file: &str) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pytest = Command::new(python_with_sklearn());
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]);
    pytest.arg(here.join("tests/python_package").join(file)).current_dir(here);
    pytest.env("GRIDMPI_PROGRAM", gridmpi().get_program());
    pytest.env("PYTHONPATH", here.join("python")).env("PYTHONDONTWRITEBYTECODE", "1");
    for name in ["RUST_LOG", "OMP_NUM_THREADS", "PYTHONHASHSEED"] {
        pytest.env_remove(name);
    }
    let output = pytest.output().unwrap();
    let (out, err) = (&output.stdout, &output.stderr);
    let said = format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(output.status.success(), "{file}:\n{said}");
    assert!(said.contains(" passed"), "{file}:\n{said}");
}

#[test]
fn a_nest_runs_as_its_job_file_does() {
    passes("test_run.py");
}

#[test]
fn what_a_function_is_made_of_counts() {
    passes("test_content.py");
}

#[test]
fn changes_that_are_hard_to_see_leave_no_number_of_before() {
    passes("test_stale.py");
}

#[test]
fn job_files_go_both_ways() {
    passes("test_toml.py");
}

#[test]
fn tables_have_rows_columns_and_frames() {
    passes("test_tables.py");
}

#[test]
fn values_are_exact() {
    passes("test_exact.py");
}

#[test]
fn a_map_is_a_nest_of_one_loop() {
    passes("test_map.py");
}

#[test]
fn points_are_stopped_early_and_results_say_so() {
    passes("test_stopping.py");
}

#[test]
fn notebooks_restart_interrupt_and_show() {
    passes("test_notebook.py");
}

#[test]
fn the_guide_shows_what_its_notebook_gives() {
    passes("test_guide.py");
}

#[test]
fn scikit_learns_searches_are_equal_and_kept() {
    passes("test_sklearn.py");
}

#[test]
fn a_search_over_data_sets_and_models_is_one_job_and_equal() {
    passes("test_sklearn_search.py");
}

#[test]
fn hosts_that_see_no_folder_of_the_caller_get_it_once() {
    passes("test_hidden.py");
}

#[test]
fn what_is_parallel_within_a_task_has_its_cores() {
    passes("test_cores.py");
}

#[test]
fn scikit_learns_own_tests_of_its_searches_pass() {
    passes("test_sklearn_own.py");
}

#[test]
fn it_is_typed_and_documented() {
    passes("test_types.py");
}
