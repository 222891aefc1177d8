//! What a command line must not have where each attempt runs in a folder of its own.

use std::borrow::Cow;

use crate::job::combined::relative_word;
use crate::job::counted::{names_in, shell_words};
use crate::job::placeholders::Template;
use crate::job::shell::script;
use crate::job::{CrunchSpec, Job, RunFacts};
use crate::model::{Loop, Points};
use crate::util::error::Result;

impl Job {
    /// Refuses files beside the job as arguments, which would be missing in the folder of an attempt.
    pub(super) fn check_workdir(&self) -> Result<()> {
        if self.workdir.is_none() {
            return Ok(());
        }
        let (key, words) = match &self.crunch {
            CrunchSpec::Command(words) => {
                let words = words.all().into_iter().skip(1).filter_map(|w| Template::parse(w).ok());
                ("crunch.command", words.collect())
            }
            CrunchSpec::Shell(line) => {
                let words = Template::parse(&line.line).map(|line| shell_words(&line));
                let words = words.unwrap_or_default().into_iter().map(|word| word.template);
                ("crunch.shell", words.collect())
            }
            _ => ("", Vec::new()),
        };
        let words = words.iter().map(|word| word.in_job(&self.folder));
        for word in words.filter_map(|word| word.plain()) {
            let found = names_in(&word).find(|name| self.is_beside(name));
            if let Some(name) = found {
                return Err(self.wrong(key, self.refusal(name, name)));
            }
        }
        if let Some((word, name)) = relative_word(self) {
            return Err(self.wrong(key, self.refusal(&word, &name)));
        }
        self.check_folder_in_code(key)
    }

    /// Whether a name is that of a file beside the job that no attempt has in its folder.
    pub(super) fn is_beside(&self, name: &str) -> bool {
        let is_placed = self.workdir.as_ref().is_some_and(|spec| spec.has(name));
        !name.starts_with('/') && !is_placed && self.folder.join(name).is_file()
    }

    fn refusal(&self, word: &str, name: &str) -> String {
        let plain = word.trim_start_matches("./");
        let what = if word == name { String::new() } else { format!(" (such as \"{name}\")") };
        format!(
            "\"{word}\"{what} is a file beside the job, and each attempt runs in a folder of its own: write {{gridmpi.job}}/{plain}, or let it be put there with copy = [\"{plain}\"] in [crunch.workdir]; if a run has written it, move it away"
        )
    }

    /// Points that name files have the job's folder in front, also where another shell reads them as code.
    fn check_folder_in_code(&self, key: &str) -> Result<()> {
        let mut loops: Vec<Loop> = self
            .nest
            .loops()
            .iter()
            .enumerate()
            .map(|(level, l)| {
                let absolute = |point| match self.passed(level, &l.points.get(point)) {
                    Cow::Owned(value) => Some(value),
                    Cow::Borrowed(_) => None,
                };
                let first = match l.points.may_name_files() {
                    true => (0..l.points.len()).find_map(absolute),
                    false => None,
                };
                match first {
                    Some(value) => Loop { points: Points::List(vec![value]), ..l.clone() },
                    None => l.clone(),
                }
            })
            .collect();
        let has_gpus = self.policy.needs.gpus.is_some();
        loops.push(RunFacts::of_any(&self.folder, true, has_gpus).as_loop());
        let checked = match &self.crunch {
            CrunchSpec::Command(words) => script::check_command(words, &loops),
            CrunchSpec::Shell(line) => script::check(line, &loops),
            _ => Ok(()),
        };
        checked.map_err(|why| self.wrong(key, why))
    }
}
