//! `gridmpi doctor`: what gridmpi sees of its launcher, MPI and machine, for a first look and for reports of bugs.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;

use crate::cli::say;
use crate::job::DEFAULT_INTERPRETER;
use crate::platform::launcher::LaunchInfo;
use crate::platform::slurm::{Allocation, ask};
use crate::platform::{allowed, devices};
use crate::store::has_locks;
use crate::util::error::{Error, Exit, Result};
use crate::util::machine;
use crate::util::programs::find_program;

/// The width of the names of lines. (characters)
const WIDTH: usize = 10;

#[derive(Args)]
#[command(after_help = "\
Examples:
  gridmpi doctor              this machine, and the MPI that ranks would use
  mpirun -n 9 gridmpi doctor  the ranks too: do they find each other?
  gridmpi doctor /scratch/me  does this folder's file system have locks?

Exit code 2: this launcher and no MPI library here fit together.")]
pub(super) struct DoctorArgs {
    /// The folder whose file system is looked at
    #[arg(default_value = ".")]
    folder: PathBuf,
}

/// Lines of a name and what is seen.
#[derive(Default)]
struct Findings(String);

impl Findings {
    fn add(&mut self, name: &str, seen: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name:WIDTH$}  {seen}");
    }
}

/// `launched` is what each rank knows; only rank 0 prints.
pub(super) fn doctor(arguments: &DoctorArgs, launched: Option<&LaunchInfo>) -> Result<Exit> {
    let mpi = ranks::look(launched);
    if launched.is_some_and(|launched| launched.rank > 0) {
        return mpi.map(|_| Exit::Complete);
    }
    let mut seen = Findings::default();
    let own = std::env::current_exe().map_or("?".to_string(), |own| own.display().to_string());
    seen.add("gridmpi", format_args!("{}, {own}", env!("CARGO_PKG_VERSION")));
    match launched {
        Some(launched) => seen.add("launcher", launched.says()),
        None => seen.add("launcher", "none: jobs run on threads"),
    }
    let is_bad = launched.is_some() && mpi.is_err();
    match mpi {
        Ok(lines) => lines.into_iter().for_each(|(name, line)| seen.add(name, line)),
        Err(error) => seen.add("MPI", error),
    }
    add_machine(&mut seen);
    let known =
        "import sys; print(', '.join(filter(None, [sys.version.split()[0], sys.executable])))";
    match ask(DEFAULT_INTERPRETER, &["-c", known]) {
        Some(python) => seen.add("Python", python.trim()),
        None => seen.add("Python", format_args!("no {DEFAULT_INTERPRETER} on PATH")),
    }
    let folder = &arguments.folder;
    let unusable =
        |error| Error::input(format!("{}: no file can be made: {error}", folder.display()));
    let place = std::path::absolute(folder).unwrap_or(folder.clone());
    let locks = has_locks(folder).map_err(unusable);
    match &locks {
        Ok(true) => seen.add("locks", format_args!("work in {}", place.display())),
        Ok(false) => seen.add(
            "locks",
            format_args!(
                "none in {}: nothing keeps two starts from one results folder there",
                place.display()
            ),
        ),
        Err(_) => {}
    }
    say(&seen.0)?;
    locks?;
    Ok(if is_bad { Exit::BadInput } else { Exit::Complete })
}

fn add_machine(seen: &mut Findings) {
    let (cpus, devices) = (allowed::cpus(), devices::visible());
    let list: Vec<String> = cpus.cpus.iter().map(ToString::to_string).collect();
    let most = allowed::online_cpus();
    seen.add("host", machine::host());
    seen.add("CPUs", format_args!("{} of {most} ({})", cpus.cpus.len(), list.join(",")));
    if let Some(memory) = allowed::memory() {
        seen.add("memory", format_args!("{:.1} GiB", memory as f64 / f64::from(1 << 30)));
    }
    let names: Vec<&str> = devices.devices.iter().map(|device| device.name.as_str()).collect();
    match names.is_empty() {
        true => seen.add("devices", format_args!("none ({})", devices.source)),
        false => seen.add("devices", format_args!("{} ({})", names.join(", "), devices.source)),
    }
    match Allocation::detect() {
        Some(allocation) => seen.add("Slurm", allocation.line(SystemTime::now(), None)),
        None if find_program(Path::new("sbatch")).is_ok() => {
            seen.add("Slurm", "installed; not in a job")
        }
        None => seen.add("Slurm", "none"),
    }
}

#[cfg(not(feature = "mpi"))]
mod ranks {
    use super::*;

    pub(super) fn look(_: Option<&LaunchInfo>) -> Result<Vec<(&'static str, String)>> {
        Err(Error::input("none: gridmpi was built without the feature `mpi`"))
    }
}

#[cfg(feature = "mpi")]
mod ranks {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::platform::mpi_library;
    use crate::wire::transport::mpi::{MpiRanks, library};
    use crate::wire::transport::{Hub, Link};

    /// How long ranks may take to say where they are.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// The MPI library, and the ranks.
    pub(super) fn look(launched: Option<&LaunchInfo>) -> Result<Vec<(&'static str, String)>> {
        mpi_library::load_for(launched)?;
        let hosts = launched.map(meet).transpose()?;
        let version = library();
        let version = version.lines().next().unwrap_or_default();
        let mut lines = vec![("MPI", version.split_whitespace().collect::<Vec<_>>().join(" "))];
        let file = mpi_library::file();
        lines.extend(file.map(|file| ("library", file.display().to_string())));
        lines.extend(hosts.map(|hosts| ("ranks", in_words(&hosts))));
        Ok(lines)
    }

    /// The hosts of the ranks, on rank 0, where each has sent its own.
    fn meet(launched: &LaunchInfo) -> Result<Vec<String>> {
        if launched.is_bare_step() {
            return Err(launched.mismatch());
        }
        let mut ranks = MpiRanks::initialize(launched.size.unwrap_or(0))?;
        let expected = launched.size.unwrap_or(1);
        if ranks.size() == 1 && (expected > 1 || launched.rank > 0) {
            return Err(launched.mismatch());
        }
        let mut hosts = vec![machine::host()];
        if ranks.own_rank() > 0 {
            Link::send(&mut ranks, hosts.remove(0).into_bytes().into())?;
            return Ok(hosts);
        }
        let (begin, mut buffer) = (Instant::now(), Vec::new());
        while hosts.len() < ranks.size() {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            match Hub::receive(&mut ranks, left, &mut buffer)? {
                Some(_) => hosts.push(String::from_utf8_lossy(&buffer).into_owned()),
                None if left.is_zero() => {
                    Hub::skip_finalize(&mut ranks);
                    let (came, all) = (hosts.len(), ranks.size());
                    return Err(Error::unexpected(format!(
                        "only {came} of {all} ranks could be heard within {} s",
                        PATIENCE.as_secs()
                    )));
                }
                None => {}
            }
        }
        Ok(hosts)
    }

    fn in_words(hosts: &[String]) -> String {
        let mut by_host: BTreeMap<&str, usize> = BTreeMap::new();
        hosts.iter().for_each(|host| *by_host.entry(host).or_default() += 1);
        let each = by_host.iter().map(|(host, ranks)| format!("{ranks} on {host}"));
        format!("{}: {}", hosts.len(), each.collect::<Vec<_>>().join(", "))
    }
}
