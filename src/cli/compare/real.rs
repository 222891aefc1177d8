//! Runs the strategies for real on this machine's threads, to compare with the prediction.

use crate::cli::compare::Case;
use crate::cli::compare::plays::{MeasuredRun, StrategyResults, Which};
use crate::cli::run;
use crate::executor::ReadyChildren;
use crate::job::{CrunchSpec, Job, PythonModules};
use crate::master::Strategy;
use crate::model::Order;
use crate::rank0::settings::Settings;
use crate::report::text::words;
use crate::study::run::{FirstPlace, run_job};
use crate::util::error::Result;
use crate::util::{machine, signals};

/// Runs every strategy that can run, one after another.
pub(super) fn measure(case: &Case, text: &str, lineup: &mut StrategyResults) -> Result<()> {
    let cores = machine::cores();
    if cores < case.workers && !matches!(case.job.crunch, CrunchSpec::Multiply { .. }) {
        log::warn!(
            "{} threads share {cores} cores: tasks that compute take longer than predicted",
            case.workers
        );
    }
    signals::take();
    for entry in &mut lineup.entries {
        let (strategy, order) = match entry.which {
            Which::Strategy(strategy, order) => (strategy, order),
            Which::Stopping => (Strategy::Flattened, Order::Grid),
            Which::Maps => continue,
        };
        let job = match (entry.which, &case.stopping) {
            (Which::Stopping, Some(with)) => Job { nest: with.nest.clone(), ..case.job.clone() },
            _ => case.job.clone(),
        };
        if let Some(played) = entry.played() {
            log::info!("{}: about {}", entry.which.name(), words::seconds(played.makespan));
        }
        let settings = Settings {
            strategy,
            order: Some(order),
            expected: Some(case.known.clone()),
            ..Settings::default().threads(case.workers).no_store()
        };
        let checked = (PythonModules::default(), ReadyChildren::default());
        let prepare = |_: FirstPlace| Ok(run::work(job, text.to_string(), checked));
        if let Some(finished) = run_job(None, &settings, None, prepare)? {
            let (seconds, tally) = (finished.timing.crunch.as_secs_f64(), finished.tally);
            let (runs, failed) = (tally.done, tally.failed);
            entry.measured = Some(MeasuredRun { seconds, runs, failed });
        }
    }
    Ok(())
}
