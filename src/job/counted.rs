//! The files that a job's crunch and reductions consist of, found on rank 0 before the start: programs,
//! arguments that are files, Python files, and those that `inputs` names. Runs are reused only if the
//! content of these files is the same.

use std::collections::{BTreeMap, BTreeSet};
#[cfg(feature = "jobs")]
use std::path::Path;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[cfg(feature = "jobs")]
use crate::job::placeholders::{Template, TemplatePart};
#[cfg(feature = "jobs")]
use crate::job::{CommandWords, PlacedSource, ShellLine};
use crate::job::{CrunchSpec, FinalFunction, FinalSpec, Job};
use crate::model::{FileFunction, Reduce};
use crate::util::error::Result;
#[cfg(feature = "jobs")]
use crate::util::file_state::file_id;
#[cfg(feature = "jobs")]
use crate::util::files::{file_pattern, other_kind};
#[cfg(feature = "jobs")]
use crate::util::programs::{find_program, named_program};

/// Why a file counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FileRole {
    /// A program that crunch runs.
    Program,
    /// A program of the operating system: a change of its content is reported, not refused.
    System,
    /// The program that runs crunch's Python or R function, if it is not the operating system's.
    Interpreter,
    /// An argument, or a word of a shell line.
    Argument,
    /// The file of crunch's Python or R function, or of `load`.
    Function,
    /// A Python module that is imported before any call, or a file that an R file sources.
    Module,
    /// A Python module that a call imports.
    LateModule,
    /// Named by `inputs`.
    Input,
    /// The file of a Python or R reduction, or a module that it imports. Summaries depend on it; runs do not.
    Reduction,
    /// A module that a call of a Python reduction imports.
    LateReduction,
}

impl FileRole {
    /// What the file is, for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FileRole::Program => "the program that crunch runs",
            FileRole::System => "a program of the system",
            FileRole::Interpreter => "the interpreter",
            FileRole::Argument => "a file that crunch names",
            FileRole::Function => "the file of a function",
            FileRole::Module | FileRole::LateModule => "a module that crunch imports",
            FileRole::Input => "named by inputs or workdir",
            FileRole::Reduction | FileRole::LateReduction => "a file of a reduction",
        }
    }
}

/// What the Python functions of a job import before any call.
#[derive(Clone, Debug, Default)]
pub(crate) struct PythonModules {
    /// Files of the user's modules that crunch and `load` import.
    pub(crate) crunch: BTreeSet<PathBuf>,
    /// The same for reductions.
    pub(crate) reductions: BTreeSet<PathBuf>,
    /// The versions of the installed packages that crunch and `load` import.
    pub(crate) packages: BTreeMap<String, String>,
    /// The same for reductions.
    pub(crate) reduction_packages: BTreeMap<String, String>,
    /// Files of the user's modules that the final function imports, and the versions of packages.
    pub(crate) finals: BTreeSet<PathBuf>,
    pub(crate) final_packages: BTreeMap<String, String>,
    /// The interpreter that was found, and what it and its packages are.
    pub(crate) interpreter: Option<PathBuf>,
    pub(crate) environment: BTreeMap<String, String>,
}

/// A file that counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CountedFile {
    pub(crate) role: FileRole,
    pub(crate) path: PathBuf,
}

/// Folders of the operating system's programs.
#[cfg(feature = "jobs")]
const SYSTEM: [&str; 5] = ["/bin", "/sbin", "/usr", "/lib", "/lib64"];

/// Folders whose files the kernel makes up whenever they are read.
const MADE_UP: [&str; 2] = ["/proc", "/sys"];

/// The files that count, by the name that the job gives them.
pub(crate) fn counted_files(
    job: &Job,
    modules: &PythonModules,
) -> Result<BTreeMap<String, CountedFile>> {
    let mut found = CountedFiles { job, files: BTreeMap::new() };
    for l in job.nest.loops() {
        if let Some(Reduce::Python(function) | Reduce::R(function)) = &l.reduce {
            found.add(&function.file, FileRole::Reduction, job.folder.join(&function.file));
        }
    }
    let (own, of_reductions) = (&modules.crunch, &modules.reductions);
    let of_crunch = own.iter().map(|path| (path, FileRole::Module));
    let all = of_crunch.chain(of_reductions.iter().map(|path| (path, FileRole::Reduction)));
    match &job.crunch {
        CrunchSpec::Python(python) => {
            for function in std::iter::once(&python.function).chain(&python.load) {
                found.add(&function.file, FileRole::Function, job.folder.join(&function.file));
            }
            #[cfg(feature = "jobs")]
            found.program(&python.interpreter, FileRole::Interpreter);
        }
        #[cfg(feature = "jobs")]
        CrunchSpec::Command(words) => found.command(words),
        #[cfg(feature = "jobs")]
        CrunchSpec::Shell(line) => found.shell(line),
        #[cfg(feature = "jobs")]
        CrunchSpec::Serve(serve) => found.command(&serve.words),
        CrunchSpec::R(r) => {
            for function in std::iter::once(&r.function).chain(&r.load) {
                found.add(&function.file, FileRole::Function, job.folder.join(&function.file));
            }
            #[cfg(feature = "jobs")]
            found.program(&r.interpreter, FileRole::Interpreter);
        }
        _ => {}
    }
    for (path, role) in all {
        let name = path.strip_prefix(&job.folder).unwrap_or(path);
        found.add(&name.to_string_lossy(), role, path.clone());
    }
    #[cfg(feature = "jobs")]
    found.inputs("crunch.inputs", &job.inputs)?;
    #[cfg(feature = "jobs")]
    found.placed();
    let ignored =
        |name: &String, file: &CountedFile| job.ignores(name) && file.role != FileRole::Input;
    found.files.retain(|name, file| !ignored(name, file));
    Ok(found.files)
}

/// The files that the final function consists of, by the name that the job gives them. Programs of the operating
/// system are none of them: they change with each update.
pub(crate) fn final_files(
    job: &Job,
    spec: &FinalSpec,
    modules: &PythonModules,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = CountedFiles { job, files: BTreeMap::new() };
    match &spec.function {
        FinalFunction::Python(function) => {
            found.functions(std::iter::once(function).chain(job.final_load()), &modules.finals);
            #[cfg(feature = "jobs")]
            found.program(job.interpreter(), FileRole::Interpreter);
        }
        #[cfg(feature = "jobs")]
        FinalFunction::Command(words) => found.command(words),
        #[cfg(feature = "jobs")]
        FinalFunction::Shell(line) => found.shell(line),
        #[cfg(feature = "jobs")]
        FinalFunction::Serve(words) => found.command(words),
        FinalFunction::R(function) => {
            found.functions(std::iter::once(function).chain(job.final_load()), &modules.finals);
            #[cfg(feature = "jobs")]
            found.program(job.r_interpreter(), FileRole::Interpreter);
        }
        _ => {}
    }
    #[cfg(feature = "jobs")]
    found.inputs("final.inputs", &spec.inputs)?;
    let counts = |(name, file): (String, CountedFile)| {
        let is_ignored = job.ignores(&name) && file.role != FileRole::Input;
        let is_own = file.role != FileRole::System && !is_ignored;
        is_own.then_some((name, file.path))
    };
    Ok(found.files.into_iter().filter_map(counts).collect())
}

/// Whether a program is the operating system's, links followed; `None` if it is not there.
#[cfg(feature = "jobs")]
fn is_system(program: &Path) -> Option<bool> {
    let target = program.canonicalize().ok()?;
    Some(SYSTEM.iter().any(|folder| target.starts_with(folder)))
}

struct CountedFiles<'a> {
    job: &'a Job,
    files: BTreeMap<String, CountedFile>,
}

impl CountedFiles<'_> {
    /// Adds the files of a final function, and what they import.
    fn functions<'f>(
        &mut self,
        functions: impl Iterator<Item = &'f FileFunction>,
        modules: &BTreeSet<PathBuf>,
    ) {
        let folder = &self.job.folder;
        for function in functions {
            self.add(&function.file, FileRole::Function, folder.join(&function.file));
        }
        for path in modules {
            let name = path.strip_prefix(folder).unwrap_or(path);
            self.add(&name.to_string_lossy(), FileRole::Module, path.clone());
        }
    }

    /// Adds a file, if it is there and does not count for another reason.
    fn add(&mut self, name: &str, role: FileRole, path: PathBuf) {
        let is_new = || CountedFile { role, path: path.clone() };
        if path.is_file() && !MADE_UP.iter().any(|folder| path.starts_with(folder)) {
            let known = self.files.entry(name.to_string()).or_insert_with(is_new);
            if known.role == FileRole::Reduction {
                known.role = role; // crunch uses it too
            }
        }
    }
}

#[cfg(feature = "jobs")]
impl CountedFiles<'_> {
    fn command(&mut self, words: &CommandWords) {
        let folder = &self.job.folder;
        let plain = |text: &str| Template::parse(text).ok()?.in_job(folder).plain();
        let mut words = words.all().into_iter().map(plain);
        if let Some(program) = words.next().flatten() {
            self.program(&program, FileRole::Program);
        }
        for word in words.flatten() {
            self.word(&word);
        }
    }

    /// Adds the words of a shell line that are files, and the programs at the start of its commands.
    fn shell(&mut self, line: &ShellLine) {
        let Ok(template) = Template::parse(&line.line) else { return };
        for word in shell_words(&template) {
            if let Some(text) = word.template.in_job(&self.job.folder).plain() {
                if word.is_command {
                    self.program(&text, FileRole::Program);
                }
                self.word(&text);
            }
        }
    }

    /// Adds a program, as its child would find it. It is known by the path that is looked up each time: what
    /// a link leads to may change.
    fn program(&mut self, name: &str, role: FileRole) {
        let Ok(path) = find_program(&named_program(name, &self.job.folder)) else { return };
        let Some(is_system) = is_system(&path) else { return };
        self.add(self.relative(name), if is_system { FileRole::System } else { role }, path);
    }

    /// The name of a file below the job's folder, however it is named.
    fn relative<'n>(&self, name: &'n str) -> &'n str {
        let below = Path::new(name).strip_prefix(&self.job.folder).ok().and_then(Path::to_str);
        below.filter(|below| !below.is_empty()).unwrap_or(name)
    }

    fn word(&mut self, word: &str) {
        let is_placed = |name: &str| self.job.workdir.as_ref().is_some_and(|spec| spec.has(name));
        let names: Vec<&str> = names_in(word).filter(|name| !is_placed(name)).collect();
        if names.is_empty() {
            return; // it is in the folder of each attempt
        }
        for name in names {
            self.add(self.relative(name), FileRole::Argument, self.job.folder.join(name));
        }
        // A wrapper such as `nice` or `srun` starts a program that is found on PATH. If it is a program of the
        // system, the word is rather an ordinary one.
        let is_bare = !word.is_empty() && !word.contains('/') && !self.files.contains_key(word);
        let found = if is_bare { find_program(Path::new(word)).ok() } else { None };
        let found = found.filter(|path| is_system(path) == Some(false));
        if let Some(path) = found {
            self.add(word, FileRole::Argument, path);
        }
    }

    /// Adds what is put into the folder of each attempt.
    fn placed(&mut self) {
        let mut files = Vec::new();
        for file in self.job.workdir.iter().flat_map(|spec| &spec.files) {
            if let PlacedSource::Path(path) | PlacedSource::Template { path, .. } = &file.source {
                // It was there when the job was read; a link may lead to a folder.
                let _ = add_files(path, &mut files, &mut BTreeSet::new());
            }
        }
        for path in files {
            let name = path.strip_prefix(&self.job.folder).unwrap_or(&path);
            let name = name.to_string_lossy().into_owned();
            self.files.insert(name, CountedFile { role: FileRole::Input, path });
        }
    }

    /// Adds what the patterns of a key name.
    fn inputs(&mut self, key: &str, patterns: &[String]) -> Result<()> {
        for pattern in patterns {
            let wrong = |why: String| self.job.wrong(key, why);
            let folder = glob::Pattern::escape(&self.job.folder.to_string_lossy());
            let read =
                file_pattern(pattern).map_err(|error| wrong(format!("\"{pattern}\": {error}")))?;
            let full = Path::new(&folder).join(read.as_str());
            let paths = glob::glob(&full.to_string_lossy())
                .map_err(|error| wrong(format!("\"{pattern}\": {error}")))?;
            let mut files = Vec::new();
            for path in paths {
                let path = path.map_err(|error| wrong(format!("\"{pattern}\": {error}")))?;
                add_files(&path, &mut files, &mut BTreeSet::new()).map_err(|error| {
                    wrong(format!("\"{pattern}\": {}: {error}", path.display()))
                })?;
            }
            if files.is_empty() {
                return Err(wrong(format!("\"{pattern}\" names no file")));
            }
            for path in files {
                let name = path.strip_prefix(&self.job.folder).unwrap_or(&path);
                let name = name.to_string_lossy().into_owned();
                self.files.insert(name, CountedFile { role: FileRole::Input, path });
            }
        }
        Ok(())
    }
}

/// The files at a path: itself, or all files in a folder. `seen` has the folders that were looked through, as links
/// may lead back to them.
#[cfg(feature = "jobs")]
pub(super) fn add_files(
    path: &Path,
    files: &mut Vec<PathBuf>,
    seen: &mut BTreeSet<(u64, u64)>,
) -> std::io::Result<()> {
    let about = path.metadata()?;
    if about.is_dir() {
        if !file_id(path).is_some_and(|folder| seen.insert(folder)) {
            return Ok(());
        }
        let entries = std::fs::read_dir(path)?.collect::<std::io::Result<Vec<_>>>()?;
        let mut paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
        paths.sort(); // of two ways to a folder, always the same one is taken
        return paths.iter().try_for_each(|path| add_files(path, files, seen));
    }
    match other_kind(&about) {
        Some(other) => Err(std::io::Error::other(format!(
            "{} is {other}, not a file",
            path.file_name().unwrap_or_default().to_string_lossy()
        ))),
        None => {
            files.push(path.to_path_buf());
            Ok(())
        }
    }
}

/// The parts of a word that may be the name of a file: the whole, and what is behind a `=`.
#[cfg(feature = "jobs")]
pub(super) fn names_in(word: &str) -> impl Iterator<Item = &str> {
    let behind = word.split_once('=').map(|(_, name)| name);
    std::iter::once(word).chain(behind).filter(|name| !name.is_empty())
}

/// A word of a shell line.
#[cfg(feature = "jobs")]
pub(super) struct ShellWord {
    pub(super) template: Template,
    /// Whether it stands where a command begins.
    pub(super) is_command: bool,
}

/// The words of a shell line, split at blanks and at the shell's operators, without quotes.
#[cfg(feature = "jobs")]
pub(super) fn shell_words(line: &Template) -> Vec<ShellWord> {
    let mut words = Vec::new();
    let (mut parts, mut quote) = (Vec::new(), None);
    // The ends of commands inside double quotes, and the quote that goes on there: "$(./sim)", "`./sim`".
    let mut within = Vec::new();
    let (mut is_command, mut is_written) = (true, false);
    let mut end = |parts: &mut Vec<TemplatePart>, by: char| {
        if !parts.is_empty() {
            let template = Template::of(std::mem::take(parts));
            // An assignment in front of a command is no command, and what the line writes is no input.
            let assigns = template.plain().is_some_and(|text| text.contains('='));
            if !is_written {
                words.push(ShellWord { template, is_command });
                is_command &= assigns;
            }
            is_written = false;
        }
        is_written |= by == '>';
        is_command |= "|&;()`\n".contains(by);
    };
    for part in line.parts() {
        let TemplatePart::Text(text) = part else {
            parts.push(part.clone());
            continue;
        };
        let mut plain = String::new();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            let begins = match (letter, quote) {
                ('$', Some('"')) => letters.next_if_eq(&'(').map(|_| ')'),
                ('`', Some('"')) => Some('`'),
                ('(', None) if !within.is_empty() => Some(')'),
                _ => None,
            };
            let ends = quote.is_none() && within.last().is_some_and(|(by, _)| *by == letter);
            if begins.is_some() || ends {
                if !plain.is_empty() {
                    parts.push(TemplatePart::Text(std::mem::take(&mut plain)));
                }
                end(&mut parts, '(');
                match begins {
                    Some(closing) => within.push((closing, quote.take())),
                    None => quote = within.pop().and_then(|(_, quote)| quote),
                }
                continue;
            }
            match (letter, quote) {
                ('\\', None | Some('"')) => plain.extend(letters.next()),
                ('\'' | '"', None) => quote = Some(letter),
                (closing, Some(open)) if closing == open => quote = None,
                (blank, None) if blank.is_whitespace() || "|&;<>()`".contains(blank) => {
                    if !plain.is_empty() {
                        parts.push(TemplatePart::Text(std::mem::take(&mut plain)));
                    }
                    end(&mut parts, blank);
                }
                (other, _) => plain.push(other),
            }
        }
        if !plain.is_empty() {
            parts.push(TemplatePart::Text(plain));
        }
    }
    end(&mut parts, ' ');
    words
}

#[cfg(all(test, feature = "jobs"))]
mod tests {
    use super::*;

    #[test]
    fn a_shell_line_is_split_into_commands_and_words() {
        let line =
            "A=1 ./sim -c 'my deck.in' d/{x}.csv>out.{x};awk -f p.awk | tail -n 1 && \"./a b\"";
        let words: Vec<(Option<String>, bool)> = shell_words(&Template::parse(line).unwrap())
            .into_iter()
            .map(|word| (word.template.plain(), word.is_command))
            .collect();
        let expected = [
            (Some("A=1"), true),
            (Some("./sim"), true),
            (Some("-c"), false),
            (Some("my deck.in"), false),
            (None, false),
            (Some("awk"), true),
            (Some("-f"), false),
            (Some("p.awk"), false),
            (Some("tail"), true),
            (Some("-n"), false),
            (Some("1"), false),
            (Some("./a b"), true),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(text, at)| (text.map(str::to_string), *at)).collect();
        assert_eq!(words, expected);
    }

    #[test]
    fn commands_inside_double_quotes_are_commands() {
        let line = "v=\"a $(./sim -n {x} \"$(b c)\" (y) x) d\" e; echo \"`./f g`\" '$(no h)'";
        let words = shell_words(&Template::parse(line).unwrap());
        let text = |word: &ShellWord| word.template.plain();
        let commands: Vec<_> =
            words.iter().filter(|word| word.is_command).filter_map(text).collect();
        for program in ["./sim", "b", "./f"] {
            assert!(commands.contains(&program.to_string()), "{program}: {commands:?}");
        }
        let all: Vec<_> = words.iter().filter_map(text).collect();
        for word in ["-n", "c", "x", "e", "g", "$(no h)"] {
            assert!(all.contains(&word.to_string()), "{word}: {all:?}");
        }
    }
}
