//! Files that a word with placeholders names, such as `data/{subject}_{site}.csv`: one for each combination
//! of the points of its loops. Their content counts for the runs of that combination.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::job::counted::{names_in, shell_words};
use crate::job::placeholders::{Placeholder, Template, TemplatePart};
use crate::job::{
    CombinedDigests, CommandWords, CrunchSpec, FileDigests, FinalFunction, Job, PlacedSource,
    ShellLine,
};
use crate::util::error::Result;
use crate::util::text::count;

/// The most combinations that are looked up for one word.
const MOST: u64 = 1_000_000;

/// The digests of all files that words with placeholders name.
pub(super) fn combined_digests(job: &Job, files: &mut FileDigests) -> Result<Vec<CombinedDigests>> {
    let mut found = Vec::new();
    for (word, template) in words(job) {
        let mut paths = BTreeMap::new();
        let levels: Vec<usize> = (0..job.nest.depth())
            .filter(|level| template.loops().any(|name| name == job.nest.loops()[*level].name))
            .collect();
        let loops: Vec<_> = levels.iter().map(|level| &job.nest.loops()[*level]).collect();
        let sizes: Vec<u64> = loops.iter().map(|l| l.points.len()).collect();
        let combinations = sizes.iter().fold(1u64, |product, size| product.saturating_mul(*size));
        if combinations > MOST {
            log::warn!(
                "\"{word}\" may name up to {} files: they are too many to compare their content with that of earlier starts",
                count(combinations)
            );
            continue;
        }
        for number in 0..combinations {
            let mut rest = number;
            let mut points = vec![0; sizes.len()];
            for (point, size) in points.iter_mut().zip(&sizes).rev() {
                (*point, rest) = (rest % size, rest / size);
            }
            let Some(name) = name_of(job, &template, &levels, &points) else { continue };
            let path: PathBuf = job.folder.join(&name);
            if path.is_file() && !job.ignores(&name) {
                paths.insert(points, path);
            }
        }
        files.take(paths.values().cloned())?;
        let digest = |(points, path): (Vec<u64>, PathBuf)| (points, files.get(&path).to_string());
        let loops = loops.iter().map(|l| l.name.clone()).collect();
        let digests = paths.into_iter().map(digest).collect();
        found.push(CombinedDigests { word, loops, digests });
    }
    Ok(found)
}

/// The name that a word becomes at these points of the loops at these levels.
fn name_of(job: &Job, word: &Template, levels: &[usize], points: &[u64]) -> Option<String> {
    let loops = job.nest.loops();
    let at = levels.iter().zip(points);
    let coordinates: Vec<_> = at
        .map(|(level, point)| (loops[*level].name.as_str(), loops[*level].points.get(*point)))
        .collect();
    let point = |level| levels.iter().position(|known| *known == level).map(|at| points[at]);
    word.fill(&coordinates, job.cells(point)).ok()
}

/// The files that have these digests.
pub(super) fn combined_paths(job: &Job, combined: &[CombinedDigests]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for (word, template) in words(job) {
        let Some(found) = combined.iter().find(|found| found.word == word) else { continue };
        let level = |name: &String| job.nest.loops().iter().position(|l| l.name == *name);
        let levels: Vec<usize> = found.loops.iter().filter_map(level).collect();
        let names = found.digests.keys();
        let names = names.filter_map(|points| name_of(job, &template, &levels, points));
        paths.extend(names.map(|name| job.folder.join(name)));
    }
    paths
}

/// The words of crunch that may become the names of files.
pub(crate) fn file_words(job: &Job) -> Vec<Template> {
    words(job).into_iter().map(|(_, word)| word).collect()
}

/// The words of crunch that have placeholders, and text beside them: a placeholder alone names what its
/// point names.
fn words(job: &Job) -> Vec<(String, Template)> {
    let mut words = match &job.crunch {
        CrunchSpec::Command(words) => of_command(words),
        CrunchSpec::Shell(line) => of_shell(line),
        _ => Vec::new(),
    };
    let placed = job.workdir.iter().flat_map(|spec| &spec.files);
    words.extend(placed.filter_map(|file| match &file.source {
        PlacedSource::Word(word) => Template::parse(word).ok(),
        _ => None,
    }));
    let in_job = |(word, template): (String, Template)| (word, template.in_job(&job.folder));
    let words = of_several_parts(&words).into_iter().map(in_job);
    words.filter(|(_, template)| !template.is_plain()).collect() // it counts as any file
}

/// A word of crunch that begins as a relative path and becomes the name of a file beside the job at some points, and that
/// name.
pub(super) fn relative_word(job: &Job) -> Option<(String, String)> {
    let is_of_command = |(word, _): &(String, Template)| {
        let placed = job.workdir.iter().flat_map(|spec| &spec.files);
        let mut placed = placed.filter_map(|file| match &file.source {
            PlacedSource::Word(word) => Some(word),
            _ => None,
        });
        placed.all(|other| other != word)
    };
    let begins_with_text = |(_, template): &(String, Template)| matches!(template.parts().iter().find(|part| !part.is_empty()), Some(TemplatePart::Text(text)) if !text.starts_with('/'));
    let words = words(job).into_iter().filter(is_of_command).filter(begins_with_text);
    words.into_iter().find_map(|(word, template)| {
        let name = |name: &str| template.loops().any(|known| known == name);
        let levels: Vec<usize> =
            (0..job.nest.depth()).filter(|level| name(&job.nest.loops()[*level].name)).collect();
        if job.nest.count_combinations(&levels) > MOST {
            return None;
        }
        let found = job.nest.combinations(&levels, &mut |points| match name_of(
            job, &template, &levels, points,
        ) {
            Some(name) if job.is_beside(&name) => Err(name),
            _ => Ok(()),
        });
        found.err().map(|name| (word, name))
    })
}

/// The same of the final function.
pub(super) fn words_of_final(function: &FinalFunction) -> Vec<Template> {
    let words = of_several_parts(&match function {
        FinalFunction::Command(words) => of_command(words),
        FinalFunction::Shell(line) => of_shell(line),
        _ => Vec::new(),
    });
    words.into_iter().map(|(_, word)| word).collect()
}

fn of_command(words: &CommandWords) -> Vec<Template> {
    words.all().into_iter().filter_map(|word| Template::parse(word).ok()).collect()
}

fn of_shell(line: &ShellLine) -> Vec<Template> {
    match Template::parse(&line.line) {
        Ok(line) => shell_words(&line).into_iter().map(|word| word.template).collect(),
        Err(_) => Vec::new(),
    }
}

fn of_several_parts(templates: &[Template]) -> Vec<(String, Template)> {
    let is_of_several_parts = |template: &Template| {
        let is_text = |part: &&TemplatePart| matches!(part, TemplatePart::Text(t) if !t.is_empty());
        template.parts().iter().any(|part| is_text(&part))
            || template.loops().count() > 1
            || template.places().any(Placeholder::is_formatted)
    };
    let mut words = Vec::new();
    for template in templates.iter().filter(|template| !template.is_plain()) {
        for word in [Some(template.clone()), behind_equals(template)].into_iter().flatten() {
            if !word.is_plain() && is_of_several_parts(&word) {
                words.push((word.to_string(), word));
            }
        }
    }
    words.sort_by(|a, b| a.0.cmp(&b.0));
    words.dedup_by(|a, b| a.0 == b.0);
    words
}

/// What is behind the first `=`.
fn behind_equals(template: &Template) -> Option<Template> {
    let mut parts = template.parts().iter();
    let rest = parts.find_map(|part| match part {
        TemplatePart::Text(text) => names_in(text).nth(1).or(text.ends_with('=').then_some("")),
        TemplatePart::Place(_) => None,
    })?;
    let first = TemplatePart::Text(rest.to_string());
    Some(Template::of(std::iter::once(first).chain(parts.cloned()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_an_equals_sign_is_a_word_too() {
        let behind = |text: &str| {
            behind_equals(&Template::parse(text).unwrap()).map(|word| word.to_string())
        };
        assert_eq!(behind("--data=d/{x}.csv"), Some("d/{x}.csv".to_string()));
        assert_eq!(behind("--data={x}"), Some("{x}".to_string()));
        assert_eq!(behind("d/{x}.csv"), None);
    }
}
