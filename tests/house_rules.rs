//! The house's rules, kept by reading the source: what may be named where, and how files begin.

use std::fs;
use std::path::{Path, PathBuf};

/// Every source file, by its path below src/.
fn sources() -> Vec<(String, String)> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_string();
        (name, fs::read_to_string(&path).unwrap())
    };
    files.into_iter().map(read).collect()
}

/// A source without its comments and without its tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Lines of the named sources that contain one of the words.
fn offenders(applies: impl Fn(&str) -> bool, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources().into_iter().filter(|(name, _)| applies(name)) {
        for line in code(&text).lines() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{name}: {}", line.trim()));
            }
        }
    }
    found
}

fn assert_none(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn the_sources_are_found() {
    let names: Vec<String> = sources().into_iter().map(|(name, _)| name).collect();
    for known in ["main.rs", "grid.rs", "master/mod.rs", "transport/mpi/raw.rs"] {
        assert!(names.iter().any(|name| name == known), "{known} is missing from {names:?}");
    }
}

#[test]
fn mpi_is_named_in_its_transport_alone() {
    let found = offenders(|name| !name.starts_with("transport/mpi/"), &["mpi::", "use mpi"]);
    let others = found
        .into_iter()
        .filter(|line| !line.contains("transport::mpi::") && !line.contains("gridmpi::"));
    assert_none(others.collect(), "only transport/mpi/ names the mpi crate");
}

#[test]
fn unsafe_stays_in_the_mpi_transport() {
    let found = offenders(|name| !name.starts_with("transport/mpi/"), &["unsafe"]);
    assert_none(found, "only transport/mpi/ may hold unsafe code");
}

#[test]
fn the_master_is_pure() {
    let pure = |name: &str| name.starts_with("master/") || ["grid.rs", "reduce.rs"].contains(&name);
    let impure = [
        "std::fs",
        "std::io",
        "std::net",
        "std::thread",
        "std::process",
        "std::env",
        "Instant",
        "SystemTime",
        "println!",
        "eprintln!",
        "log::",
        "HashMap",
        "HashSet",
        "rand::",
        "rusqlite",
    ];
    assert_none(offenders(pure, &impure), "no file, clock, thread, printing, chance or hash order");
}

#[test]
fn arrows_point_one_way() {
    let below = |above: &'static [&'static str], layers: &[&str], rule: &str| {
        let applies = |name: &str| layers.iter().any(|layer| name.starts_with(layer));
        let words: Vec<String> = above.iter().map(|module| format!("crate::{module}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_none(offenders(applies, &words), rule);
    };
    let outer = &[
        "cli",
        "conduct",
        "context",
        "crunch",
        "dictionary",
        "exchange",
        "launcher",
        "line",
        "native",
        "office",
        "report",
        "serve",
        "store",
        "study",
        "transport",
        "worker",
    ];
    below(
        outer,
        &["master/", "grid.rs", "reduce.rs", "message.rs", "value.rs", "job/", "slurm/"],
        "the inner house knows nothing of the outer",
    );
    below(
        &["job", "cli"],
        &["master/", "grid.rs", "reduce.rs", "message.rs"],
        "the master knows no job",
    );
    below(
        &["master", "serve", "store", "report", "office", "exchange", "conduct", "study", "cli"],
        &["worker.rs", "crunch/", "line.rs", "context.rs", "native.rs", "isolate.rs"],
        "a worker knows nothing of rank 0",
    );
    let middle =
        ["serve.rs", "store/", "report/", "transport/", "office.rs", "conduct.rs", "study/"];
    below(&["cli"], &middle, "the command line is on top");
}

#[test]
fn every_file_opens_by_saying_why_it_is_there() {
    let found = sources().into_iter().filter(|(_, text)| !text.starts_with("//! "));
    assert_none(found.map(|(name, _)| name).collect(), "the first line says why the file exists");
}

#[test]
fn files_hold_one_idea() {
    let long = sources().into_iter().filter(|(_, text)| text.lines().count() > 500);
    assert_none(long.map(|(name, _)| name).collect(), "no file over 500 lines");
}

#[test]
fn the_package_holds_the_crate_and_nothing_else() {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["package", "--list", "--allow-dirty", "--offline"]);
    let listed = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.lines().any(|file| file == "src/lib.rs"), "{listed}");
    let belongs = |file: &&str| match file.split_once('/') {
        Some((folder, _)) => ["src", "examples", "benches", "docs"].contains(&folder),
        None => !file.ends_with(".csv"),
    };
    let strangers = listed.lines().filter(|file| !belongs(file));
    assert_none(strangers.map(String::from).collect(), "no data, tests or scripts in the package");
    assert!(!listed.contains(".png"), "{listed}");
}
