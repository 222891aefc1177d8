//! Parses `workdir` of `[crunch]`: the folder of its own that each attempt runs in. The files that go into it are looked
//! up here, so that what is missing is an error before anything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use crate::job::counted::add_files;
use crate::job::parse::globs::is_results_folder;
use crate::job::parse::keys::TomlEntry;
use crate::job::parse::patterns;
use crate::job::placeholders::scope::Scope;
use crate::job::placeholders::{Template, Within};
use crate::job::{
    CrunchSpec, Delimiters, FileTemplate, KeptFiles, PlacedFile, PlacedSource, Placing, RESERVED,
    WorkdirSpec,
};
use crate::model::Value;
use crate::util::error::Result;
use crate::util::files::{file_pattern, read_regular};
use crate::util::text::did_you_mean;

/// The most combinations of points for which a word is looked up.
const MOST: u64 = 1_000_000;

/// These ends of a template's name go.
const TEMPLATE: [&str; 3] = [".in", ".tmpl", ".j2"];

const KEEP: [&str; 3] = ["all", "failed", "none"];

/// The lines of the table's keys.
pub(super) fn lines(entry: &TomlEntry) -> Vec<(String, usize)> {
    entry.table().map_or(Vec::new(), |table| table.lines())
}

/// Nothing if it is false. A job that is read again names its files, whether they are still there or not.
pub(super) fn parse(
    entry: &TomlEntry,
    folder: &Path,
    (scope, folder_loops): (Scope, &[usize]),
    crunch: &CrunchSpec,
    is_read_again: bool,
) -> Result<Option<WorkdirSpec>> {
    let mut spec = WorkdirSpec::default();
    if let Ok(wanted) = entry.boolean() {
        if !wanted {
            return Ok(None);
        }
    } else if !entry.is_table() {
        return Err(entry.error("expected true, false or a table, as in [crunch.workdir]"));
    }
    if crunch.is_builtin() {
        return Err(entry.error("a builtin writes no files, so it needs no folder"));
    }
    if !entry.is_table() {
        return Ok(Some(spec));
    }
    let mut table = entry.table()?;
    if let Some(entry) = table.take("delimiters") {
        let both: Vec<String> =
            entry.array()?.iter().map(|item| item.text()).collect::<Result<_>>()?;
        let [begin, end] = both.as_slice() else {
            return Err(entry.error("expected two, such as [\"<<\", \">>\"]"));
        };
        spec.delimiters = Delimiters::new(begin, end).map_err(|why| entry.error(why))?;
        spec.text += &format!(", delimiters {begin} {end}");
    }
    let (delimiters, files) = (&spec.delimiters, BTreeMap::new());
    let mut placed = PlacedFiles { folder, scope, folder_loops, delimiters, is_read_again, files };
    let kinds = [("template", Placing::Template), ("copy", Placing::Copy), ("link", Placing::Link)];
    let mut texts = String::new();
    for (key, how) in kinds {
        let Some(entry) = table.take(key) else { continue };
        let mut said = Vec::new();
        let items = if entry.is_table() { vec![entry.clone()] } else { entry.one_or_several()? };
        for item in items {
            placed.add(&item, how)?;
            said.push(item.value()?.to_json());
        }
        texts += &format!(", {key} {}", serde_json::json!(said));
    }
    let files = placed.files.into_values().collect();
    spec.text += &texts;
    spec.files = files;
    spec.keep = table.take("keep").map_or(Ok(KeptFiles::Failed), |entry| keep(&entry))?;
    if let Some(entry) = table.take("scratch") {
        let text = entry.text()?;
        if text.is_empty() {
            return Err(entry.error("expected a folder, such as \"$TMPDIR\""));
        }
        spec.scratch = Some(text);
    }
    table.finish()?;
    Ok(Some(spec))
}

fn keep(entry: &TomlEntry) -> Result<KeptFiles> {
    let Ok(text) = entry.text() else {
        let patterns = patterns(entry)?;
        if let Some(odd) = patterns.iter().find(|text| normal(text).is_none()) {
            return Err(entry.error(format!("\"{odd}\" is no path inside the folder")));
        }
        return Ok(match patterns.is_empty() {
            true => KeptFiles::None,
            false => KeptFiles::Matching(patterns),
        });
    };
    match text.as_str() {
        "all" => Ok(KeptFiles::All),
        "failed" => Ok(KeptFiles::Failed),
        "none" => Ok(KeptFiles::None),
        other => Err(entry.error(format!(
            "expected \"all\", \"failed\", \"none\" or a list of patterns such as [\"*.out\"], found \"{other}\"{}",
            did_you_mean(other, &KEEP, "\"")
        ))),
    }
}

/// A path inside a folder, without `.`; nothing if it leads out of it.
fn normal(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

struct PlacedFiles<'a> {
    folder: &'a Path,
    scope: Scope<'a>,
    folder_loops: &'a [usize],
    delimiters: &'a Delimiters,
    is_read_again: bool,
    /// By their path in the attempt's folder.
    files: BTreeMap<String, PlacedFile>,
}

impl PlacedFiles<'_> {
    /// Adds a pattern, or a table with new names.
    fn add(&mut self, item: &TomlEntry, how: Placing) -> Result<()> {
        if !item.is_table() {
            let source = item.text()?;
            return self.source(item, None, &source, how);
        }
        for (target, entry) in item.table()?.rest() {
            let target = normal(&target)
                .ok_or_else(|| entry.error(format!("\"{target}\" is no path inside the folder")))?;
            let source = entry.text()?;
            self.source(&entry, Some(target), &source, how)?;
        }
        Ok(())
    }

    fn source(
        &mut self,
        entry: &TomlEntry,
        target: Option<String>,
        source: &str,
        how: Placing,
    ) -> Result<()> {
        let template = Template::parse(source).map_err(|why| entry.error(why))?;
        let template = template.in_job(self.folder);
        let Some(plain) = template.plain() else {
            if how == Placing::Template {
                return Err(
                    entry.error("one template serves all tasks: its name has no placeholders")
                );
            }
            let Some(target) = target else {
                let why = "what stands for other files in other tasks needs a name of its own: { \"in.dat\" = \"{dataset}\" }";
                return Err(entry.error(why));
            };
            self.check(&template).map_err(|why| entry.error(why))?;
            let source = PlacedSource::Word(template.to_string());
            return self.put(entry, PlacedFile { target, source, how });
        };
        let wrong = |why: &dyn std::fmt::Display| entry.error(format!("\"{plain}\": {why}"));
        // A folder stands for all that is in it; of `**`, the walk below gives folders alone.
        let all = plain.strip_suffix("/**").unwrap_or(&plain);
        let pattern = file_pattern(all).map_err(|error| wrong(&error))?;
        let within = glob::Pattern::escape(&self.folder.to_string_lossy());
        let full = Path::new(&within).join(pattern.as_str());
        let found = glob::glob(&full.to_string_lossy()).map_err(|error| wrong(&error))?;
        let found = found.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| wrong(&e))?;
        if found.is_empty() && !self.is_read_again {
            return Err(wrong(&format!("names no file in {}", self.folder.display())));
        }
        if let (Some(_), [_, another, ..]) = (&target, &found[..]) {
            let why = format!("names several files, such as {}", another.display());
            return Err(wrong(&why));
        }
        for path in found {
            let beside = path.strip_prefix(self.folder).ok().and_then(|p| normal(p.to_str()?));
            let name = || normal(path.file_name()?.to_str()?);
            let to = target.clone().or(beside).or_else(name);
            let to = to.ok_or_else(|| wrong(&"has no name that is UTF-8"))?;
            if how == Placing::Link {
                let source = PlacedSource::Path(path);
                self.put(entry, PlacedFile { target: to, source, how })?;
                continue;
            }
            let mut files = Vec::new();
            add_files(&path, &mut files, &mut BTreeSet::new())
                .map_err(|error| wrong(&format!("{}: {error}", path.display())))?;
            // gridmpi's own results are no data.
            let is_result = |file: &Path| {
                file.ancestors().take_while(|at| *at != self.folder).any(is_results_folder)
            };
            files.retain(|file| !is_result(file));
            for file in files {
                let inner =
                    file.strip_prefix(&path).ok().filter(|inner| inner.file_name().is_some());
                let inner = inner.map(|inner| {
                    inner.to_str().ok_or_else(|| wrong(&"has a name that is not UTF-8"))
                });
                let into = match inner.transpose()? {
                    Some(inner) => format!("{to}/{inner}"),
                    None => to.clone(),
                };
                if how != Placing::Template {
                    let source = PlacedSource::Path(file);
                    self.put(entry, PlacedFile { target: into, source, how })?;
                    continue;
                }
                let ends = TEMPLATE.iter().find_map(|end| into.strip_suffix(end));
                let ends = ends.filter(|name| !name.is_empty() && !name.ends_with('/'));
                let plain = ends.map(str::to_string).filter(|_| target.is_none());
                let source = self.template(&file).map_err(|why| entry.error(why))?;
                let target = plain.unwrap_or(into);
                self.put(entry, PlacedFile { target, source, how })?;
            }
        }
        Ok(())
    }

    /// Reads a template, and checks it.
    fn template(&self, path: &Path) -> std::result::Result<PlacedSource, String> {
        let name = path.strip_prefix(self.folder).unwrap_or(path).display().to_string();
        let text = read_regular(path).map_err(|error| format!("{name}: {error}"))?;
        let text = String::from_utf8(text)
            .map_err(|_| format!("{name}: it is not UTF-8, so it is no template: copy it"))?;
        let template = FileTemplate::parse(&name, &text, self.delimiters)?;
        if let (false, Some(facts)) = (self.is_read_again, self.scope.facts()) {
            template.check(self.scope.nest, facts)?;
        }
        Ok(PlacedSource::Template { path: path.to_path_buf(), name, text })
    }

    /// Adds a file. The same one may be named by several patterns.
    fn put(&mut self, entry: &TomlEntry, file: PlacedFile) -> Result<()> {
        let target = &file.target;
        let around = |other: &&String| {
            let inside =
                |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
            inside(target, other) || inside(other, target)
        };
        let other = self.files.get(target).filter(|other| **other != file).map(|file| &file.target);
        if let Some(other) = other.or_else(|| self.files.keys().find(around)) {
            return Err(entry.error(format!(
                "\"{target}\" and \"{other}\" cannot both be put into the folder: give one another name"
            )));
        }
        self.files.insert(target.clone(), file);
        Ok(())
    }

    /// Checks that a word names a file for every task.
    fn check(&self, word: &Template) -> std::result::Result<(), String> {
        if word.loops().any(|name| name == RESERVED) {
            return Err(format!("{word}: a file is named by points alone"));
        }
        self.scope.check(&word.to_string(), Within::Command(&[]))?;
        if self.is_read_again {
            return Ok(());
        }
        let loops = self.scope.nest.loops();
        let levels: Vec<usize> = (0..loops.len())
            .filter(|level| word.loops().any(|n| n == loops[*level].name))
            .collect();
        if self.scope.nest.count_combinations(&levels) > MOST {
            return Err(format!("{word} would be looked up for too many combinations of points"));
        }
        let is_folder = |levels: &[usize]| {
            let is_alone = word.parts().iter().filter(|part| !part.is_empty()).count() == 1;
            matches!(levels, [level] if is_alone && self.folder_loops.contains(level))
        };
        self.scope.nest.combinations(&levels, &mut |points| {
            let named: Vec<(&str, Value)> = levels
                .iter()
                .zip(points)
                .map(|(level, point)| (loops[*level].name.as_str(), loops[*level].points.get(*point)))
                .collect();
            let cells = |name: &str, field: &str| {
                let at = levels.iter().position(|level| loops[*level].name == name)?;
                loops[levels[at]].points.cell(points[at], field)
            };
            let name = word.fill(&named, cells)?;
            let path = self.folder.join(&name);
            match () {
                () if path.is_file() || path.is_dir() && is_folder(&levels) => Ok(()),
                () if path.is_dir() => Err(format!(
                    "{word} is a folder, \"{name}\": only the points of a loop of folders may be that, because the files in them count then"
                )),
                () => Err(format!("{word} is no file for some tasks: there is no \"{name}\"")),
            }
        })
    }
}
