//! What a final call is given, as a digest: where that is what it was, the call is not made again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::json;

use crate::job::counted::final_files;
#[cfg(feature = "jobs")]
use crate::job::placeholders::Template;
use crate::job::{
    CrunchSpec, FileDigests, FinalFunction, FinalSpec, Job, PointDigests, Python, PythonModules,
    WatchedFile,
};
#[cfg(feature = "jobs")]
use crate::job::{DigestedFile, combined, summary_record};
#[cfg(feature = "jobs")]
use crate::model::Value;
use crate::model::{FileFunction, Key, Scored};
use crate::util::error::Result;

/// What the function of `[final]` is, and what decides its results besides a row.
#[derive(Debug, Default)]
pub(crate) struct FinalIdentity {
    /// As JSON: the function, its files, the packages that it imports.
    text: String,
    /// Digests of what points name.
    points: PointDigests,
    /// Words with placeholders that may become the names of files, and the digests of files that are known.
    #[cfg(feature = "jobs")]
    words: Vec<Template>,
    #[cfg(feature = "jobs")]
    known: BTreeMap<PathBuf, String>,
}

impl FinalIdentity {
    /// That of a job's function, and its files for workers to compare. `version` is the version that the user gives to
    /// Rust.
    pub(crate) fn of(
        job: &Job,
        spec: &FinalSpec,
        (version, modules): (&str, &PythonModules),
        (digests, points): (&mut FileDigests, &PointDigests),
    ) -> Result<(FinalIdentity, Vec<WatchedFile>)> {
        let files = final_files(job, spec, modules)?;
        digests.take(files.values().cloned())?;
        let of_files: BTreeMap<&String, &str> =
            files.iter().map(|(name, path)| (name, digests.get(path))).collect();
        let named = |f: &FileFunction| format!("{}:{}", f.file, f.function);
        let function = match &spec.function {
            FinalFunction::Python(function) => format!("python {}", named(function)),
            FinalFunction::Command(words) => format!("command {words:?}"),
            FinalFunction::Shell(line) => format!("{} {line}", line.shell),
            FinalFunction::Serve(words) => format!("serve {words:?}"),
            FinalFunction::R(function) => format!("r {}", named(function)),
            FinalFunction::Native => format!("Rust, version \"{version}\""),
        };
        let is_python = matches!(spec.function, FinalFunction::Python(_));
        let is_r = matches!(spec.function, FinalFunction::R(_));
        let load = job.final_load().map(named);
        let how = match &job.crunch {
            CrunchSpec::Python(Python { reseed, pass_none, .. }) if is_python => {
                json!([reseed, pass_none])
            }
            _ => json!(null),
        };
        let text = json!({
            "function": function,
            "load": load,
            "how": how,
            "interpreter": match (is_python, is_r) {
                (true, _) => Some(job.interpreter()),
                (_, true) => Some(job.r_interpreter()),
                _ => None,
            },
            "files": of_files,
            "packages": modules.final_packages,
        });
        let paths: BTreeSet<PathBuf> = files.into_values().collect();
        let watched = digests.watched(&paths, &BTreeSet::new()).always;
        #[cfg(feature = "jobs")]
        let words = combined::words_of_final(&spec.function);
        #[cfg(feature = "jobs")]
        let known = match words.is_empty() {
            true => BTreeMap::new(),
            false => digests.used().map(|(path, f)| (path.clone(), f.digest.clone())).collect(),
        };
        let identity = FinalIdentity {
            text: text.to_string(),
            points: points.clone(),
            #[cfg(feature = "jobs")]
            words,
            #[cfg(feature = "jobs")]
            known,
        };
        Ok((identity, watched))
    }

    /// The digest of all that the call for a row is given.
    pub(crate) fn given(&self, job: &Job, row: Key, summary: &Scored) -> String {
        let points = job.final_points(row, &summary.best);
        let mut hasher = blake3::Hasher::new();
        let mut add = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        add(&self.text);
        add(&job.row_seed(row).to_string());
        let mut named: Vec<_> = job.named_points(&points).into_iter().zip(0..).collect();
        named.sort_by_key(|((name, _), _)| *name);
        for ((name, value), level) in named {
            let digest = self.points.get(&level).and_then(|of_level| of_level.get(&points[level]));
            add(name);
            add(&value.to_exact());
            add(digest.map_or("", String::as_str));
        }
        let value = summary.value.get();
        match job.is_native() {
            // The value is shown, and not given: the summary may have the numbers of the best points.
            true => summary.best.iter().for_each(|winner| add(&winner.slot.to_string())),
            false => add(&value.to_exact()),
        }
        add(&summary.score.map(|score| score.to_bits().to_string()).unwrap_or_default());
        #[cfg(feature = "jobs")]
        for (name, file) in self.files(job, &points, &value) {
            [name, file].iter().for_each(|text| add(text));
        }
        hasher.update(&summary.typed);
        hasher.finalize().to_hex()[..32].to_string()
    }

    /// The files that words become at these points, and their digests.
    #[cfg(feature = "jobs")]
    fn files(&self, job: &Job, points: &[u64], summary: &Value) -> Vec<(String, String)> {
        let mut named = job.named_points(points);
        named.push(("summary", summary_record(summary)));
        let mut found = Vec::new();
        for word in &self.words {
            let cells = job.cells(|level| points.get(level).copied());
            let Ok(name) = word.fill(&named, cells) else { continue };
            let path = job.folder.join(&name);
            if path.is_file() && !job.ignores(&name) {
                let read = || DigestedFile::read(&path).map(|file| file.digest).unwrap_or_default();
                let digest = self.known.get(&path).cloned().unwrap_or_else(read);
                found.push((name, digest));
            }
        }
        found
    }
}
