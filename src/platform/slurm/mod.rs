//! Reads the Slurm allocation of this process, from the environment and from Slurm's commands. A run has
//! to know when it ends, to shut down before.

#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) mod needs;
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) mod partition;
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) mod script;
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
mod step;

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::util::{clock, duration, machine, own_children};
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) use step::Step;

/// Time limit for Slurm's commands: their controller may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// The time before the end of the allocation that is reserved for last reports, the store, MPI and the
/// launcher to end, and to requeue the job: this minimum plus a hundredth of the time left, up to the
/// maximum.
const LEAST_MARGIN: Duration = Duration::from_secs(8);
const MOST_MARGIN: Duration = Duration::from_secs(60);
const MARGIN_SHARE: u32 = 100;

/// A clock that is less behind than this is taken to be right. (seconds)
const CLOCK_TOLERANCE: f64 = 2.0;

/// A Slurm allocation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Allocation {
    /// The job id as Slurm's commands take it: `12`, or `12_3` in an array.
    pub(crate) job: String,
    /// The node list in Slurm's notation: `n[1-3]`.
    pub(crate) nodes: String,
    /// Number of restarts.
    pub(crate) restarts: u32,
    /// When it ends by this host's clock, in seconds since 1970, if it has a limit and that is known.
    pub(crate) end: Option<f64>,
    /// How far at least this host's clock is behind Slurm's, in seconds.
    #[serde(skip)]
    behind: f64,
}

/// An allocation, and whether the remaining work is expected to fit into it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Booked {
    #[serde(flatten)]
    pub(crate) allocation: Allocation,
    /// Estimated time of the remaining work. (seconds)
    pub(crate) work_left: Option<f64>,
    /// Whether that is only a lower bound.
    #[serde(default)]
    pub(crate) at_least: bool,
    /// Whether it is expected to fit; unknown for a lower bound that would.
    pub(crate) fits: Option<bool>,
}

/// The time that the remaining work takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ExpectedWork {
    pub(crate) time: Duration,
    /// Whether that is only a lower bound.
    pub(crate) at_least: bool,
}

/// How long an allocation has to be for work of this duration: with the margin at its end, in whole minutes.
fn needed(work: Duration) -> Duration {
    let margin = (LEAST_MARGIN + work / MARGIN_SHARE).min(MOST_MARGIN);
    Duration::from_secs((work + margin).as_secs().div_ceil(60) * 60)
}

impl Booked {
    pub(crate) fn new(allocation: &Allocation, expected: Option<ExpectedWork>) -> Booked {
        Booked {
            fits: expected.and_then(|work| allocation.fits(SystemTime::now(), work)),
            work_left: expected.map(|work| work.time.as_secs_f64()),
            at_least: expected.is_some_and(|work| work.at_least),
            allocation: allocation.clone(),
        }
    }

    /// A line for the user; after the run (`going` is false) only job and nodes.
    #[cfg(feature = "cli")]
    pub(crate) fn line(&self, going: bool) -> String {
        let left = self.work_left.and_then(|left| Duration::try_from_secs_f64(left).ok());
        let expected = left.map(|time| ExpectedWork { time, at_least: self.at_least });
        match going {
            true => self.allocation.line(SystemTime::now(), expected),
            false => self.allocation.place(),
        }
    }
}

impl Allocation {
    /// The allocation of this process, if there is one. Asks Slurm for its end if the environment does not
    /// have it.
    pub(crate) fn detect() -> Option<Allocation> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let allocation = Allocation::from(variable, ask, SystemTime::now())?;
        if allocation.behind > 0.0 {
            log::warn!(
                "the clock of {} is at least {:.0} s behind Slurm's, and is corrected by that; its time should be set",
                machine::host(),
                allocation.behind
            );
        }
        Some(allocation)
    }

    /// Variables for the ranks, with the times of this host's clock.
    #[cfg(all(feature = "cli", feature = "mpi"))]
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let Some(end) = self.end.filter(|_| self.behind > 0.0) else { return Vec::new() };
        let begin = clock::since_1970();
        vec![
            ("SLURM_JOB_START_TIME", begin.floor().to_string()),
            ("SLURM_JOB_END_TIME", end.floor().to_string()),
        ]
    }

    fn from(
        variable: impl Fn(&str) -> Option<String>,
        ask: impl Fn(&str, &[&str]) -> Option<String>,
        now: SystemTime,
    ) -> Option<Allocation> {
        let job = machine::slurm_job_by(&variable)?;
        let nodes = variable("SLURM_JOB_NODELIST").or_else(|| variable("SLURM_NODELIST"));
        let restarts = variable("SLURM_RESTART_COUNT").and_then(|count| count.parse().ok());
        // Slurm sets it from 22.05 or 23.02 on. The time left, unlike the end, needs no time zone.
        let told = variable("SLURM_JOB_END_TIME").and_then(|end| end.parse::<f64>().ok());
        let end = told.or_else(|| {
            let left = left_by_squeue(&job, &ask).or_else(|| left_by_scontrol(&job, &ask))?;
            Some(clock::seconds(now + left))
        });
        // A job that begins in the future, by this host's clock.
        let begin = variable("SLURM_JOB_START_TIME").and_then(|begin| begin.parse::<f64>().ok());
        let behind = begin.map_or(0.0, |begin| begin - clock::seconds(now));
        let behind = if behind > CLOCK_TOLERANCE { behind } else { 0.0 };
        Some(Allocation {
            job,
            nodes: nodes.unwrap_or_default(),
            restarts: restarts.unwrap_or(0),
            end: end.map(|end| end - behind),
            behind,
        })
    }

    /// The time left.
    pub(crate) fn left(&self, now: SystemTime) -> Option<Duration> {
        let left = self.end? - clock::seconds(now);
        Some(Duration::try_from_secs_f64(left.max(0.0)).unwrap_or(Duration::MAX))
    }

    /// When all tasks must have ended, so that everything shuts down in order before the allocation ends.
    pub(crate) fn finish_by(&self, now: SystemTime) -> Option<SystemTime> {
        let left = self.left(now)?;
        let margin = (LEAST_MARGIN + left / MARGIN_SHARE).min(MOST_MARGIN);
        now.checked_add(left.saturating_sub(margin))
    }

    /// Whether work ends in time, if that is known.
    fn fits(&self, now: SystemTime, work: ExpectedWork) -> Option<bool> {
        let fits = now.checked_add(work.time)? <= self.finish_by(now)?;
        if fits && work.at_least { None } else { Some(fits) }
    }

    fn place(&self) -> String {
        let Allocation { job, nodes, restarts, .. } = self;
        let restarts = match restarts {
            0 => String::new(),
            1 => ", restarted once".to_string(),
            more => format!(", restarted {more} times"),
        };
        format!("Slurm job {job} on {nodes}{restarts}")
    }

    /// A line for the user: job, nodes, restarts, time left, and whether the remaining work is expected to
    /// fit, if that is known.
    pub(crate) fn line(&self, now: SystemTime, expected: Option<ExpectedWork>) -> String {
        let place = self.place();
        let Some(left) = self.left(now) else {
            return format!("{place}; when it ends is not known");
        };
        let fits = match expected {
            None => String::new(),
            Some(ExpectedWork { time: Duration::ZERO, .. }) => {
                "; nothing is left to do".to_string()
            }
            Some(work) => {
                let time = duration::in_words(work.time);
                let left = match work.at_least {
                    true => format!(
                        "at least {time} of work left: tasks run for longer than any has taken"
                    ),
                    false => format!("about {time} of work left"),
                };
                let needed = duration::in_words(needed(work.time));
                match self.fits(now, work) {
                    Some(true) => format!("; {left}, expected to fit"),
                    None => format!("; {left}"),
                    Some(false) if work.at_least => {
                        format!(
                            "; {left}, not expected to fit: it needs an allocation of more than {needed}"
                        )
                    }
                    Some(false) => {
                        format!(
                            "; {left}, not expected to fit: it needs an allocation of about {needed}"
                        )
                    }
                }
            }
        };
        format!("{place}, {} left{fits}", duration::in_words(left))
    }
}

fn left_by_squeue(job: &str, ask: impl Fn(&str, &[&str]) -> Option<String>) -> Option<Duration> {
    let said = ask("squeue", &["--noheader", "--job", job, "--format", "%L"])?;
    duration::parse(said.lines().next()?.trim())
}

fn left_by_scontrol(job: &str, ask: impl Fn(&str, &[&str]) -> Option<String>) -> Option<Duration> {
    let said = ask("scontrol", &["--oneliner", "show", "job", job])?;
    let value = |key: &str| said.split_whitespace().find_map(|word| word.strip_prefix(key));
    let (limit, run) = (value("TimeLimit=")?, value("RunTime=")?);
    Some(duration::parse(limit)?.saturating_sub(duration::parse(run)?))
}

/// The output of one of Slurm's commands or of a launcher; nothing if it fails, does not exist or does not
/// end.
pub(crate) fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
    let mut child = own_children::spawn(&mut command).ok()?;
    let mut out = child.stdout.take()?;
    let since = Instant::now();
    // The output fits into the pipe's buffer, so it can be read at the end.
    let status = loop {
        match child.try_wait().ok()? {
            Some(status) => break status,
            None if since.elapsed() > PATIENCE => {
                log::warn!("{program} does not answer");
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let mut said = String::new();
    out.read_to_string(&mut said).ok()?;
    status.success().then_some(said)
}

/// Number of cores of this rank in the allocation, if it is set.
pub(crate) fn cores() -> Option<usize> {
    cores_by(|name| std::env::var(name).ok())
}

fn cores_by(variable: impl Fn(&str) -> Option<String>) -> Option<usize> {
    variable("SLURM_JOB_ID")?;
    let cores = variable("SLURM_CPUS_PER_TASK")?.parse::<usize>().ok()?;
    (cores > 0).then_some(cores)
}

/// Number of cores that the job has on this node, if it is set.
pub(crate) fn cores_on_node() -> Option<usize> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<usize>().ok();
    number("SLURM_JOB_ID").and_then(|_| number("SLURM_CPUS_ON_NODE")).filter(|cores| *cores > 0)
}

/// The memory that the job has on this node, in bytes, if it is limited.
pub(crate) fn memory_on_node() -> Option<u64> {
    Some(memory(cores_on_node()?)? << 20)
}

/// Memory for this number of cores in the allocation, in MiB, if it is set.
pub(crate) fn memory(cores: usize) -> Option<u64> {
    memory_by(|name| std::env::var(name).ok(), cores as u64)
}

fn memory_by(variable: impl Fn(&str) -> Option<String>, cores: u64) -> Option<u64> {
    let number = |name: &str| variable(name)?.parse::<u64>().ok();
    variable("SLURM_JOB_ID")?;
    if let Some(each) = number("SLURM_MEM_PER_CPU").filter(|each| *each > 0) {
        return Some(each * cores);
    }
    let node = number("SLURM_MEM_PER_NODE").filter(|node| *node > 0)?; // 0 means all
    let of_node = number("SLURM_CPUS_ON_NODE")?.max(1);
    Some(node * cores.min(of_node) / of_node)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn variables<'a>(known: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| known.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string())
    }

    const NOBODY: fn(&str, &[&str]) -> Option<String> = |_, _| None;

    #[test]
    fn the_end_comes_from_the_environment_then_squeue_then_scontrol() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(Allocation::from(variables(&[]), NOBODY, now), None);
        let basic = [("SLURM_JOB_ID", "12"), ("SLURM_JOB_NODELIST", "n[1-3]")];
        let told = [&basic[..], &[("SLURM_JOB_END_TIME", "1600"), ("SLURM_RESTART_COUNT", "2")]];
        let of = |known: &[(&str, &str)], ask: fn(&str, &[&str]) -> Option<String>| {
            Allocation::from(variables(known), ask, now).unwrap()
        };
        let told = of(&told.concat(), NOBODY);
        assert_eq!((told.end, told.restarts, told.nodes.as_str()), (Some(1600.0), 2, "n[1-3]"));
        let squeue = of(&basic, |program, _| (program == "squeue").then(|| "1-00:01:40\n".into()));
        assert_eq!(squeue.end, Some(1_000.0 + 86_400.0 + 100.0));
        let scontrol = of(&basic, |program, _| {
            let said = "JobId=12 RunTime=00:00:20 TimeLimit=00:01:00 TimeMin=N/A";
            (program == "scontrol").then(|| said.into())
        });
        assert_eq!(scontrol.end, Some(1_040.0));
        assert_eq!(of(&basic, |_, _| Some("UNLIMITED".into())).end, None);
        let behind =
            [&basic[..], &[("SLURM_JOB_START_TIME", "1040"), ("SLURM_JOB_END_TIME", "1640")]];
        let behind = of(&behind.concat(), NOBODY);
        assert_eq!((behind.end, behind.behind), (Some(1_600.0), 40.0), "a clock 40 s behind");
        let begun =
            [&basic[..], &[("SLURM_JOB_START_TIME", "980"), ("SLURM_JOB_END_TIME", "1640")]];
        assert_eq!(of(&begun.concat(), NOBODY).end, Some(1_640.0));
        let array = [("SLURM_ARRAY_JOB_ID", "12"), ("SLURM_ARRAY_TASK_ID", "3")];
        // An element may have the id of its array, by which Slurm's commands mean all elements.
        let array = [&[("SLURM_JOB_ID", "12")][..], &array].concat();
        let element = of(&array, |_, words| words.contains(&"12_3").then(|| "1:00\n".into()));
        assert_eq!((element.job.as_str(), element.end), ("12_3", Some(1_060.0)));
    }

    #[test]
    fn there_is_time_to_end_in_order() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let ends = |end: f64| {
            let allocation = Allocation {
                job: "1".into(),
                nodes: "n1".into(),
                restarts: 0,
                end: Some(end),
                behind: 0.0,
            };
            let by = allocation.finish_by(now).unwrap();
            by.duration_since(now).unwrap().as_secs_f64()
        };
        assert_eq!(ends(1_100.0), 91.0);
        assert_eq!(ends(101_000.0), 100_000.0 - 60.0);
        assert_eq!(ends(1_001.0), 0.0, "too late already");
    }

    fn about(seconds: u64) -> Option<ExpectedWork> {
        Some(ExpectedWork { time: Duration::from_secs(seconds), at_least: false })
    }

    #[test]
    fn a_line_tells_what_a_user_asks_for() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let mut allocation = Allocation {
            job: "7".into(),
            nodes: "n[1-2]".into(),
            restarts: 1,
            end: Some(1_090.0),
            behind: 0.0,
        };
        let line = allocation.line(now, about(30));
        let expected = "Slurm job 7 on n[1-2], restarted once, 1 min 30 s left; about 30 s of work left, expected to fit";
        assert_eq!(line, expected);
        let long = allocation.line(now, about(300));
        assert!(
            long.ends_with("not expected to fit: it needs an allocation of about 6 min"),
            "{long}"
        );
        let bound = Some(ExpectedWork { at_least: true, ..about(30).unwrap() });
        let bound = allocation.line(now, bound);
        assert!(
            bound.ends_with("at least 30 s of work left: tasks run for longer than any has taken")
        );

        allocation.end = None;
        assert!(allocation.line(now, None).ends_with("when it ends is not known"));
    }

    #[test]
    fn cores_and_memory_are_the_allocations() {
        let by_node = [
            ("SLURM_JOB_ID", "1"),
            ("SLURM_CPUS_PER_TASK", "4"),
            ("SLURM_MEM_PER_NODE", "8000"),
            ("SLURM_CPUS_ON_NODE", "16"),
        ];
        assert_eq!(cores_by(variables(&by_node)), Some(4));
        assert_eq!(memory_by(variables(&by_node), 4), Some(2000));
        let by_core = [("SLURM_JOB_ID", "1"), ("SLURM_MEM_PER_CPU", "500")];
        assert_eq!(memory_by(variables(&by_core), 4), Some(2000));
        assert_eq!((cores_by(variables(&by_core)), memory_by(variables(&[]), 4)), (None, None));
    }
}
