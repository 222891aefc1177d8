//! The state of a run, or of a job and of its parts, and how it is told.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::job::STORE_FILE;
#[cfg(feature = "jobs")]
use crate::model::JobPart;
use crate::rank0::status::{Life, Liveness, RunState, Status};
use crate::report::text::words;
use crate::store::{Folder, StoreReader};
use crate::util::error::{Error, Exit, Result};

/// The exit code of a job that did all its runs, some of which failed.
const GAPS: u8 = Exit::SomeFailed as u8;

/// The state of a run, and whether it is still running.
pub(super) struct Standing {
    pub(super) status: Status,
    pub(super) life: Life,
    /// For a run that has died, the number of runs in its store.
    pub(super) stored: Option<u64>,
    /// For a run that has ended: a sentence about runs of another crunch.
    pub(super) kept: Option<String>,
    /// The parts of the job, if it has some.
    #[cfg(feature = "jobs")]
    pub(super) parts: Vec<PartStanding>,
}

impl Standing {
    pub(super) fn new(status: Status, life: Life) -> Standing {
        Standing {
            status,
            life,
            stored: None,
            kept: None,
            #[cfg(feature = "jobs")]
            parts: Vec::new(),
        }
    }

    pub(super) fn has_parts(&self) -> bool {
        #[cfg(feature = "jobs")]
        return !self.parts.is_empty();
        #[cfg(not(feature = "jobs"))]
        false
    }

    /// A line for each part of the job, if it has some.
    pub(super) fn part_lines(&self) -> Vec<String> {
        #[cfg(feature = "jobs")]
        return self.parts.iter().map(PartStanding::line).collect();
        #[cfg(not(feature = "jobs"))]
        Vec::new()
    }

    /// Whether it is still running, as far as is known.
    pub(super) fn is_going(&self) -> bool {
        matches!(self.life, Life::Alive | Life::Silent(_))
    }
}

/// What is known of one part.
#[cfg(feature = "jobs")]
pub(super) struct PartStanding {
    pub(super) part: JobPart,
    /// Nothing if it has not begun.
    pub(super) standing: Option<Standing>,
    /// Why its state is not known, if it has begun.
    pub(super) trouble: Option<String>,
}

#[cfg(feature = "jobs")]
impl PartStanding {
    pub(super) fn of(
        part: JobPart,
        folder: &Path,
        liveness: &mut Liveness,
        patient: bool,
    ) -> PartStanding {
        if !folder.join(STORE_FILE).is_file() {
            let has_begun = Folder::is_free(folder) == Some(false);
            let trouble = has_begun.then(|| "has just begun".to_string());
            return PartStanding { part, standing: None, trouble };
        }
        match stand_by(folder, liveness, patient) {
            Ok(standing) => PartStanding { part, standing: Some(standing), trouble: None },
            Err(error) => PartStanding { part, standing: None, trouble: Some(error.to_string()) },
        }
    }

    /// Whether it has done all its tasks.
    pub(super) fn is_complete(&self) -> bool {
        let is_complete = |standing: &Standing| {
            standing.life == Life::Ended && standing.status.state == RunState::Complete
        };
        self.standing.as_ref().is_some_and(is_complete)
    }

    pub(super) fn is_going(&self) -> bool {
        self.standing.as_ref().is_some_and(Standing::is_going)
    }

    /// A line for it.
    pub(super) fn line(&self) -> String {
        let part = self.part;
        match (&self.standing, &self.trouble) {
            (Some(standing), _) => {
                let mut line = format!("{part}: {}; {}", state(standing), progress(standing));
                if let Some(slurm) = &standing.status.slurm {
                    let _ = write!(line, "; {}", slurm.line(standing.is_going()));
                }
                line
            }
            (None, Some(trouble)) => format!("{part}: {trouble}"),
            (None, None) => format!("{part}: has not begun"),
        }
    }

    fn json(&self) -> Result<Json> {
        let mut json = match &self.standing {
            Some(standing) => json(standing)?,
            None => json!({ "state": null, "trouble": self.trouble }),
        };
        json["part"] = json!({ "number": self.part.number, "of": self.part.of });
        Ok(json)
    }
}

pub(super) fn json(standing: &Standing) -> Result<Json> {
    let mut json = serde_json::to_value(&standing.status)
        .map_err(|error| Error::unexpected(format!("no JSON: {error}")))?;
    let (life, why) = match &standing.life {
        Life::Alive => ("alive", None),
        Life::Silent(seconds) => ("silent", Some(format!("for {seconds:.0} s"))),
        Life::Ended => ("ended", None),
        Life::Died(why) => ("died", Some(why.clone())),
    };
    json["life"] = json!(life);
    json["life_why"] = json!(why);
    json["stored"] = json!(standing.stored);
    json["kept"] = json!(standing.kept);
    #[cfg(feature = "jobs")]
    if !standing.parts.is_empty() {
        json["parts"] = standing.parts.iter().map(PartStanding::json).collect::<Result<Json>>()?;
    }
    Ok(json)
}

/// Determines the state of a run: from its status file while it runs, from its store once it has ended. If it
/// is `patient`, a run that seems silent gets a moment to show itself.
pub(super) fn stand_by(folder: &Path, liveness: &mut Liveness, patient: bool) -> Result<Standing> {
    let checked = if patient { liveness.check_twice()? } else { liveness.check()? };
    match checked {
        Some((status, life @ (Life::Alive | Life::Silent(_)))) => Ok(Standing::new(status, life)),
        Some((status, Life::Ended)) => {
            let reader = StoreReader::into(folder)?;
            // The store of a start that has failed may not know it.
            let failed = (status.state == RunState::Failed).then(|| status.clone());
            let failed = failed.filter(|status| status.is_of_last_start(folder));
            let mut settled = status.settled(&reader)?;
            if let (Some(failed), false) = (failed, settled.state.is_end()) {
                let Status { state, words, exit_code, .. } = failed;
                settled = Status { state, words, exit_code, ..settled };
            }
            if !settled.state.is_end() {
                return unheard(folder, &reader);
            }
            let kept = reader.results.kept()?;
            Ok(Standing { kept, ..Standing::new(settled, Life::Ended) })
        }
        Some((status, died)) => {
            let stored = StoreReader::into(folder).and_then(|reader| reader.tally()).ok();
            let stored = stored.map(|(runs, _)| runs);
            Ok(Standing { stored, ..Standing::new(status, died) })
        }
        None if !folder.join(STORE_FILE).exists() => Err(nothing_yet(folder)),
        None => unheard(folder, &StoreReader::into(folder)?),
    }
}

/// The error before a run has begun, or for a folder that was never meant to hold one.
fn nothing_yet(folder: &Path) -> Error {
    let why = match (Folder::is_free(folder), Folder::holder(folder)) {
        (Some(false), Some((process, host))) => {
            format!("process {process} on {host} has just begun; ask again in a moment")
        }
        _ => "give the folder that a run writes, results/NAME mostly, in the folder where it was started; \
              a batch job has none before it begins: squeue --me says whether it waits and why; if it is \
              not there, its log (NAME-JOB.log) says why it has ended"
            .to_string(),
    };
    Error::input(format!("results folder {}: nothing is there yet: {why}", folder.display()))
}

/// The state of a start without a status file: from its store and its lock.
fn unheard(folder: &Path, reader: &StoreReader) -> Result<Standing> {
    let mut status = Status::of_store(reader)?;
    let life = match status.state.is_end() {
        true => Life::Ended,
        false => Liveness::of(folder).claimed(&status),
    };
    if life == Life::Alive {
        status.words = Some("it has just begun".to_string());
    }
    let kept = reader.results.kept()?;
    Ok(Standing { kept, ..Standing::new(status, life) })
}

/// The first line: name and state.
pub(super) fn headline(standing: &Standing) -> String {
    format!("{}: {}", standing.status.name, state(standing))
}

pub(super) fn state(standing: &Standing) -> String {
    let Status { state, exit_code, host, process, words, .. } = &standing.status;
    let why = words.as_ref().map_or(String::new(), |words| format!(" ({words})"));
    match &standing.life {
        Life::Alive if standing.has_parts() => format!("{}{why}", state.name()),
        Life::Alive => {
            format!("{}{why}, rank 0 is process {process} on {host}", state.name())
        }
        Life::Silent(seconds) => format!(
            "{}{why}, but process {process} on {host} has been silent for {seconds:.0} s",
            state.name()
        ),
        Life::Ended if *state == RunState::Complete && *exit_code == Some(GAPS) => {
            format!("finished, but not complete{why}")
        }
        Life::Ended => format!("{}{why}", state.name()),
        Life::Died(why) => format!("HAS DIED: {why}"),
    }
}

/// The progress, in one line.
pub(super) fn progress(standing: &Standing) -> String {
    let status = &standing.status;
    let mut line = format!(
        "{} ({})",
        words::runs_of(status.done, status.skipped, status.tasks),
        words::percent(status.progress())
    );
    let _ = write!(line, ", {} failed", words::count(status.failed));
    if standing.is_going() {
        let _ = write!(line, ", {} running", words::count(status.running));
        match status.rate {
            Some(rate) if rate >= 1.0 => {
                let _ = write!(line, "; {rate:.1}/s");
            }
            Some(rate) => {
                let _ = write!(line, "; one in {}", words::seconds(1.0 / rate));
            }
            None => line += "; no rate yet",
        }
        if let Some(left) = status.seconds_left {
            let most = if status.skipped > 0 { "at most " } else { "" };
            let _ = write!(line, ", {most}{} left", words::seconds(left));
        }
    }
    if status.reused > 0 {
        let _ = write!(line, "; {} reused", words::count(status.reused));
    }
    if status.stopped > 0 {
        let _ = write!(line, "; {} stopped early", words::things(status.stopped, "point"));
    }
    if status.unasked > 0 {
        let of_them = words::count(status.unasked);
        let _ = write!(line, "; {of_them} of the skipped runs are stored and count nowhere");
    }
    line
}
