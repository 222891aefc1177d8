//! Chooses the MPI library that fits the launcher of this process, and loads it, unless one is linked.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::platform::launcher::LaunchInfo;
use crate::util::error::{Error, Result};
use crate::util::programs::find_program;
use crate::util::{machine, process};
use crate::wire::transport::mpi::{Interface, load, only_interface};

/// The user's choice: `openmpi`, `mpich` or `none`.
const CHOICE: &str = "GRIDMPI_MPI";

/// How many of its parents a process is at most apart from its launcher: a shell, `time`, a wrapper of the site.
const MOST_PARENTS: usize = 8;

impl Interface {
    fn name(self) -> &'static str {
        match self {
            Interface::OpenMpi => "Open MPI",
            Interface::Mpich => "MPICH, Intel MPI or another MPI with MPICH's binary interface",
        }
    }

    /// What the library's file is called. Debian has a name of its own for MPICH.
    fn files(self) -> &'static [&'static str] {
        let is_mac = cfg!(target_os = "macos");
        match self {
            Interface::OpenMpi if is_mac => &["libmpi.40.dylib"],
            Interface::Mpich if is_mac => &["libmpi.12.dylib"],
            Interface::OpenMpi => &["libmpi.so.40"],
            Interface::Mpich => &["libmpi.so.12", "libmpich.so.12"],
        }
    }

    fn other(self) -> Interface {
        match self {
            Interface::OpenMpi => Interface::Mpich,
            Interface::Mpich => Interface::OpenMpi,
        }
    }

    /// The interface of the MPI that a launcher belongs to, by the launcher's name or by the library beside it.
    fn of_launcher(program: &Path) -> Option<Interface> {
        let name = program.file_name()?.to_string_lossy().to_lowercase();
        let is = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if is(&["orte", "orted", "openmpi", "prte", "prun", "ompi"]) {
            return Some(Interface::OpenMpi);
        }
        if is(&["hydra", "mpich"]) {
            return Some(Interface::Mpich);
        }
        let both = [Interface::OpenMpi, Interface::Mpich];
        both.into_iter().find(|interface| beside(program, *interface).iter().any(|f| f.exists()))
    }

    fn advice(self) -> &'static str {
        match self {
            Interface::OpenMpi => {
                "load the module of the Open MPI that this launcher belongs to, or set LD_LIBRARY_PATH to the folder of its library"
            }
            Interface::Mpich if is_cray() => {
                "`module load cray-mpich-abi` gives Cray's library this name"
            }
            Interface::Mpich => {
                "load the module of the MPI that this launcher belongs to, or set LD_LIBRARY_PATH to the folder of its library"
            }
        }
    }
}

/// Whether this is one of Cray's systems, whose MPI has another name unless a module is loaded.
fn is_cray() -> bool {
    let variables = ["CRAY_MPICH_DIR", "CRAY_MPICH_VERSION", "CRAYPE_VERSION", "PALS_RANKID"];
    variables.iter().any(|name| std::env::var_os(name).is_some()) || Path::new("/opt/cray").exists()
}

/// Loads the MPI library for the ranks of this launcher; without one, that of the mpirun on PATH, which would start
/// them. A program that is linked to its MPI loads none.
pub(crate) fn load_for(launched: Option<&LaunchInfo>) -> Result<()> {
    let choice = std::env::var(CHOICE).ok().filter(|choice| !choice.is_empty());
    let chosen = match choice.as_deref() {
        Some("openmpi") => Some(Interface::OpenMpi),
        Some("mpich") => Some(Interface::Mpich),
        Some("none") => return Err(without(launched)),
        Some(other) => {
            return Err(Error::input(format!(
                "{CHOICE}={other}: expected openmpi, mpich or none, or no such variable"
            )));
        }
        None => None,
    };
    match only_interface() {
        Some(own) if chosen.is_none_or(|chosen| chosen == own) => Ok(()),
        Some(own) => Err(Error::input(format!(
            "{CHOICE}={}: this gridmpi was built with {}, and can use no other MPI; the wheel can (docs/install.md), or build gridmpi with the mpicc of that MPI",
            choice.unwrap_or_default(),
            own.name()
        ))),
        None => load_one_of(launched, chosen),
    }
}

fn load_one_of(launched: Option<&LaunchInfo>, chosen: Option<Interface>) -> Result<()> {
    let launchers = Launchers::find();
    let interfaces = chosen.map_or_else(|| interfaces(launched, &launchers), |one| vec![one]);
    let mut failed = Vec::new();
    for interface in &interfaces {
        for file in candidates(*interface, &launchers) {
            match load(*interface, &file) {
                Ok(()) => return Ok(()),
                Err(why) => failed.push(why),
            }
        }
    }
    let error = not_found(launched, &interfaces, &failed, &launchers);
    if launched.is_some_and(|launched| launched.rank > 0 && launched.is_first_on_host()) {
        error.clone().within(&machine::host()).print(); // rank 0, on another host, may find a library
    }
    Err(error)
}

/// The programs of launchers whose library may be the one.
struct Launchers {
    /// Those that have started this process, the nearest first; else the mpirun on PATH.
    first: Vec<PathBuf>,
    /// The mpirun on PATH, if another has started this process.
    later: Vec<PathBuf>,
}

impl Launchers {
    fn find() -> Launchers {
        let on_path = ["mpirun", "mpiexec"].map(|name| find_program(Path::new(name)).ok());
        let on_path = on_path.into_iter().flatten().next();
        // What it is linked to has the name by which it is told; where it was found may have the library beside it.
        let on_path =
            on_path.map(|found| vec![found.canonicalize().unwrap_or(found.clone()), found]);
        let (above, on_path) = (parents(), on_path.unwrap_or_default());
        match above.is_empty() {
            true => Launchers { first: on_path, later: Vec::new() },
            false => Launchers { first: above, later: on_path },
        }
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.first.iter().chain(&self.later)
    }
}

/// The interfaces to try, by what the launcher's variables say, else by the launchers that are there.
fn interfaces(launched: Option<&LaunchInfo>, launchers: &Launchers) -> Vec<Interface> {
    if let Some(interfaces) = launched.and_then(LaunchInfo::interfaces) {
        return interfaces;
    }
    let known = launchers.all().find_map(|program| Interface::of_launcher(program));
    let first = known.unwrap_or(if is_cray() { Interface::Mpich } else { Interface::OpenMpi });
    vec![first, first.other()]
}

/// The files to load, in order: the library beside the launcher; the one that the system finds (LD_LIBRARY_PATH); the one
/// beside another launcher; the one in the Python environment of this program.
fn candidates(interface: Interface, launchers: &Launchers) -> Vec<OsString> {
    let there = |program: &PathBuf| {
        let files = beside(program, interface).into_iter().filter(|file| file.exists());
        files.map(PathBuf::into_os_string).collect::<Vec<_>>()
    };
    let by_name = interface.files().iter().map(OsString::from);
    let own = std::env::current_exe().ok();
    let first = launchers.first.iter().flat_map(there).chain(by_name);
    first.chain(launchers.later.iter().chain(&own).flat_map(there)).collect()
}

/// Where the library of a launcher is, `bin` and `lib` being side by side.
fn beside(program: &Path, interface: Interface) -> Vec<PathBuf> {
    let Some(prefix) = program.parent().and_then(Path::parent) else { return Vec::new() };
    let folders = ["lib", "lib64", "lib/release"].map(|folder| prefix.join(folder));
    let files = |folder: &PathBuf| interface.files().iter().map(|file| folder.join(file)).collect();
    folders.iter().flat_map(|folder| -> Vec<PathBuf> { files(folder) }).collect()
}

/// The launchers among the processes above this one.
fn parents() -> Vec<PathBuf> {
    let names =
        ["mpirun", "mpiexec", "orterun", "orted", "prte", "hydra_pmi_proxy", "hydra_bstrap"];
    let program = |number| std::fs::read_link(format!("/proc/{number}/exe")).ok();
    let is_launcher = |program: &PathBuf| {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        names.iter().any(|launcher| name.starts_with(launcher))
    };
    process::ancestors().take(MOST_PARENTS).map_while(program).filter(is_launcher).collect()
}

/// The file of the MPI library of this process.
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) fn file() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let names = [Interface::OpenMpi, Interface::Mpich].map(Interface::files).concat();
    let mut files = maps.lines().filter_map(|line| line.split_once('/'));
    let is = |file: &str| {
        names.iter().any(|name| file.rsplit('/').next().unwrap_or(file).starts_with(name))
    };
    files.find(|(_, file)| is(file)).map(|(_, file)| PathBuf::from(format!("/{file}")))
}

fn without(launched: Option<&LaunchInfo>) -> Error {
    let forbids = format!("{CHOICE}=none forbids to load an MPI");
    Error::input(match launched {
        Some(launched) => format!(
            "{}, but {forbids}: each process would run the whole job; unset it, or start gridmpi without a launcher",
            launched.says()
        ),
        None => format!("{forbids}; unset it before a launcher starts gridmpi"),
    })
}

fn not_found(
    launched: Option<&LaunchInfo>,
    interfaces: &[Interface],
    failed: &[String],
    launchers: &Launchers,
) -> Error {
    let said = launched.map(|launched| format!("{}, but ", launched.says())).unwrap_or_default();
    let names = interfaces.iter().map(|i| format!("{} ({})", i.files().join(" or "), i.name()));
    let names = names.collect::<Vec<_>>().join(" and for ");
    let near: Vec<String> = launchers.all().map(|program| program.display().to_string()).collect();
    let near = match near.is_empty() {
        true => String::new(),
        false => format!("beside {}, ", near.join(", ")),
    };
    let why = failed.join("; ");
    let advice = interfaces[0].advice();
    let alone = launched.map_or("", LaunchInfo::or_alone);
    Error::input(format!(
        "{said}no MPI library can be loaded that fits: looked for {names}, {near}in LD_LIBRARY_PATH and where the system has libraries, and beside gridmpi ({why}); {advice}{alone}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_are_known_by_their_names_or_by_what_is_beside_them() {
        for (name, interface) in [
            ("/usr/bin/orterun", Interface::OpenMpi),
            ("/usr/bin/mpirun.openmpi", Interface::OpenMpi),
            ("/x/bin/prted", Interface::OpenMpi),
            ("/usr/bin/mpiexec.hydra", Interface::Mpich),
            ("/usr/bin/mpirun.mpich", Interface::Mpich),
        ] {
            assert_eq!(Interface::of_launcher(Path::new(name)), Some(interface), "{name}");
        }
        let prefix = tempfile::tempdir().unwrap();
        let mpirun = prefix.path().join("bin/mpirun");
        assert_eq!(Interface::of_launcher(&mpirun), None);
        std::fs::create_dir(prefix.path().join("lib64")).unwrap();
        std::fs::write(prefix.path().join("lib64").join(Interface::Mpich.files()[0]), "").unwrap();
        assert_eq!(Interface::of_launcher(&mpirun), Some(Interface::Mpich));
    }

    #[test]
    fn the_library_of_the_launcher_comes_before_that_of_the_system_and_of_path() {
        let folder = tempfile::tempdir().unwrap();
        let with_library = |name: &str| {
            let prefix = folder.path().join(name);
            std::fs::create_dir_all(prefix.join("lib")).unwrap();
            let library = prefix.join("lib").join(Interface::OpenMpi.files()[0]);
            std::fs::write(&library, "").unwrap();
            (prefix.join("bin/mpirun"), library.into_os_string())
        };
        let ((above, of_above), (on_path, of_path)) = (with_library("a"), with_library("b"));
        let launchers = Launchers { first: vec![above], later: vec![on_path] };
        let files = candidates(Interface::OpenMpi, &launchers);
        assert_eq!(files[..3], [of_above, Interface::OpenMpi.files()[0].into(), of_path]);
        let files = candidates(Interface::Mpich, &launchers);
        assert_eq!(files[0], *Interface::Mpich.files()[0]);
    }
}
