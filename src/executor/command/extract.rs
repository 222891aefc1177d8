//! Takes the result of a program from what it has written: as the job says, by a pattern, a column or a field.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::executor::RESULT_LIMIT;
use crate::executor::process::tail::Tail;
use crate::job::placeholders::Template;
use crate::job::{
    FoundBy, ResultPattern, ResultSource, ResultSpec, WhichOne, is_outside, number_or_text,
};
use crate::model::Value;
use crate::model::value::printed::{PrintedError, parse_printed};
use crate::util::csv_file::{QuoteWatch, problem};
use crate::util::file_state::FileState;
use crate::util::files::other_kind;
use crate::util::text::beginning;

/// How the error of a run begins whose program has ended well, but has left no result where the job looks for it. Other
/// errors begin with the name of the program.
pub(super) const NO_RESULT: &str = "no result found: ";

/// How much of the end of a file is shown. (bytes)
const SHOWN: usize = 2000;

/// What the job says of results, ready to be looked for.
pub(super) struct ResultReader {
    sources: Vec<(Option<String>, SourceReader)>,
}

struct SourceReader {
    file: Option<Template>,
    found: Finder,
}

enum Finder {
    Pattern(ResultPattern, String, WhichOne),
    Column(String, WhichOne),
    Field(String),
}

/// A file that a run is to write, and what was there before.
pub(super) struct OutputFile {
    pub(super) name: String,
    path: PathBuf,
    before: Option<FileState>,
}

impl ResultReader {
    pub(super) fn of(spec: &ResultSpec) -> ResultReader {
        let source = |(name, source): (Option<&str>, &ResultSource)| {
            (name.map(str::to_string), SourceReader::of(source))
        };
        ResultReader { sources: spec.sources().map(source).collect() }
    }

    /// The files of one run in its folder, as they are before it. Other runs have a folder of their own too if this
    /// one `has_own`: what is outside is theirs as well.
    pub(super) fn files(
        &self,
        folder: &Path,
        has_own: bool,
        fill: impl Fn(&Template) -> Result<String, String>,
    ) -> Result<Vec<Option<OutputFile>>, String> {
        let file = |(_, source): &(Option<String>, SourceReader)| {
            let Some(file) = &source.file else { return Ok(None) };
            let name = fill(file)?;
            if has_own && is_outside(&name) && !file.is_of_one_task() {
                return Err(format!(
                    "the file of the result, {name}, is outside the folder of this run, where other runs may share it: put {{gridmpi.id}} into its name, or let the program write it into its folder"
                ));
            }
            let path = folder.join(&name);
            let before = FileState::of(&path).ok();
            Ok(Some(OutputFile { name, path, before }))
        };
        self.sources.iter().map(file).collect()
    }

    /// The same files in a folder that a run has left. The error says which one is not there.
    pub(super) fn kept_files(
        &self,
        folder: &Path,
        fill: impl Fn(&Template) -> Result<String, String>,
    ) -> Result<Vec<Option<OutputFile>>, String> {
        let files = self.sources.iter().map(|(_, source)| {
            let Some(file) = &source.file else { return Ok(None) };
            let name = fill(file)?;
            let path = folder.join(&name);
            // What a link names may have changed, and is no part of what was kept.
            let own = folder.canonicalize().map(|folder| folder.join(&name));
            let is_own = own.and_then(|own| Ok(own == path.canonicalize()?));
            match is_own {
                Ok(true) if path.is_file() => Ok(Some(OutputFile { name, path, before: None })),
                Ok(_) => Err(format!("{name} is a link, or no file")),
                Err(_) => Err(format!("it has no {name}")),
            }
        });
        files.collect()
    }

    /// The result, from these files and what the program has printed. The error shows what was looked for, and the
    /// end of the file.
    pub(super) fn read(
        &self,
        files: &[Option<OutputFile>],
        stdout: Option<&Tail>,
    ) -> Result<Value, String> {
        let mut fields = Vec::new();
        for ((name, source), file) in self.sources.iter().zip(files) {
            let value = source.read(file.as_ref(), stdout);
            match name {
                None => return value,
                Some(name) => {
                    let value = value.map_err(|why| format!("result.{name}: {why}"))?;
                    fields.push((name.clone(), value));
                }
            }
        }
        Ok(Value::Record(fields))
    }
}

impl SourceReader {
    fn of(source: &ResultSource) -> SourceReader {
        const CHECKED: &str = "checked when the job was parsed";
        let file = source.file.as_ref().map(|file| Template::parse(file).expect(CHECKED));
        let found = match &source.found {
            FoundBy::Pattern(text, which) => {
                Finder::Pattern(ResultPattern::new(text).expect(CHECKED), text.clone(), *which)
            }
            FoundBy::Column(column, which) => Finder::Column(column.clone(), *which),
            FoundBy::Field(path) => Finder::Field(path.clone()),
        };
        SourceReader { file, found }
    }

    fn read(&self, file: Option<&OutputFile>, stdout: Option<&Tail>) -> Result<Value, String> {
        let Some(file) = file else {
            let stdout = stdout.ok_or_else(|| "stdout is not kept".to_string())?;
            let (text, is_whole) = stdout.kept();
            let is_last = matches!(self.found, Finder::Pattern(_, _, WhichOne::Last));
            if !is_whole && !is_last {
                return Err(format!(
                    "stdout is longer than the {} MiB of its end that are kept: let the program write a file, and name it as file",
                    text.len() >> 20
                ));
            }
            // Of a line that is cut, the rest is none.
            let begin = if is_whole {
                0
            } else {
                text.iter().position(|b| *b == b'\n').map_or(text.len(), |at| at + 1)
            };
            return self.found.find(&text[begin..], "stdout");
        };
        let text = file.read()?;
        self.found.find(&text, &file.name).map_err(|why| {
            let end = String::from_utf8_lossy(&text[text.len().saturating_sub(SHOWN)..]);
            match end.trim() {
                "" => format!("{why}\n{} is empty", file.name),
                end => format!("{why}\nthe end of {}:\n{end}", file.name),
            }
        })
    }
}

impl OutputFile {
    fn read(&self) -> Result<Vec<u8>, String> {
        let name = &self.name;
        let unreadable = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => {
                format!("{name} is not there: the program did not write it in {}", self.folder())
            }
            _ => format!("{name} cannot be read: {error}"),
        };
        let about = self.path.metadata().map_err(unreadable)?;
        if let Some(other) = other_kind(&about) {
            return Err(format!("{name} is {other}, not a file"));
        }
        if about.len() > RESULT_LIMIT {
            return Err(format!(
                "{name} has {} bytes, and {RESULT_LIMIT} are read at most",
                about.len()
            ));
        }
        if self.before == Some(FileState::from(&about)) {
            return Err(format!(
                "{name} was there before this run, and the program has not written it: it may be another run's"
            ));
        }
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&self.path).map_err(unreadable)?;
        file.take(RESULT_LIMIT).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    }

    fn folder(&self) -> String {
        self.path.parent().map_or_else(String::new, |folder| folder.display().to_string())
    }
}

impl Finder {
    fn find(&self, text: &[u8], place: &str) -> Result<Value, String> {
        match self {
            Finder::Pattern(pattern, written, which) => {
                let of = |why: String| format!("pattern '{written}' in {place}: {why}");
                let found = pattern.find(text, *which).map_err(of)?;
                found.ok_or_else(|| of("nothing matches".to_string()))
            }
            Finder::Column(column, which) => {
                cell(text, column, *which).map_err(|why| format!("{place}: {why}"))
            }
            Finder::Field(path) => field(text, path).map_err(|why| format!("{place}: {why}")),
        }
    }
}

/// A cell of a CSV table.
fn cell(text: &[u8], column: &str, which: WhichOne) -> Result<Value, String> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let watch = QuoteWatch::new(text, b',');
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(watch);
    let names = reader.headers().map_err(|error| problem(&error))?.clone();
    let mut at = (0..names.len()).filter(|i| names[*i] == *column);
    let at = match (at.next(), at.next()) {
        (Some(at), None) => at,
        (Some(_), Some(_)) => return Err(format!("the column '{column}' is there twice")),
        (None, _) => {
            let known = names.iter().collect::<Vec<_>>().join(", ");
            return Err(format!(
                "there is no column '{column}' (columns: {})",
                beginning(&known, 400)
            ));
        }
    };
    let (mut found, mut rows) = (None, 0u64);
    let mut row = csv::ByteRecord::new();
    while reader.read_byte_record(&mut row).map_err(|error| problem(&error))? {
        let is_it = match which {
            WhichOne::First => rows == 0,
            WhichOne::At(number) => rows == number,
            WhichOne::Last | WhichOne::Only => true,
        };
        if is_it {
            found = row.get(at).map(<[u8]>::to_vec);
        }
        rows += 1;
    }
    if let Some(why) = reader.get_ref().unclosed() {
        return Err(why);
    }
    let cell = found.ok_or_else(|| match which {
        WhichOne::At(number) => format!("there is no row {number}, counted from 0: it has {rows}"),
        _ => "it has no rows below the names of its columns".to_string(),
    })?;
    if cell.is_empty() { Ok(Value::Null) } else { number_or_text(&cell) }
}

/// A field of a JSON document.
fn field(text: &[u8], path: &str) -> Result<Value, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_string())?;
    let whole = parse_printed(text).map_err(|error| match error {
        PrintedError::Neither(why) => format!("it is no JSON: {why}"),
        PrintedError::Beyond(why) => format!("it cannot be stored: {why}"),
    })?;
    if let Some(value) = whole.at_path(path) {
        return Ok(value.clone());
    }
    let mut known = Vec::new();
    whole.each_field(&mut |path, _| known.push(path.into_owned()));
    let known = beginning(&known.join(", "), 400);
    Err(format!("there is no field '{path}' (fields: {known})"))
}
