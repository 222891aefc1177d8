//! The `[slurm]` table: a job file's options for the cluster. It changes no result.

use std::path::Path;
use std::time::Duration;

use crate::job::parse::keys::{TomlEntry, TomlText};
use crate::util::duration;
use crate::util::error::Result;

/// Options of the batch script that the job file sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SlurmOptions {
    pub(crate) nodes: Option<u32>,
    pub(crate) ntasks_per_node: Option<u32>,
    pub(crate) threads: Option<u32>,
    pub(crate) time: Option<Duration>,
    pub(crate) partition: Option<String>,
    /// How often the job may be requeued.
    pub(crate) requeues: Option<u32>,
    /// `mpirun`, or `srun --mpi=pmix`.
    pub(crate) launcher: Option<String>,
    /// For `module load`.
    pub(crate) modules: Vec<String>,
    /// A Python environment to activate.
    pub(crate) venv: Option<String>,
    /// Lines of the script before gridmpi is started.
    pub(crate) setup: Vec<String>,
    /// Further options for sbatch.
    pub(crate) options: Vec<String>,
}

impl SlurmOptions {
    /// Reads the table of a job file that was validated before.
    #[cfg(all(feature = "cli", feature = "mpi"))]
    pub(crate) fn read(text: &str, file: &Path) -> Result<SlurmOptions> {
        let place = TomlText { file, text };
        let document = toml::de::DeTable::parse(text)
            .map_err(|error| place.error(0, format!("not TOML: {}", error.message())))?;
        let mut root = place.table(&document);
        root.take("slurm").map_or(Ok(SlurmOptions::default()), |entry| SlurmOptions::of(&entry))
    }

    pub(crate) fn of(entry: &TomlEntry) -> Result<SlurmOptions> {
        let mut table = entry.table()?;
        let mut count = |key| table.take(key).map(|entry| count(&entry)).transpose();
        let (nodes, ntasks_per_node) = (count("nodes")?, count("ntasks_per_node")?);
        let threads = count("threads")?;
        let requeues = table.take("requeues").map(|entry| entry.count(0)).transpose()?;
        let time = table.take("time").map(|entry| limit(&entry)).transpose()?;
        let mut text = |key| table.take(key).map(|entry| entry.text()).transpose();
        let (partition, launcher, venv) = (text("partition")?, text("launcher")?, text("venv")?);
        let mut texts = |key| {
            let list = table.take(key).map_or(Ok(Vec::new()), |entry| entry.array())?;
            list.iter().map(one_line).collect::<Result<Vec<_>>>()
        };
        let (modules, setup, options) = (texts("modules")?, texts("setup")?, texts("options")?);
        table.finish()?;
        Ok(SlurmOptions {
            nodes,
            ntasks_per_node,
            threads,
            time,
            partition,
            requeues: requeues.map(|count| count.min(u64::from(u32::MAX)) as u32),
            launcher,
            modules,
            venv,
            setup,
            options,
        })
    }
}

fn count(entry: &TomlEntry) -> Result<u32> {
    let count = entry.count(1)?;
    u32::try_from(count).map_err(|_| entry.error(format!("{count} is more than 2^32 - 1")))
}

fn limit(entry: &TomlEntry) -> Result<Duration> {
    let expected = |found: &str| {
        let forms = "minutes, \"hours:minutes:seconds\" or \"days-hours:minutes:seconds\"";
        entry.error(format!("expected {forms} as sbatch takes them{found}"))
    };
    let text = match entry.whole() {
        Ok(minutes) => minutes.to_string(),
        Err(_) => entry.text().map_err(|_| expected(", a string unless it is minutes"))?,
    };
    duration::parse(&text)
        .filter(|limit| !limit.is_zero())
        .ok_or_else(|| expected(&format!(", found {text:?}")))
}

fn one_line(entry: &TomlEntry) -> Result<String> {
    let text = entry.text()?;
    if text.contains('\n') { Err(entry.error("expected one line")) } else { Ok(text) }
}
