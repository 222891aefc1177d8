//! Runs a job in this process's role: over MPI rank 0 is the master and every other rank a worker; without
//! MPI, one process is both, on threads.

use crate::rank0::types::{PreparedJob, RunResult};
#[cfg(feature = "mpi")]
use crate::wire::codec;
#[cfg(feature = "mpi")]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::executor::rust::ErasedStudy;
use crate::executor::{RANK0, ReadyChildren, Slot};
use crate::job::Job;
use crate::master::Strategy;
use crate::model::{Order, stop_of};
use crate::platform::launcher::LaunchInfo;
use crate::platform::slurm;
#[cfg(feature = "mpi")]
use crate::platform::{allowed, mpi_library};
#[cfg(feature = "mpi")]
use crate::rank0::dismiss_all;
use crate::rank0::session::{Session, WorkerPool};
use crate::rank0::settings::Settings;
use crate::util::error::{Error, Result};
#[cfg(feature = "mpi")]
use crate::util::panic::panic_text;
use crate::util::{machine, signals, thread};
#[cfg(feature = "mpi")]
use crate::wire::messages::ToWorker;
#[cfg(feature = "mpi")]
use crate::wire::transport::Hub;
use crate::wire::transport::Link;
use crate::wire::transport::threads::{self, ThreadLink};
use crate::worker::{self, WorkerConfig};

/// How long a worker process may be silent before its tasks go to others. It sends a heartbeat every
/// second, even during a long call of crunch. A worker that was only delayed is accepted again.
#[cfg(feature = "mpi")]
const LEASE: Duration = Duration::from_secs(10);

/// How long the threads of dismissed workers may take to end.
const LAST_ENDS: Duration = Duration::from_secs(10);

/// The place of the first worker in the process of rank 0, by the number of tasks; rank 0's own if none works there.
pub(crate) type FirstPlace<'a> = &'a dyn Fn(u64) -> Slot;

/// Runs the job that `prepare` makes on rank 0, over MPI or threads, depending on how this process was
/// started. Worker ranks get nothing. `native` is the user's study, which every rank has.
pub(crate) fn run_job(
    launched: Option<LaunchInfo>,
    settings: &Settings,
    study: Option<Arc<ErasedStudy>>,
    prepare: impl FnOnce(FirstPlace) -> Result<PreparedJob>,
) -> Result<Option<RunResult>> {
    match launched {
        Some(launched) if launched.size != Some(1) => {
            // The only process of a batch script may use the node's threads, if it asks for threads.
            if launched.is_batch_script() && settings.threads.is_some() {
                return over_threads(true, settings, study, prepare);
            }
            over_ranks(&launched, settings, study, prepare)
        }
        launched => over_threads(launched.is_some(), settings, study, prepare),
    }
}

/// One process is rank 0 and the workers. A launcher may have bound it to few cores.
fn over_threads(
    launched: bool,
    settings: &Settings,
    study: Option<Arc<ErasedStudy>>,
    prepare: impl FnOnce(FirstPlace) -> Result<PreparedJob>,
) -> Result<Option<RunResult>> {
    if settings.is_main {
        signals::take();
    }
    let cores = slurm::cores().unwrap_or_else(machine::cores);
    let threads = settings.threads.unwrap_or(cores);
    let workers = |tasks: u64| tasks.min(threads as u64) as usize;
    let config = |workers: usize| {
        let cores = (cores / workers.max(1)).max(1);
        WorkerConfig { threads: 1, cores, is_process: false }
    };
    let first = |tasks| config(workers(tasks)).slot(1, 0);
    let work = prepare(&first)?;
    check_strategy(settings, threads)?;
    check_stop(settings, &work.job)?;
    if launched {
        machine::warn_if_crowded(0, &machine::host(), threads as u32, machine::cores() as u32);
    }
    let workers = workers(work.job.nest.tasks());
    let ready = work.ready.clone();
    let pool = WorkerPool { lowest: 1, workers, threads: 1, lease: None };
    let session = Session::new(settings, study.clone(), work, pool)?;
    ready.end(RANK0); // its reducer has taken what it needs
    let (mut hub, links) = threads::connect(1, workers);
    let config = config(workers);
    let mut joined = Vec::new();
    for link in links {
        joined.push(start_worker(link, config, study.clone(), ready.clone())?);
    }
    // If rank 0 fails, it does not wait for running tasks.
    let served = session.serve(&mut hub)?;
    if served.all_left {
        let end = Instant::now() + LAST_ENDS;
        for thread in joined {
            while !thread.is_finished() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    served.finish().map(Some)
}

/// Starts a worker in a thread of this process.
fn start_worker(
    link: ThreadLink,
    config: WorkerConfig,
    study: Option<Arc<ErasedStudy>>,
    ready: ReadyChildren,
) -> Result<JoinHandle<Result<()>>> {
    let name = format!("rank {}", link.rank());
    thread::start(&name, move || worker::work(Box::new(link), config, study.as_ref(), &ready))
}

#[cfg(feature = "mpi")]
fn over_ranks(
    launched: &LaunchInfo,
    settings: &Settings,
    study: Option<Arc<ErasedStudy>>,
    prepare: impl FnOnce(FirstPlace) -> Result<PreparedJob>,
) -> Result<Option<RunResult>> {
    use crate::wire::transport::mpi::MpiRanks;

    mpi_library::load_for(Some(launched))?; // every rank finds the same; rank 0 says what is wrong
    if launched.is_bare_step() {
        return Err(launched.mismatch()); // every rank finds this; rank 0 prints it
    }
    // If a rank died before all have joined, the others would wait for ever.
    signals::set_consumed(true);
    if settings.is_main {
        signals::take();
    }
    let mut ranks = MpiRanks::initialize(launched.size.unwrap_or(0))?;
    let beats = match ranks.own_rank() {
        0 => ranks.beat(codec::encode(&ToWorker::Heartbeat).into()),
        _ => Ok(()),
    };
    if let Err(error) = beats {
        dismiss_all(&mut ranks)?;
        return Err(error);
    }
    if ranks.size() == 1 {
        return if launched.may_be_alone() {
            over_threads(true, settings, study, prepare)
        } else {
            Err(launched.mismatch()) // every rank finds this; rank 0 prints it
        };
    }
    let cores = slurm::cores().unwrap_or_else(|| allowed::cores_of_rank(launched.on_host));
    let threads = settings.threads.map_or(1, |threads| threads as u32);
    let config = WorkerConfig { threads, cores, is_process: true };
    if ranks.own_rank() > 0 {
        let ready = ReadyChildren::default();
        return worker::work(Box::new(ranks), config, study.as_ref(), &ready).map(|()| None);
    }
    let session = || run_rank0(&mut ranks, settings, config, study, prepare);
    let ended = catch_unwind(AssertUnwindSafe(session));
    ended.unwrap_or_else(|panic| {
        let error = Error::bug(panic_text(panic.as_ref()));
        ranks.abort(&error); // otherwise the workers would never be dismissed
        Err(error)
    })
}

#[cfg(feature = "mpi")]
fn run_rank0(
    ranks: &mut dyn Hub,
    settings: &Settings,
    config: WorkerConfig,
    study: Option<Arc<ErasedStudy>>,
    prepare: impl FnOnce(FirstPlace) -> Result<PreparedJob>,
) -> Result<Option<RunResult>> {
    use crate::wire::transport::with_local::WithLocal;

    signals::set_consumed(false);
    let own = usize::from(settings.master_works);
    let (workers, threads) = (ranks.workers() + own, config.threads);
    let pool = WorkerPool { lowest: 1 - own, workers, threads, lease: Some(LEASE) };
    let place = match settings.master_works {
        true => config.slot(0, 0),
        false => RANK0,
    };
    let session = match signals::asked() {
        Some(asked) => Err(Error::interrupted(format!("{}: nothing was started yet", asked.name))),
        None => check_strategy(settings, workers * threads as usize)
            .and_then(|()| prepare(&|_| place))
            .and_then(|work| {
                check_stop(settings, &work.job)?;
                let ready = work.ready.clone();
                Ok((Session::new(settings, study.clone(), work, pool)?, ready))
            }),
    };
    match session {
        Ok((session, ready)) => {
            if !settings.master_works || place != RANK0 {
                ready.end(RANK0); // its reducer has taken what it needs
            }
            let served = if settings.master_works {
                let (hub, links) = threads::connect(0, 1);
                let config = WorkerConfig { is_process: false, ..config };
                for link in links {
                    // Without its own worker rank 0 goes on: the hub reports its end.
                    if let Err(error) = start_worker(link, config, study.clone(), ready.clone()) {
                        log::error!("rank 0 does not work itself: {error}");
                    }
                }
                session.serve(&mut WithLocal::new(ranks, hub))?
            } else {
                session.serve(ranks)?
            };
            let all_left = served.all_left;
            let finished = served.finish();
            if let (false, Err(error)) = (all_left, &finished) {
                ranks.abort(error); // MPI_Finalize would wait for busy workers
            }
            finished.map(Some)
        }
        Err(error) => {
            dismiss_all(ranks)?;
            Err(error)
        }
    }
}

#[cfg(not(feature = "mpi"))]
fn over_ranks(
    launched: &LaunchInfo,
    settings: &Settings,
    study: Option<Arc<ErasedStudy>>,
    prepare: impl FnOnce(FirstPlace) -> Result<PreparedJob>,
) -> Result<Option<RunResult>> {
    if launched.may_be_alone() {
        return over_threads(true, settings, study, prepare);
    }
    Err(launched.without_mpi())
}

/// Fails if there are too few workers for the strategy.
fn check_strategy(settings: &Settings, workers: usize) -> Result<()> {
    let strategy = settings.strategy;
    let needs = strategy.needs();
    if needs > workers as u64 {
        return Err(Error::input(format!(
            "--strategy {strategy}: that takes {needs} workers, and there are {workers}; --threads or more ranks give more"
        )));
    }
    Ok(())
}

/// Fails if points of a loop are to be stopped and the settings are not made for that.
fn check_stop(settings: &Settings, job: &Job) -> Result<()> {
    let Some((level, _)) = stop_of(&job.nest) else { return Ok(()) };
    let name = &job.nest.loops()[level].name;
    let refused = |what: &str| {
        Err(Error::input(format!(
            "loop '{name}' stops points, which {what} cannot; take stop out of it for that"
        )))
    };
    #[cfg(all(feature = "cli", feature = "jobs"))]
    if settings.part.is_some() {
        return refused("a part of a job");
    }
    if settings.strategy != Strategy::Flattened {
        return refused("another strategy than \"flattened\"");
    }
    match settings.order.unwrap_or(job.policy.order) {
        Order::Grid => Ok(()),
        _ => refused("another order than that of the grid"),
    }
}
