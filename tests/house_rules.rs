//! Checks the rules of the source tree: which room may use which, no import cycles between files, where some
//! names may appear, and how files begin.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each folder of src/ and the folders that its code may use besides itself. A folder may use only folders
/// listed before it, so there are no cycles of folders.
const ROOMS: &[(&str, &[&str])] = &[
    ("util", &[]),
    ("model", &["util"]),
    ("condition", &["util", "model"]),
    ("job", &["util", "model", "condition"]),
    ("wire", &["util", "model"]),
    ("platform", &["util", "model", "wire"]),
    ("master", &["model"]),
    ("executor", &["util", "model", "job", "wire", "platform"]),
    ("worker", &["util", "model", "job", "wire", "platform", "executor"]),
    ("store", &["util", "model", "condition", "job", "wire"]),
    ("report", &["util", "model", "job", "store"]),
    (
        "rank0",
        &["util", "model", "job", "wire", "platform", "master", "executor", "store", "report"],
    ),
    (
        "study",
        &[
            "util", "model", "job", "wire", "platform", "master", "executor", "worker", "store",
            "report", "rank0",
        ],
    ),
    (
        "testing",
        &[
            "util", "model", "job", "wire", "platform", "master", "executor", "worker", "store",
            "report", "rank0", "study",
        ],
    ),
    (
        "cli",
        &[
            "util", "model", "job", "wire", "platform", "master", "executor", "worker", "store",
            "report", "rank0", "study",
        ],
    ),
];

/// Files outside all rooms.
const LOOSE: &[&str] = &["lib.rs", "main.rs"];

/// Every source file, by its path below src/.
fn sources() -> BTreeMap<String, String> {
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
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_string();
        (name, fs::read_to_string(&path).unwrap())
    };
    files.into_iter().map(read).collect()
}

/// A source without comments.
fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// A source without comments and tests.
fn code(text: &str) -> String {
    without_comments(text.split("#[cfg(test)]\nmod tests").next().unwrap())
}

/// A file's module path: `store/query/mod.rs` is `["store", "query"]`.
fn module(file: &str) -> Vec<&str> {
    let name = file.trim_end_matches(".rs");
    let mut parts: Vec<&str> = name.split('/').collect();
    if parts.last() == Some(&"mod") {
        parts.pop();
    }
    parts
}

/// The paths of an import, one per name: `a::{b, c::{d, e}}` is `a::b`, `a::c::d`, `a::c::e`.
fn paths(import: &str) -> Vec<String> {
    let Some((prefix, rest)) = import.split_once('{') else {
        return vec![import.split(" as ").next().unwrap().trim().to_string()];
    };
    let inner = rest.trim_end().strip_suffix('}').expect("a balanced import");
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in inner.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let named = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
    named
        .flat_map(|part| paths(part).into_iter().map(|p| format!("{}{p}", prefix.trim())))
        .collect()
}

/// The absolute paths that a file imports from this crate, by `use` or inline.
fn imports(file: &str, text: &str) -> Vec<Vec<String>> {
    let own = module(file);
    let absolute = |path: &str| -> Option<Vec<String>> {
        let mut parts: Vec<String> = path.split("::").map(str::to_string).collect();
        if parts.last().is_some_and(|last| last == "self") {
            parts.pop();
        }
        let supers = parts.iter().take_while(|part| *part == "super").count();
        match parts[0].as_str() {
            "crate" => Some(parts.split_off(1)),
            "self" => Some(own.iter().map(|p| p.to_string()).chain(parts.split_off(1)).collect()),
            "super" if own.len() > supers => {
                let parent = own[..own.len() - supers].iter().map(|part| part.to_string());
                Some(parent.chain(parts.split_off(supers)).collect())
            }
            _ => None,
        }
    };
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("use ") {
        let begins = rest[..at].ends_with([' ', '\n']) || at == 0;
        rest = &rest[at + 4..];
        if let (true, Some(end)) = (begins, rest.find(';')) {
            let import: String = rest[..end].split_whitespace().collect::<Vec<_>>().join(" ");
            if import.starts_with("crate::")
                || import.starts_with("super::")
                || import.starts_with("self::")
            {
                found.extend(paths(&import).iter().filter_map(|path| absolute(path)));
                rest = &rest[end..];
            }
        }
    }
    for (at, _) in text.match_indices("crate::") {
        let named = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
        let path: String = text[at..].chars().take_while(|letter| named(*letter)).collect();
        found.extend(absolute(path.trim_end_matches(':')));
    }
    found
}

/// The names that each `mod.rs` re-exports from files below it, with their origins.
fn reexports(sources: &BTreeMap<String, String>) -> BTreeMap<Vec<String>, Vec<String>> {
    let mut handed_on = BTreeMap::new();
    for (file, text) in sources.iter().filter(|(file, _)| file.ends_with("mod.rs")) {
        let own: Vec<String> = module(file).iter().map(|part| part.to_string()).collect();
        for statement in code(text).split(';') {
            let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
            let Some(at) = statement.find("pub(crate) use ").or(statement.find("pub use ")) else {
                continue;
            };
            let import = statement[at..].split_once("use ").unwrap().1;
            for path in paths(import) {
                let path = path.trim_start_matches("self::");
                let parts: Vec<String> = match path.strip_prefix("crate::") {
                    Some(path) => path.split("::").map(str::to_string).collect(),
                    None => {
                        own.iter().cloned().chain(path.split("::").map(str::to_string)).collect()
                    }
                };
                let name = [own.clone(), vec![parts.last().unwrap().clone()]].concat();
                handed_on.insert(name, parts);
            }
        }
    }
    handed_on
}

/// Which files each file imports, without tests. A name re-exported by a `mod.rs` counts as its file of
/// origin. A module and the `mod.rs` above it may import each other.
fn arrows(sources: &BTreeMap<String, String>) -> BTreeMap<&str, BTreeSet<&str>> {
    let by_module: BTreeMap<Vec<String>, &str> = sources
        .keys()
        .map(|file| (module(file).iter().map(|part| part.to_string()).collect(), file.as_str()))
        .collect();
    let handed_on = reexports(sources);
    let resolve = |path: &[String]| -> Option<&str> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let Some(length) = (1..=path.len()).rev().find(|n| handed_on.contains_key(&path[..*n]))
            else {
                break;
            };
            let target = handed_on[&path[..length]].clone();
            path = [target, path[length..].to_vec()].concat();
        }
        (1..=path.len()).rev().find_map(|length| by_module.get(&path[..length]).copied())
    };
    let mut arrows = BTreeMap::new();
    for (file, text) in sources {
        let own = module(file);
        let mut to = BTreeSet::new();
        for path in imports(file, &code(text)) {
            let Some(target) = resolve(&path) else { continue };
            let theirs = module(target);
            let is_family = theirs.starts_with(&own) || own.starts_with(&theirs);
            if target != file && !is_family {
                to.insert(target);
            }
        }
        arrows.insert(file.as_str(), to);
    }
    arrows
}

/// A cycle of imports, if there is one.
fn ring(arrows: &BTreeMap<&str, BTreeSet<&str>>) -> Option<Vec<String>> {
    fn visit<'a>(
        file: &'a str,
        arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>,
        path: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<Vec<String>> {
        if let Some(at) = path.iter().position(|other| *other == file) {
            return Some(path[at..].iter().chain([&file]).map(|file| file.to_string()).collect());
        }
        if !done.insert(file) {
            return None;
        }
        path.push(file);
        let found = arrows[file].iter().find_map(|next| visit(next, arrows, path, done));
        path.pop();
        found
    }
    let mut done = BTreeSet::new();
    arrows.keys().find_map(|file| visit(file, arrows, &mut Vec::new(), &mut done))
}

fn room(file: &str) -> Option<&str> {
    file.split_once('/').map(|(room, _)| room)
}

/// Lines of the matching sources that contain one of the words.
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
fn every_file_is_in_a_known_room() {
    let known = |file: &str| match room(file) {
        Some(room) => ROOMS.iter().any(|(name, _)| *name == room),
        None => LOOSE.contains(&file),
    };
    let sources = sources();
    let strangers: Vec<String> = sources.keys().filter(|file| !known(file)).cloned().collect();
    assert_none(strangers, "files outside the rooms in ROOMS");
    for (name, _) in ROOMS {
        assert!(sources.keys().any(|file| room(file) == Some(name)), "there is no room {name}");
    }
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let mut above = BTreeSet::new();
    for (name, may_use) in ROOMS {
        for used in *may_use {
            assert!(above.contains(used), "{name} may use {used}, which does not stand above it");
        }
        above.insert(*name);
    }
    let mut found = Vec::new();
    for (file, text) in &sources() {
        let Some(own) = room(file) else { continue };
        let Some((_, may_use)) = ROOMS.iter().find(|(name, _)| *name == own) else { continue };
        // Tests follow the table too.
        for path in imports(file, &without_comments(text)) {
            let used = path[0].as_str();
            let is_room = ROOMS.iter().any(|(name, _)| *name == used);
            if is_room && used != own && !may_use.contains(&used) {
                found.push(format!("{file} uses {}", path.join("::")));
            }
        }
    }
    assert_none(found, "arrows that are not in ROOMS");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = sources();
    let arrows = arrows(&sources);
    assert!(
        arrows["rank0/session.rs"].contains("store/folder.rs"),
        "{:?}",
        arrows["rank0/session.rs"]
    );
    if let Some(ring) = ring(&arrows) {
        panic!("files that import each other in a circle: {}", ring.join(" -> "));
    }
}

#[test]
fn mpi_is_named_in_its_transport_alone() {
    let found = offenders(|name| !name.starts_with("wire/transport/mpi/"), &["mpi::", "use mpi"]);
    let others = found
        .into_iter()
        .filter(|line| !line.contains("transport::mpi::") && !line.contains("gridmpi::"));
    assert_none(others.collect(), "only wire/transport/mpi/ calls MPI");
}

#[test]
fn unsafe_stays_in_the_mpi_transport() {
    let found = offenders(|name| !name.starts_with("wire/transport/mpi/"), &["unsafe"]);
    assert_none(found, "only wire/transport/mpi/ may hold unsafe code");
}

#[test]
fn the_master_is_pure() {
    let pure = |name: &str| name.starts_with("master/") || name.starts_with("model/");
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
fn every_file_opens_by_saying_why_it_is_there() {
    let found = sources().into_iter().filter(|(_, text)| !text.starts_with("//! "));
    assert_none(found.map(|(name, _)| name).collect(), "the first line says why the file exists");
}

#[test]
fn files_hold_one_idea() {
    let long = sources().into_iter().filter(|(_, text)| text.lines().count() > 500);
    assert_none(long.map(|(name, _)| name).collect(), "no file over 500 lines");
}

/// Type names that are defined more than once, with the reason.
const SAME_NAMES: &[(&str, &str)] =
    &[("Result", "the crate's own, and in lib.rs the one that the user's functions return")];

#[test]
fn no_type_name_means_two_things() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in &sources() {
        if room(file) == Some("testing") {
            continue;
        }
        for line in code(text).lines() {
            let line = line.trim_start();
            let line = line
                .strip_prefix("pub(crate) ")
                .or(line.strip_prefix("pub(super) "))
                .or(line.strip_prefix("pub "))
                .unwrap_or(line);
            let kinds = ["struct ", "enum ", "trait ", "type "];
            let Some(rest) = kinds.iter().find_map(|kind| line.strip_prefix(kind)) else {
                continue;
            };
            let is_associated = line.starts_with("type ") && text.contains(&format!("    {line}"));
            let name: String = rest.chars().take_while(|letter| letter.is_alphanumeric()).collect();
            if !is_associated && !name.is_empty() {
                places.entry(name).or_default().push(file.clone());
            }
        }
    }
    let excepted = |name: &str| SAME_NAMES.iter().any(|(known, _)| *known == name);
    let twice = places.into_iter().filter(|(name, files)| files.len() > 1 && !excepted(name));
    let found = twice.map(|(name, files)| format!("{name}: {}", files.join(", ")));
    assert_none(found.collect(), "one name, one type");
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

#[test]
fn what_is_cited_is_this_version() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let citation = fs::read_to_string(root.join("CITATION.cff")).unwrap();
    let licenses = env!("CARGO_PKG_LICENSE").split(" OR ").map(|one| format!("  - {one}\n"));
    for lines in [
        format!("version: {}\n", env!("CARGO_PKG_VERSION")),
        format!("license:\n{}keywords:", licenses.collect::<String>()),
    ] {
        assert!(citation.contains(&format!("\n{lines}")), "CITATION.cff lacks\n{lines}");
    }
}
