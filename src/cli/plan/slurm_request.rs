//! How many nodes and how much time to request from Slurm, based on recorded durations.

use std::time::Duration;

use crate::platform::slurm::script::ResourceRequest;

/// The remaining work, estimated from recorded durations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RemainingWork {
    /// Tasks that are not done.
    pub(crate) tasks: u64,
    /// Expected duration of a task, and the longest one recorded. (seconds)
    pub(crate) mean: f64,
    pub(crate) longest: f64,
}

/// Safety factor for predictions.
const SPARE: f64 = 1.25;
/// Time for startup and shutdown. (seconds)
const AROUND: f64 = 120.0;
/// Target time if the number of nodes is free: short jobs start sooner. (seconds)
pub(crate) const WANTED: f64 = 3600.0;
/// Limits of a request; what does not fit continues in another allocation. (seconds)
const MOST_TIME: f64 = 86_400.0;
const MOST_NODES: u32 = 32;
/// The request if nothing was recorded.
const UNKNOWN: ResourceRequest = ResourceRequest { nodes: 1, time: Duration::from_secs(3600) };

/// Fills in what the user left open. `threads` is the number of concurrent tasks per node.
pub(crate) fn propose(
    load: Option<&RemainingWork>,
    threads: u64,
    nodes: Option<u32>,
    time: Option<Duration>,
) -> ResourceRequest {
    let Some(load) = load else {
        return ResourceRequest {
            nodes: nodes.unwrap_or(UNKNOWN.nodes),
            time: time.unwrap_or(UNKNOWN.time),
        };
    };
    let work = load.tasks as f64 * load.mean * SPARE;
    let longest = load.longest * SPARE;
    let threads = threads.max(1);
    let nodes = nodes.unwrap_or_else(|| {
        let wanted = time.map_or(WANTED, |time| (time.as_secs_f64() - AROUND).max(60.0));
        let useful = load.tasks.div_ceil(threads).clamp(1, u64::from(MOST_NODES)) as u32;
        ((work / wanted.max(longest) / threads as f64).ceil() as u32).clamp(1, useful)
    });
    let time = time.unwrap_or_else(|| {
        let rounds = load.tasks.div_ceil(threads * u64::from(nodes)) as f64;
        limit(rounds * load.mean, load.longest)
    });
    ResourceRequest { nodes, time }
}

/// The time to request for this much expected work and this longest task. (seconds)
pub(crate) fn limit(work: f64, longest: f64) -> Duration {
    let longest = longest * SPARE;
    let seconds = (work * SPARE).max(longest) + AROUND;
    let most = MOST_TIME.max(longest + AROUND);
    let step = if seconds > 3600.0 { 1800.0 } else { 300.0 };
    Duration::from_secs_f64((seconds.min(most) / step).ceil() * step)
}

/// How long before its time limit Slurm should send a signal: enough for running tasks to finish.
pub(crate) fn warning(load: Option<&RemainingWork>, time: Duration) -> Duration {
    let longest = load.map_or(0.0, |load| load.longest * SPARE + 30.0);
    let seconds = longest.max(60.0).min(time.as_secs_f64() / 4.0);
    Duration::from_secs(seconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: f64) -> Duration {
        Duration::from_secs_f64(hours * 3600.0)
    }

    #[test]
    fn an_hour_on_as_many_nodes_as_that_takes() {
        let load = RemainingWork { tasks: 100_000, mean: 4.0, longest: 10.0 };
        let shape = propose(Some(&load), 16, None, None);
        assert_eq!(shape.nodes, 9);
        assert!((hours(1.0)..=hours(1.5)).contains(&shape.time), "{shape:?}");
        let few = RemainingWork { tasks: 20, mean: 600.0, longest: 700.0 };
        assert_eq!(propose(Some(&few), 16, None, None).nodes, 1);
        let huge = RemainingWork { tasks: 1 << 40, mean: 600.0, longest: 700.0 };
        assert_eq!(
            propose(Some(&huge), 16, None, None),
            ResourceRequest { nodes: 32, time: hours(24.0) }
        );
    }

    #[test]
    fn what_was_asked_for_stays() {
        let load = RemainingWork { tasks: 1_000, mean: 30.0, longest: 60.0 };
        let shape = propose(Some(&load), 10, Some(2), None);
        assert_eq!(shape.nodes, 2);
        let expected = 1_000.0 * 30.0 / 20.0;
        assert!(shape.time.as_secs_f64() > expected && shape.time < hours(1.0), "{shape:?}");
        let shape = propose(Some(&load), 10, None, Some(hours(0.25)));
        assert_eq!(shape, ResourceRequest { nodes: 5, time: hours(0.25) });
        assert_eq!(propose(None, 10, None, None), UNKNOWN);
    }

    #[test]
    fn the_longest_task_fits() {
        let load = RemainingWork { tasks: 4, mean: 90_000.0, longest: 100_000.0 };
        let shape = propose(Some(&load), 4, None, None);
        assert!(shape.time.as_secs_f64() >= 125_000.0, "{shape:?}");
        assert_eq!(warning(Some(&load), hours(1.0)), hours(0.25));
        assert_eq!(warning(None, Duration::from_secs(60)), Duration::from_secs(15));
        assert_eq!(warning(None, hours(1.0)), Duration::from_secs(60));
    }
}
