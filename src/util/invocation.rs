//! How this process was called: the command that a person typed, as far as the system tells it.

use std::path::Path;

use crate::util::process;

/// A command line, and the folder in which it was given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Invocation {
    pub(crate) words: Vec<String>,
    pub(crate) folder: String,
}

/// Programs that start the ranks of a job on behalf of the person who calls them.
const LAUNCHERS: [&str; 6] = ["mpirun", "mpiexec", "mpiexec.hydra", "orterun", "prterun", "srun"];

/// Helpers of launchers, which nobody calls.
const DAEMONS: [&str; 5] = ["hydra_pmi_proxy", "orted", "prted", "prte", "pmi_proxy"];

/// How far up a launcher is looked for.
const GENERATIONS: usize = 8;

impl Invocation {
    /// That of this process or, if a launcher on this host has started it, that of the launcher.
    pub(crate) fn of_this_process() -> Invocation {
        let own: Vec<String> =
            std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
        let folder = std::env::current_dir().unwrap_or_default().display().to_string();
        let above = ancestors().take(GENERATIONS);
        match launched(&own, above) {
            Some((words, number)) => {
                let there = std::fs::read_link(format!("/proc/{number}/cwd"));
                let folder = there.map_or(folder, |there| there.display().to_string());
                Invocation { words, folder }
            }
            None => Invocation { words: own, folder },
        }
    }
}

/// The command lines of the processes above this one, nearest first.
fn ancestors() -> impl Iterator<Item = (Vec<String>, u32)> {
    let all = process::ancestors().take_while(|number| *number > 1);
    all.map_while(|number| Some((words_of(number)?, number)))
}

fn words_of(number: u32) -> Option<Vec<String>> {
    let line = std::fs::read(format!("/proc/{number}/cmdline")).ok()?;
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    let words: Vec<String> =
        line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into()).collect();
    (!line.is_empty()).then_some(words)
}

/// The outermost launcher in an unbroken line of them, or the verb `launch` of this program above it.
fn launched(
    own: &[String],
    above: impl Iterator<Item = (Vec<String>, u32)>,
) -> Option<(Vec<String>, u32)> {
    let mut found: Option<(Vec<String>, u32)> = None;
    for (words, number) in above {
        let is_own = own.first().map(|word| name(word)) == words.first().map(|word| name(word));
        let program = words.first().map_or("", |word| name(word));
        if is_own && found.is_some() && words.get(1).is_some_and(|verb| verb == "launch") {
            return Some((words, number));
        }
        match program {
            _ if LAUNCHERS.contains(&program) => found = Some((words, number)),
            _ if DAEMONS.contains(&program) => {}
            _ => break,
        }
    }
    found
}

fn name(word: &str) -> &str {
    Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launcher_is_what_a_person_typed() {
        let words = |line: &str| line.split(' ').map(String::from).collect::<Vec<_>>();
        let found = |above: &[&str]| {
            let above = above.iter().map(|line| words(line)).zip(1..);
            launched(&words("/opt/bin/gridmpi job.toml"), above).map(|(words, _)| words.join(" "))
        };
        assert_eq!(
            found(&["mpirun -n 3 gridmpi job.toml", "bash"]).as_deref(),
            Some("mpirun -n 3 gridmpi job.toml")
        );
        let launch = "gridmpi launch -n 3 job.toml";
        assert_eq!(
            found(&["/usr/bin/orterun -n 3 gridmpi", launch, "bash"]).as_deref(),
            Some(launch)
        );
        assert_eq!(
            found(&["hydra_pmi_proxy --x", "mpiexec -n 2 gridmpi", "sh"]).as_deref(),
            Some("mpiexec -n 2 gridmpi")
        );
        assert_eq!(found(&["orted -mca x", "sshd"]), None);
        // A run of another gridmpi is not its caller's command.
        assert_eq!(found(&["gridmpi outer.toml", "mpirun -n 2 gridmpi outer.toml"]), None);
        assert_eq!(found(&["bash", "mpirun -n 2 x"]), None);
    }

    #[test]
    fn a_process_knows_its_own_words() {
        let own = Invocation::of_this_process();
        assert!(!own.words.is_empty() && own.folder.starts_with('/'), "{own:?}");
        assert!(ancestors().next().is_some_and(|(words, number)| !words.is_empty() && number > 1));
    }
}
