//! The files that glob patterns match, as shells match them: a name that begins with a dot must be meant.
//!
//! What a pattern finds and nobody can read as data is an error and not a shorter list: a link that leads
//! nowhere, a name that is not UTF-8, a pipe. gridmpi's own results folders are no data.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::job::{LARGE_FOLDER, LOCK_FILE, RESULT_FILES, STORE_FILE, is_launch_file};
use crate::util::files::file_pattern;

/// A file or folder, whatever it is called: device and inode.
type FileId = (u64, u64);

/// The files that patterns match in a folder.
pub(super) struct Globs<'a> {
    folder: &'a Path,
    /// Whether folders are looked for, rather than files.
    folders: bool,
    exclude: Vec<Exclusion>,
    /// By path, relative to the folder unless its pattern is absolute.
    found: BTreeMap<PathBuf, MatchedFile>,
    /// The results folders that were passed by.
    results: BTreeSet<PathBuf>,
    /// Links that lead nowhere and might have led to a folder.
    broken: BTreeSet<PathBuf>,
    /// Whether the present pattern has matched a file.
    matched: bool,
}

struct Exclusion {
    text: String,
    pattern: Pattern,
    used: bool,
}

struct MatchedFile {
    id: FileId,
    /// Whether `**` came to it through a link.
    by_link: bool,
}

/// A component of a pattern.
enum PatternPart {
    Name(String),
    Wildcard(Pattern),
    /// `**`
    Folders,
}

/// How the walk came to a path.
#[derive(Clone, Copy, Default)]
struct Way {
    by_wildcard: bool,
    by_link: bool,
}

impl<'a> Globs<'a> {
    pub(super) fn new(folder: &'a Path, folders: bool) -> Globs<'a> {
        Globs {
            folder,
            folders,
            exclude: Vec::new(),
            found: BTreeMap::new(),
            results: BTreeSet::new(),
            broken: BTreeSet::new(),
            matched: false,
        }
    }

    /// Leaves out what matches this pattern, and what is in folders that match it.
    pub(super) fn exclude(&mut self, text: &str) -> Result<(), String> {
        let path = self.relative(&components(text));
        let pattern = file_pattern(&path.to_string_lossy()).map_err(|e| no_pattern(text, &e))?;
        self.exclude.push(Exclusion { text: text.to_string(), pattern, used: false });
        Ok(())
    }

    /// Adds the files that match a pattern; whether there are any.
    pub(super) fn include(&mut self, text: &str) -> Result<bool, String> {
        file_pattern(text).map_err(|error| no_pattern(text, &error))?;
        let whole = components(text);
        let mut parts = Vec::new();
        for part in whole.strip_prefix("/").unwrap_or(&whole) {
            let name = part.to_string_lossy().into_owned();
            parts.push(match name.as_str() {
                "**" => PatternPart::Folders,
                name if name.contains(['*', '?', '[']) => {
                    PatternPart::Wildcard(file_pattern(name).map_err(|e| no_pattern(text, &e))?)
                }
                _ => PatternPart::Name(name),
            });
        }
        if let Some(PatternPart::Folders) = parts.last() {
            parts.push(PatternPart::Wildcard(Pattern::new("*").map_err(|e| no_pattern(text, &e))?));
        }
        let start = if whole.is_absolute() { Path::new("/") } else { Path::new("") };
        self.matched = false;
        if !parts.is_empty() {
            self.walk(start, &parts, Way::default())?;
        }
        Ok(self.matched)
    }

    /// What a pattern without matches may have been meant for.
    pub(super) fn hint(&mut self, text: &str) -> &'static str {
        let at = self.folder.join(text);
        match () {
            () if self.is_excluded(Path::new(text)) => "; exclude leaves it out",
            () if at.is_file() && !self.folders => {
                "; there is a file of that very name: write * ? [ in names as [*] [?] [[]"
            }
            () if self.folders && at.is_file() => "; that is a file: use files",
            () if at.is_dir() => "; that is a folder: add /* for its files, or use folders",
            () if text.contains('{') && text.contains('}') => {
                "; braces are no pattern here: give a list of patterns"
            }
            () if text.starts_with('~') || text.contains('$') => {
                "; ~ and variables are not filled in: write the path"
            }
            () => "",
        }
    }

    /// The results folders that were passed by.
    pub(super) fn passed_by(&self) -> impl Iterator<Item = std::path::Display<'_>> {
        self.results.iter().map(|path| path.display())
    }

    /// The paths, sorted. A file that `**` found twice because of a link is there once.
    pub(super) fn finish(self) -> Result<Vec<String>, String> {
        for unused in self.exclude.iter().filter(|exclusion| !exclusion.used) {
            log::warn!("exclude: nothing that files finds matches \"{}\"", unused.text);
        }
        for link in &self.broken {
            log::warn!(
                "{} is a link that leads nowhere; if it was a folder, its files are missing here",
                link.display()
            );
        }
        for folder in &self.results {
            log::info!("{} has results of gridmpi's; its files are no data", folder.display());
        }
        self.warn_of_twice();
        let mut known: BTreeSet<FileId> =
            self.found.values().filter(|file| !file.by_link).map(|file| file.id).collect();
        let once =
            self.found.into_iter().filter(|(_, file)| !file.by_link || known.insert(file.id));
        let text = |(path, _): (PathBuf, MatchedFile)| {
            let text = path.to_str().map(str::to_string);
            text.ok_or_else(|| format!("the name {path:?} is not UTF-8; rename it"))
        };
        let mut paths = once.map(text).collect::<Result<Vec<_>, String>>()?;
        paths.sort(); // as text, not folder by folder
        Ok(paths)
    }

    /// Says which file has two paths without being behind a link: each makes points of its own.
    fn warn_of_twice(&self) {
        let mut paths: BTreeMap<FileId, &Path> = BTreeMap::new();
        let own = self.found.iter().filter(|(_, file)| !file.by_link);
        let mut twice = own.filter_map(|(path, file)| Some((paths.insert(file.id, path)?, path)));
        if let Some((one, other)) = twice.next() {
            let more = match twice.count() {
                0 => String::new(),
                more => format!(" (and {more} more such files)"),
            };
            log::warn!(
                "{} and {} are the same file{more}, and both are points; leave one out with exclude",
                one.display(),
                other.display()
            );
        }
    }

    fn walk(&mut self, at: &Path, parts: &[PatternPart], way: Way) -> Result<(), String> {
        match parts {
            [] => self.take(at, way),
            [PatternPart::Name(name), rest @ ..] => {
                let path = at.join(name);
                match fs::symlink_metadata(self.folder.join(&path)) {
                    Ok(_) => self.enter(&path, rest, way),
                    Err(_) => Ok(()), // nothing has this name
                }
            }
            [PatternPart::Wildcard(pattern), rest @ ..] => {
                for path in self.list(at)? {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    if is_meant(&name, pattern) && pattern.matches(&name) {
                        self.enter(&path, rest, Way { by_wildcard: true, ..way })?;
                    }
                }
                Ok(())
            }
            [PatternPart::Folders, rest @ ..] => self.walk_all(at, rest, way),
        }
    }

    /// Goes on at a path that matches so far.
    fn enter(&mut self, path: &Path, rest: &[PatternPart], way: Way) -> Result<(), String> {
        if self.is_excluded(path) {
            return Ok(());
        }
        let what = self.follow(path)?;
        match rest {
            [] => self.walk(path, rest, way),
            _ if !what.is_dir() || way.by_wildcard && self.is_results(path) => Ok(()),
            _ => self.walk(path, rest, way),
        }
    }

    /// Goes on in a folder and all folders below it. Links are followed last and each folder is visited
    /// once, so that a loop of links ends and a file has the name without links.
    fn walk_all(&mut self, at: &Path, rest: &[PatternPart], way: Way) -> Result<(), String> {
        let mut visited = BTreeSet::new();
        let mut links = VecDeque::new();
        let mut folders = vec![(at.to_path_buf(), way)];
        while let Some((folder, way)) = folders.pop().or_else(|| links.pop_front()) {
            let Ok(what) = fs::metadata(self.folder.join(&folder)) else { continue };
            if !what.is_dir() || !visited.insert((what.dev(), what.ino())) {
                continue;
            }
            self.walk(&folder, rest, way)?;
            for path in self.list(&folder)? {
                let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes()[0] == b'.');
                if hidden || self.is_excluded(&path) {
                    continue;
                }
                let full = self.folder.join(&path);
                let is_link = full.is_symlink();
                match fs::metadata(&full) {
                    Ok(what) if what.is_dir() && !self.is_results(&path) && !self.is_own(&path) => {
                        let way = Way { by_wildcard: true, by_link: way.by_link || is_link };
                        if is_link {
                            links.push_back((path, way));
                        } else {
                            folders.push((path, way));
                        }
                    }
                    Err(_) if is_link => drop(self.broken.insert(path)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Adds a file.
    fn take(&mut self, path: &Path, way: Way) -> Result<(), String> {
        let what = self.follow(path)?;
        if what.is_dir() != self.folders {
            return Ok(());
        }
        if way.by_wildcard && (self.is_own(path) || self.folders && self.is_results(path)) {
            return Ok(());
        }
        if !self.folders && !what.is_file() {
            let path = path.display();
            return Err(format!(
                "{path} is no file but a pipe, a socket or a device; leave it out with exclude"
            ));
        }
        if path.to_str().is_none() {
            return Err(format!("the name {path:?} is not UTF-8; rename it"));
        }
        let file = MatchedFile { id: (what.dev(), what.ino()), by_link: way.by_link };
        let path = path.strip_prefix(self.folder).unwrap_or(path).to_path_buf();
        self.matched = true;
        let known = self.found.entry(path).or_insert(file);
        known.by_link &= way.by_link;
        Ok(())
    }

    /// What a path leads to, through links.
    fn follow(&self, path: &Path) -> Result<Metadata, String> {
        let full = self.folder.join(path);
        fs::metadata(&full).map_err(|error| match fs::read_link(&full) {
            Ok(to) => format!(
                "{} is a link that leads nowhere (to {}); get its data, or leave it out with exclude",
                path.display(),
                to.display()
            ),
            Err(_) => format!("{}: {error}", path.display()),
        })
    }

    /// The paths in a folder, sorted; none if it is no folder.
    fn list(&self, at: &Path) -> Result<Vec<PathBuf>, String> {
        let failed = |error: io::Error| match at.as_os_str().is_empty() {
            true => format!("{}: {error}", self.folder.display()),
            false => format!("{}: {error}", at.display()),
        };
        let entries = match fs::read_dir(self.folder.join(at)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let path =
            |entry: io::Result<fs::DirEntry>| Ok(at.join(entry.map_err(failed)?.file_name()));
        let mut paths = entries.map(path).collect::<Result<Vec<_>, String>>()?;
        paths.sort();
        Ok(paths)
    }

    fn is_excluded(&mut self, path: &Path) -> bool {
        let path = self.relative(path);
        let text = path.to_string_lossy();
        let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
        let mut excluded = false;
        for exclusion in &mut self.exclude {
            let matches = exclusion.pattern.matches_with(&text, options);
            exclusion.used |= matches;
            excluded |= matches;
        }
        excluded
    }

    /// Whether this is a results folder of gridmpi's; then it is noted.
    fn is_results(&mut self, path: &Path) -> bool {
        let found = is_results_folder(&self.folder.join(path));
        if found {
            self.results.insert(path.to_path_buf());
        }
        found
    }

    /// Whether gridmpi has written this file, into a results folder that is also a folder of data.
    fn is_own(&self, path: &Path) -> bool {
        let full = self.folder.join(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        (name.starts_with(STORE_FILE)
            || RESULT_FILES.contains(&&*name)
            || name == LARGE_FOLDER
            || is_launch_file(&name))
            && full.parent().is_some_and(is_results_folder)
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.folder).unwrap_or(path).to_path_buf()
    }
}

/// The files in a folder and all folders below it, as `**` finds them.
pub(crate) fn files_below(folder: &Path, name: &str) -> Result<Vec<String>, String> {
    let mut globs = Globs::new(folder, false);
    globs.include(&format!("{}/**/*", Pattern::escape(name)))?;
    globs.finish()
}

/// A pattern without `.` and doubled slashes.
fn components(text: &str) -> PathBuf {
    Path::new(text).components().filter(|part| part.as_os_str() != ".").collect()
}

/// Whether a name may match: one that begins with a dot must be meant by the pattern's first character.
fn is_meant(name: &str, pattern: &Pattern) -> bool {
    !name.starts_with('.') || pattern.as_str().starts_with('.')
}

/// A results folder has a store, or a lock of the process that is about to make one.
pub(super) fn is_results_folder(path: &Path) -> bool {
    let lock = || {
        let mut start = String::new();
        let file = fs::File::open(path.join(LOCK_FILE)).ok()?;
        file.take(64).read_to_string(&mut start).ok()?;
        Some(start.starts_with("process ") && start.contains(" on "))
    };
    path.join(STORE_FILE).is_file() || path.join(LOCK_FILE).is_file() && lock() == Some(true)
}

fn no_pattern(text: &str, error: &glob::PatternError) -> String {
    format!("\"{text}\" is no pattern: {error}")
}
