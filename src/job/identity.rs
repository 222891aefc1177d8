//! The identity of a job's crunch, and digests of the files and data sets that its points name. Stored
//! runs are matched by these and by their coordinates.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::job::files::named_files;
use crate::job::{CrunchSpec, Job, PythonFunction, RidgeOptions};
use crate::model::Reduce;
use crate::util::error::{Error, Result};

/// Digests of what points name, by level and point.
pub(crate) type Digests = BTreeMap<usize, BTreeMap<u64, String>>;

/// Descriptions of a job's crunch and reductions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Identity {
    pub(crate) crunch: String,
    pub(crate) score: String,
    pub(crate) seed: String,
    /// The reduction of each loop, outermost first.
    pub(crate) reduces: Vec<String>,
}

impl Identity {
    /// The identity of a job. `version` is the version that the user gives to a crunch in Rust.
    pub(crate) fn of(job: &Job, version: &str) -> Result<Identity> {
        let function = |f: &PythonFunction| {
            Ok(format!("{}:{} ({})", f.file, f.function, digest_file(&job.folder.join(&f.file))?))
        };
        let crunch = match &job.crunch {
            CrunchSpec::Multiply { .. } => "builtin multiply 1".to_string(),
            CrunchSpec::Ridge(RidgeOptions { target, standardize, .. }) => {
                let target = target.as_deref().unwrap_or("the last column");
                format!("builtin ridge 1, target {target}, standardize {standardize}")
            }
            CrunchSpec::Python(python) => match &python.load {
                Some(load) => {
                    format!("python {}, load {}", function(&python.function)?, function(load)?)
                }
                None => format!("python {}", function(&python.function)?),
            },
            CrunchSpec::Command(arguments) => format!("command {arguments:?}"),
            CrunchSpec::Shell(line) => format!("shell {line}"),
            CrunchSpec::Native(_) => format!("Rust, version \"{version}\""),
        };
        let reduce = |reduce: Option<&Reduce>| match reduce {
            Some(Reduce::Python(f)) => Ok(format!("python {}", function(f)?)),
            Some(Reduce::Native) => Ok(format!("Rust, version \"{version}\"")),
            named => Ok(named.map_or("", Reduce::name).to_string()),
        };
        let reduces =
            job.nest.loops().iter().map(|l| reduce(l.reduce.as_ref())).collect::<Result<_>>()?;
        Ok(Identity {
            crunch,
            score: job.score.clone(),
            seed: job.policy.seed.to_string(),
            reduces,
        })
    }

    /// The rows of the store's table `job`.
    pub(crate) fn notes(&self) -> [(&'static str, String); 4] {
        [
            ("crunch", self.crunch.clone()),
            ("score", self.score.clone()),
            ("seed", self.seed.clone()),
            ("reduces", serde_json::json!(self.reduces).to_string()),
        ]
    }

    /// Reads the identity from a store.
    pub(crate) fn read<E>(
        mut note: impl FnMut(&str) -> Result<Option<String>, E>,
    ) -> Result<Identity, E> {
        let reduces = note("reduces")?.and_then(|json| serde_json::from_str(&json).ok());
        Ok(Identity {
            crunch: note("crunch")?.unwrap_or_default(),
            score: note("score")?.unwrap_or_default(),
            seed: note("seed")?.unwrap_or_default(),
            reduces: reduces.unwrap_or_default(),
        })
    }

    /// Why runs with this identity cannot be used with the other one.
    pub(crate) fn changes(&self, now: &Identity) -> Option<String> {
        let changed = [
            ("crunch", &self.crunch, &now.crunch),
            ("the score's name", &self.score, &now.score),
            ("the job's seed", &self.seed, &now.seed),
        ];
        let changed: Vec<String> = changed
            .iter()
            .filter(|(_, before, now)| before != now)
            .map(|(what, before, now)| format!("{what} has changed from `{before}` to `{now}`"))
            .collect();
        (!changed.is_empty()).then(|| changed.join(", and "))
    }
}

/// The digests of all files that points name.
pub(crate) fn digests(job: &Job) -> Result<Digests> {
    let mut digests = Digests::new();
    let mut known: BTreeMap<PathBuf, String> = BTreeMap::new();
    named_files(job, |level, point, path| {
        let digest = match known.get(path) {
            Some(digest) => digest,
            None => known.entry(path.to_path_buf()).or_insert(digest_file(path)?),
        };
        let of_point = digests.entry(level).or_default().entry(point).or_default();
        if !of_point.is_empty() {
            of_point.push(' ');
        }
        of_point.push_str(digest);
        Ok(())
    })?;
    Ok(digests)
}

/// The first 128 bits of a file's BLAKE3 digest, enough to tell any two files apart.
fn digest_file(path: &Path) -> Result<String> {
    let unreadable = |error: std::io::Error| {
        Error::input(format!("{}: cannot be read: {error}", path.display()))
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).map_err(unreadable)?).map_err(unreadable)?;
    Ok(short(&hasher.finalize()))
}

/// The same for bytes in memory.
pub(crate) fn digest(bytes: &[u8]) -> String {
    short(&blake3::hash(bytes))
}

/// The same for the output of `write`.
pub(crate) fn digest_of(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<String> {
    let mut out = BufWriter::with_capacity(1 << 16, blake3::Hasher::new());
    write(&mut out)?;
    let hasher = out.into_inner().map_err(Error::unexpected)?;
    Ok(short(&hasher.finalize()))
}

fn short(hash: &blake3::Hash) -> String {
    hash.to_hex()[..32].to_string()
}
