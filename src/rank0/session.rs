//! Rank 0 of one run: opens the store, serves the workers, and writes the results.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use crate::executor::kept_results::kept_results;
use crate::executor::rust::ErasedStudy;
#[cfg(feature = "cli")]
use crate::job::lookup;
use crate::job::{
    CommonEnvironment, Digests, FINAL_FOLDER, FileDigests, FinalIdentity, FinalSpec, Identity, Job,
    PythonModules, RUNS_FOLDER, RowNames, content_digests, watched_files,
};
use crate::master::{Action, Master, MasterConfig};
#[cfg(all(feature = "cli", feature = "jobs"))]
use crate::model::JobPart;
use crate::model::{GroupSummary, Policy, Tally};
use crate::platform::slurm::Allocation;
use crate::rank0::effects::RunEffects;
#[cfg(feature = "cli")]
use crate::rank0::failures;
use crate::rank0::finals::FinalJudge;
use crate::rank0::progress::Progress;
use crate::rank0::recall::{Recall, recall};
use crate::rank0::serve;
#[cfg(feature = "cli")]
use crate::rank0::settings::Only;
use crate::rank0::settings::{Out, Settings};
use crate::rank0::shutdown::TIME_IS_OVER;
use crate::rank0::status::{PartStatus, RunState, StatusWriter, expected_work};
use crate::rank0::timing::Timing;
use crate::rank0::types::{PreparedJob, RunResult, SickWorker};
use crate::report::{write_csv, write_json};
use crate::store::{
    Folder, FoundStore, Layout, OpenOptions, OpenStore, RunFolders, make_folder, wait_for_room,
};
#[cfg(all(feature = "cli", feature = "jobs"))]
use crate::store::{JoinedPart, join_part, known_of_job, part_folder, take_parts};
use crate::util::error::{Error, Exit, Result};
use crate::util::files::{Durability, temporary_folder, write_whole};
use crate::util::text::{count, runs_of, things};
use crate::util::{signals, thread};
use crate::wire::codec;
use crate::wire::messages::ToWorker;
use crate::wire::transport::Hub;

/// The workers of a run.
#[derive(Clone, Copy)]
pub(crate) struct WorkerPool {
    /// The lowest worker rank: 0 if rank 0 works too, else 1.
    pub(crate) lowest: usize,
    pub(crate) workers: usize,
    /// Threads per worker.
    pub(crate) threads: u32,
    /// How long a worker may be silent before it is given up.
    pub(crate) lease: Option<Duration>,
}

/// Rank 0 before its event loop: everything is read and checked, the results folder is claimed, and the
/// master knows the runs of earlier starts.
pub(crate) struct Session {
    job: Arc<Job>,
    scratch: Option<tempfile::TempDir>,
    folder: Folder,
    master: Master,
    /// The master's actions to carry out before the first event.
    actions: Vec<Action<'static>>,
    /// Summaries of groups that earlier starts have completed, for the listeners.
    unheard: Vec<GroupSummary>,
    effects: RunEffects,
    no_store: bool,
    is_main: bool,
    /// The part of the job that this is, if it is one.
    part: Option<PartStatus>,
    allocation: Option<Allocation>,
    /// Number of tasks that can run at the same time.
    crunchers: u64,
}

impl Session {
    pub(crate) fn new(
        settings: &Settings,
        study: Option<Arc<ErasedStudy>>,
        work: PreparedJob,
        pool: WorkerPool,
    ) -> Result<Session> {
        let WorkerPool { lowest, workers, threads, lease } = pool;
        let PreparedJob { mut job, text, version, digests: own_digests, modules, ready, listeners } =
            work;
        let (out, scratch) = match &settings.out {
            Out::At(out) if !settings.no_store => (out.clone(), None),
            Out::Named if !settings.no_store => (Path::new("results").join(&job.name), None),
            _ => {
                let scratch = temporary_folder()
                    .map_err(|error| Error::input(format!("no temporary folder: {error}")))?;
                (scratch.path().to_path_buf(), Some(scratch))
            }
        };
        let allocation = if settings.is_main { Allocation::detect() } else { None };
        // Without a store, an orderly shutdown before the time limit saves nothing.
        let ends = allocation.as_ref().filter(|_| !settings.no_store);
        let of_allocation = || ends?.finish_by(SystemTime::now());
        let end = settings.end.or_else(of_allocation);
        #[cfg(all(feature = "cli", feature = "jobs"))]
        let (whole, out) = match settings.part {
            Some(part) => (Some((part, out.clone())), part_folder(&out, part)),
            None => (None, out),
        };
        if scratch.is_none() {
            wait_for_room(&out, end)?;
        }
        let folder = Folder::claim(&out, settings.fresh)?;
        #[cfg(all(feature = "cli", feature = "jobs"))]
        if whole.is_none() && !settings.no_store {
            take_parts(&folder, settings.keep)?;
        }
        let found = FoundStore::in_folder(&folder)?;
        let (before, mut known) = (found.identity(), found.known_files());
        #[cfg(all(feature = "cli", feature = "jobs"))]
        let of_job = whole.as_ref().map(|(_, out)| known_of_job(out)).transpose()?.flatten();
        #[cfg(all(feature = "cli", feature = "jobs"))]
        let before = before.or(of_job.as_ref().map(|(identity, _)| identity));
        #[cfg(all(feature = "cli", feature = "jobs"))]
        for (path, file) in of_job.iter().flat_map(|(_, files)| files) {
            known.entry(path.clone()).or_insert_with(|| file.clone());
        }
        let mut files = FileDigests::new(std::mem::take(&mut known));
        let identity = Identity::of(&job, &version, Some(&modules), &mut files, before)?;
        let imported = identity.late_modules();
        job.common = CommonEnvironment {
            interpreter: modules.interpreter.clone(),
            python: modules.environment.clone(),
            programs: if job.allow_mixed { BTreeMap::new() } else { identity.found_programs() },
        };
        // Keys of data sets to load may name files, which rank 0 can see.
        let mut digests = content_digests(&job, &mut files)?;
        for (level, of_level) in own_digests {
            digests.points.entry(level).or_default().extend(of_level);
        }
        let retries = calls_finals(&job, settings);
        let results = retries.map(|_| folder.path());
        let finals = finals_of(&mut job, (&version, &modules), (&mut files, &digests), results)?;
        let layout = Layout::of(&job, &digests);
        let (end, files, text, keep) = (end.map(until), &files, &text, settings.keep);
        let kept = kept_results(&job);
        let kept_results = kept.as_deref();
        #[cfg_attr(not(all(feature = "cli", feature = "jobs")), allow(unused_mut))]
        let mut plan = OpenOptions { job: &job, layout, identity, files, text, keep, kept_results };
        #[cfg(all(feature = "cli", feature = "jobs"))]
        let joined = whole.map(|(part, out)| join_part(&out, part, &mut plan)).transpose()?;
        let opened = match settings.no_store {
            true => OpenStore::in_memory(&folder, plan)?,
            false => OpenStore::open(&folder, found, plan)?,
        };
        drop(kept);
        if !settings.keep {
            let (crunch, digests) = (&opened.crunch_files, &opened.digests);
            job.watched = watched_files(&job, crunch, digests, files)?;
        }
        if let Some(spec) = &mut job.workdir {
            spec.session = opened.session;
            if !settings.no_store {
                spec.runs = make_folder(folder.path(), RUNS_FOLDER).map_err(|error| {
                    let place = folder.path().join(RUNS_FOLDER);
                    Error::input(format!(
                        "{}: it cannot be made for runs: {error}",
                        place.display()
                    ))
                })?;
            }
        }
        let job = Arc::new(job);
        let config = MasterConfig {
            lowest,
            workers,
            policy: Policy { order: settings.order.unwrap_or(job.policy.order), ..job.policy },
            in_code: job.is_native(),
            data: job.data_level(),
            strategy: settings.strategy,
            batch: settings.batch,
            end,
            lease,
            suspects: lease.is_some(),
            finals: retries,
            expected: settings.expected.clone(),
        };
        let mut master = Master::new(job.nest.clone(), config);
        let (tasks, all) = (job.nest.tasks(), workers as u64);
        log::info!("{}: {} on {}", job.name, things(tasks, "task"), things(all, "worker"));
        for line in job.nest.left_out_in_words() {
            log::info!("{line}");
        }
        #[cfg(all(feature = "cli", feature = "jobs"))]
        let left_out = joined.as_ref().map(|joined| joined.left_out(job.nest.tasks()));
        #[cfg(all(feature = "cli", feature = "jobs"))]
        let left_out = left_out.unwrap_or_default();
        #[cfg(not(all(feature = "cli", feature = "jobs")))]
        let left_out = Default::default();
        let known = if finals.is_some() { opened.known_finals()? } else { BTreeMap::new() };
        let keep_failed = settings.keep_failed;
        let mut finals = finals.map(|found| FinalJudge::new(&job, found, known, keep_failed));
        let heard: Vec<usize> = listeners.iter().map(|(level, _)| *level).collect();
        let from = (&opened, &job.nest);
        let judge = (keep_failed, job.run_range(), finals.as_mut());
        let recalled = recall(&mut master, from, judge, left_out, &heard)?;
        let Recall { actions, closed, unheard } = recalled;
        #[cfg(feature = "cli")]
        match &settings.only {
            Some(Only::Named(words)) => master.only(&[lookup::task(&job.nest, words)?]),
            Some(Only::These(tasks)) => master.only(tasks),
            None => {}
        }
        #[cfg(all(feature = "cli", feature = "jobs"))]
        let part = joined.map(|joined| begin_part(&joined, &mut master, &opened)).transpose()?;
        #[cfg(not(all(feature = "cli", feature = "jobs")))]
        let part = None;
        let crunchers = workers as u64 * u64::from(threads);
        log_allocation(allocation.as_ref(), &master, Duration::ZERO, crunchers);
        let store = opened.start(RunFolders::of(&job))?;
        let progress = Progress::new(master.goal(), settings.is_main);
        let booked = allocation.clone().map(|allocation| (allocation, crunchers));
        let place = scratch.is_none().then(|| folder.path());
        let status = StatusWriter::new(&job, place, booked, part.clone(), closed);
        let shown = (progress, status, finals);
        let has_work = !master.is_complete();
        let mut effects = RunEffects::open(
            &job,
            study.as_ref(),
            (listeners, &ready, has_work),
            store,
            shown,
            settings,
            end,
        )?;
        effects.know_imported(imported);
        #[cfg(feature = "jobs")]
        effects.let_follow(&job, scratch.is_none().then(|| folder.path()));
        Ok(Session {
            job,
            scratch,
            folder,
            master,
            actions,
            unheard,
            effects,
            no_store: settings.no_store,
            is_main: settings.is_main,
            part,
            allocation,
            crunchers,
        })
    }

    /// Serves the workers until they have all left. If that fails, finished runs are stored, running tasks
    /// are cancelled and the transport is aborted.
    pub(crate) fn serve(self, hub: &mut dyn Hub) -> Result<DrainedSession> {
        let Session { job, scratch, folder, mut master, actions, unheard, mut effects, .. } = self;
        let no_store = self.no_store;
        signals::set_consumed(true);
        thread::know_all(); // no crunch has begun: those that come later are gridmpi's own, or crunch's
        let clock = Instant::now();
        effects.notify(unheard);
        let welcome = codec::encode(&*job).into();
        let done = match serve(&mut master, hub, &mut effects, welcome, actions) {
            Ok(done) => done,
            Err(error) => {
                let cancel = Bytes::from(codec::encode(&ToWorker::Cancel(None)));
                for rank in 1..=hub.workers() {
                    let _ = hub.send(rank, cancel.clone());
                }
                let error = effects.fail(error);
                hub.abort(&error); // workers may be in a long call of crunch
                return Err(error);
            }
        };
        let elapsed = clock.elapsed();
        log_allocation(self.allocation.as_ref(), &master, hub.now(), self.crunchers);
        effects.write_last(hub.now(), &master);
        let tally = master.tally();
        let since_last = hub.now().saturating_sub(master.last_result());
        let sick = effects.take_sick();
        let timing = Timing {
            tasks: tally.done - tally.recalled,
            crunch: master.span(),
            stored: Duration::ZERO,
            crunched: master.crunched(),
            traffic: done.traffic,
            workers_cpu: done.workers_cpu,
        };
        Ok(DrainedSession {
            job,
            scratch,
            folder,
            effects,
            sick,
            tally,
            is_part: master.is_partly_wanted(),
            part: self.part,
            gave_up: master.has_given_up(),
            out_of_time: master.is_out_of_time(),
            all_left: master.is_over(),
            elapsed,
            timing,
            last_result: Instant::now() - since_last,
            no_store,
            is_main: self.is_main,
        })
    }
}

/// What the final function is, and what rows are called. Workers are told what they need to know of both; `results` is
/// given if they make calls.
fn finals_of(
    job: &mut Job,
    of: (&str, &PythonModules),
    (files, digests): (&mut FileDigests, &Digests),
    results: Option<&Path>,
) -> Result<Option<(FinalIdentity, RowNames)>> {
    let Some(spec) = job.finally.clone() else { return Ok(None) };
    let (identity, watched) = FinalIdentity::of(job, &spec, of, (files, &digests.points))?;
    let names = RowNames::new(job, &digests.points);
    let made = results.map(|results| {
        make_folder(results, FINAL_FOLDER).map_err(|error| {
            let folder = results.join(FINAL_FOLDER);
            Error::input(format!("{}: it cannot be made for products: {error}", folder.display()))
        })
    });
    let folder = made.transpose()?.unwrap_or_default();
    job.finally = Some(FinalSpec { files: watched, folder, ..spec });
    Ok(Some((identity, names)))
}

/// How often final calls are tried again, if this start makes them.
fn calls_finals(job: &Job, settings: &Settings) -> Option<u32> {
    let retries = job.finally.as_ref()?.retries;
    #[cfg(feature = "cli")]
    let is_whole = settings.only.is_none();
    #[cfg(not(feature = "cli"))]
    let is_whole = true;
    #[cfg(all(feature = "cli", feature = "jobs"))]
    let is_whole = is_whole && settings.part.is_none();
    if !is_whole || settings.no_store {
        log::info!("the calls of [final] are left to a start of the whole job, with a store");
        return None;
    }
    Some(retries)
}

/// Logs the state of the Slurm allocation.
fn log_allocation(allocation: Option<&Allocation>, master: &Master, now: Duration, crunchers: u64) {
    if let Some(allocation) = allocation {
        let work = master.work_left(now, crunchers).map(expected_work);
        log::info!("{}", allocation.line(SystemTime::now(), work));
    }
}

fn until(end: SystemTime) -> Duration {
    end.duration_since(SystemTime::now()).unwrap_or_default()
}

/// Restricts the master to a part of the job, after all recalled runs.
#[cfg(all(feature = "cli", feature = "jobs"))]
fn begin_part(joined: &JoinedPart, master: &mut Master, opened: &OpenStore) -> Result<PartStatus> {
    let JoinedPart { part: JobPart { number, of }, groups, .. } = *joined;
    master.only_what_is_left();
    let status = PartStatus { number, of, tasks: master.goal(), groups };
    opened.note(PartStatus::NOTE, &serde_json::json!(status).to_string())?;
    let are = if status.tasks == 1 { "is" } else { "are" };
    log::info!("{}: {} of these tasks {are} its own", joined.part, count(status.tasks));
    Ok(status)
}

/// Rank 0 after its event loop: only the results have to be written.
pub(crate) struct DrainedSession {
    job: Arc<Job>,
    scratch: Option<tempfile::TempDir>,
    folder: Folder,
    effects: RunEffects,
    /// Workers that could not work.
    sick: Vec<SickWorker>,
    tally: Tally,
    /// Whether only some of the tasks were requested.
    is_part: bool,
    /// The part of the job that this is, if it is one.
    part: Option<PartStatus>,
    /// Whether too many runs failed.
    gave_up: bool,
    /// Whether every worker has been dismissed.
    pub(crate) all_left: bool,
    /// Whether tasks were left for another start because they could not be done in time.
    out_of_time: bool,
    elapsed: Duration,
    timing: Timing,
    last_result: Instant,
    no_store: bool,
    /// Whether the terminal is gridmpi's, rather than the program's that calls it.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))]
    is_main: bool,
}

impl DrainedSession {
    pub(crate) fn finish(self) -> Result<RunResult> {
        let DrainedSession { job, scratch, mut folder, effects, sick, tally, elapsed, .. } = self;
        let (gave_up, no_store) = (self.gave_up, self.no_store);
        let why = effects.interrupted();
        let why = why.or(self.out_of_time.then_some(TIME_IS_OVER));
        let why = why.unwrap_or_default().to_string();
        let asked = !why.is_empty();
        let tasks = self.part.as_ref().map_or(job.nest.tasks(), |part| part.tasks);
        let kept = (!no_store && scratch.is_none()).then_some(&folder);
        let interrupted = asked.then(|| interrupted(&why, tasks, tally, kept));
        let (store, listeners, mut status) = effects.close();
        let results = store.finish(&job)?;
        let stored = self.timing.crunch + self.last_result.elapsed();
        let timing = Timing { stored, ..self.timing };
        let stopped = listeners.finish().or(interrupted);
        let stopped = stopped.or_else(|| gave_up.then(|| too_many_failures(&job, tally)));
        if let Some(error) = stopped {
            let state = match error.exit {
                Exit::Interrupted => RunState::Interrupted,
                _ => RunState::Stopped,
            };
            #[cfg(feature = "cli")]
            if tally.failed > 0 && self.is_main {
                failures::tell(&job, &results, (!no_store).then(|| folder.path()), tally);
            }
            results.end(state.name(), error.exit, &why)?;
            status.end(state, error.exit, &error.to_string());
            return Err(error);
        }
        if self.is_part || self.part.is_some() {
            let (state, words) = match &self.part {
                Some(_) => (RunState::Complete, String::new()),
                None => {
                    let all = job.nest.tasks();
                    (RunState::Interrupted, format!("{} of {all} runs, as requested", tally.done))
                }
            };
            results.end(state.name(), tally.exit(), &words)?;
            status.end(state, tally.exit(), &words);
            folder.release();
            return Ok(RunResult {
                job,
                results,
                tally,
                elapsed,
                timing,
                sick,
                no_store,
                folder,
                scratch,
            });
        }
        write_file(&folder.file("summary.json"), |out| write_json(&job, &results, out))?;
        write_file(&folder.file("summary.csv"), |out| write_csv(&results, out))?;
        results.end(RunState::Complete.name(), tally.exit(), "")?;
        status.end(RunState::Complete, tally.exit(), "");
        folder.release();
        Ok(RunResult { job, results, tally, elapsed, timing, sick, no_store, folder, scratch })
    }
}

/// `kept` is the folder with the runs, if they are kept.
fn interrupted(signal: &str, tasks: u64, tally: Tally, kept: Option<&Folder>) -> Error {
    let runs = runs_of(tally.done, tally.skipped, tasks);
    Error::interrupted(match kept {
        Some(folder) => {
            let folder = folder.path().display();
            format!("{signal}: {runs} are in {folder}; start it again to go on")
        }
        None => format!("{signal}: {runs} were done, and none is kept"),
    })
}

fn too_many_failures(job: &Job, tally: Tally) -> Error {
    let most = job.policy.most_failures.unwrap_or(0);
    let allowed = match most {
        0 => "none is allowed".to_string(),
        1 => "1 is allowed".to_string(),
        most => format!("{} are allowed", count(most)),
    };
    Error::failures(format!(
        "stopped: {} failed, {allowed} (max_failures or on_failure); {} of {} kept; start again to go on",
        things(tally.failed, "run"),
        count(tally.done),
        things(job.nest.tasks(), "run")
    ))
}

fn write_file(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let failed =
        |e: std::io::Error| Error::unexpected(format!("{}: not written: {e}", path.display()));
    write_whole(path, Durability::Eventual, failed, write)
}
