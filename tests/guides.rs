//! Checks that the guides in docs/ and the README are true: every annotated block is run, in order, in an
//! empty folder, as a reader would. The annotation follows the language in a block's first line:
//!
//! - `sh run` is run by bash and must succeed; `sh run exit=N` must end with N.
//! - `LANGUAGE file=NAME` is written to that file.
//! - `text output` is the stdout of the previous block; a line `...` matches any lines.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Desk, gridmpi, python_with_sklearn};

struct Block {
    /// The annotation: the words after the language.
    says: Vec<String>,
    text: String,
    line: usize,
}

/// The annotated blocks of a page.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut within: Option<bool> = None;
    for (number, line) in page.lines().enumerate() {
        match (within, line.strip_prefix("```")) {
            (None, Some(info)) => {
                let says: Vec<String> = info.split_whitespace().skip(1).map(String::from).collect();
                within = Some(!says.is_empty());
                if !says.is_empty() {
                    blocks.push(Block { says, text: String::new(), line: number + 1 });
                }
            }
            (Some(_), Some(_)) => within = None,
            (Some(true), None) => {
                let block = blocks.last_mut().unwrap();
                block.text += line;
                block.text.push('\n');
            }
            _ => {}
        }
    }
    assert!(within.is_none(), "a block is not closed");
    blocks
}

/// Whether the output matches what a page shows; a line `...` matches any lines.
fn matches(shown: &str, printed: &str) -> bool {
    fn follow(shown: &[&str], printed: &[&str]) -> bool {
        match (shown, printed) {
            ([], []) => true,
            (["...", rest @ ..], _) => (0..=printed.len()).any(|i| follow(rest, &printed[i..])),
            ([a, shown @ ..], [b, printed @ ..]) => {
                a.trim_end() == b.trim_end() && follow(shown, printed)
            }
            _ => false,
        }
    }
    follow(&lines_of(shown), &lines_of(printed))
}

fn lines_of(text: &str) -> Vec<&str> {
    text.trim_end().lines().collect()
}

fn bash(desk: &Desk, script: &str) -> Command {
    let program = gridmpi().get_program().to_owned();
    let python = python_with_sklearn();
    let mut places = vec![
        Path::new(&program).parent().unwrap().to_path_buf(),
        python.parent().unwrap().to_path_buf(),
    ];
    places.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", script]).current_dir(desk.path(""));
    bash.env("PATH", std::env::join_paths(places).unwrap());
    bash.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("python"));
    bash.env("GRIDMPI_PROGRAM", &program);
    // As on a machine that nobody has prepared: two cores, perhaps root.
    for (name, _) in common::OPEN_MPI_MAY {
        bash.env_remove(name);
    }
    bash.env_remove("RUST_LOG");
    bash
}

/// Runs the blocks of a page; returns how many were run.
fn follow(name: &str, page: &str) -> usize {
    let desk = Desk::new();
    let (mut ran, mut printed) = (0, String::new());
    for block in blocks(page) {
        let place = format!("{name}:{}", block.line);
        let first = block.says[0].as_str();
        let value = |key: &str| block.says.iter().find_map(|word| word.strip_prefix(key));
        if let Some(file) = value("file=") {
            desk.write(file, &block.text);
        } else if first == "run" {
            let expected: i32 = value("exit=").map_or(0, |code| code.parse().unwrap());
            let output = bash(&desk, &block.text).output().unwrap();
            printed = String::from_utf8(output.stdout).unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(expected), "{place}:\n{printed}\n{stderr}");
            ran += 1;
        } else if first == "output" {
            let shown = &block.text;
            assert!(matches(shown, &printed), "{place} shows\n{shown}\nit printed\n{printed}");
        } else {
            panic!("{place}: what is '{first}'?");
        }
    }
    ran
}

fn docs() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut pages: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_string();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    pages.sort();
    pages
}

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

#[test]
fn every_guide_does_what_it_says() {
    let pages = docs().into_iter().chain([("README.md".to_string(), readme())]);
    let ran: Vec<(String, usize)> =
        pages.map(|(name, page)| (name.clone(), follow(&name, &page))).collect();
    for guide in [
        "README.md",
        "first-job.md",
        "planning.md",
        "python.md",
        "commands.md",
        "r.md",
        "writing-a-worker.md",
        "simulations.md",
        "nesting.md",
        "reading-results.md",
        "scikit-learn.md",
        "stopping.md",
    ] {
        let blocks = ran.iter().find(|(name, _)| name == guide).map(|(_, blocks)| *blocks);
        assert!(blocks >= Some(3), "{guide}: {ran:?}");
    }
}

/// GitHub's anchor for a heading.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_and_files_that_pages_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let guides = docs().into_iter().map(|(name, page)| (root.join("docs"), name, page));
    let others = ["README.md", "CONTRIBUTING.md"];
    let others = others.map(|name| (root.to_path_buf(), name.to_string(), page(name)));
    for (folder, name, page) in guides.chain(others) {
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { folder.join(&name) } else { folder.join(file) };
            assert!(file.exists(), "{name} links to {link}");
            let known = || fs::read_to_string(&file).unwrap();
            let is_there = heading.is_empty()
                || known().lines().any(|line| line.starts_with('#') && anchor(line) == heading);
            assert!(is_there, "{name} links to {link}");
        }
        // A path in backquotes that begins with a folder of the project must exist.
        for path in page.split('`').skip(1).step_by(2) {
            let is_path = ["src/", "tests/", "scripts/"].iter().any(|at| path.starts_with(at));
            if let (true, Some(path)) = (is_path, path.split(' ').next()) {
                assert!(root.join(path).exists(), "{name} names {path}");
            }
        }
    }
}

#[test]
fn shown_lines_are_compared_with_printed_ones() {
    assert!(matches("a\n...\nc\n", "a\nb\nb\nc\n") && matches("a \n...\n", "a\n"));
    assert!(!matches("a\n", "a\nb\n") && !matches("...\nx\n", "a\n") && !matches("a\nb\n", "a\n"));
    let page = "```sh\nno\n```\n```sh run exit=2\nyes\n```\n";
    let found = blocks(page);
    assert_eq!((found.len(), found[0].text.as_str(), found[0].line), (1, "yes\n", 4));
}
