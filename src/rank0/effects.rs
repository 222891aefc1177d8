//! Side effects of rank 0's event loop: writes runs to the store, runs reductions and listeners on threads
//! of their own, answers workers' requests, shows progress.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

use bytes::Bytes;

use crate::executor::rust::ErasedStudy;
use crate::executor::{self, RANK0, ReadyChildren};
use crate::job::Job;
use crate::master::{Event, Master};
#[cfg(feature = "jobs")]
use crate::model::OutputPiece;
use crate::model::{
    FinalResult, GroupSummary, Key, Reduce, RunBatch, Scored, SlotResult, StoppedPoint, error_line,
};
use crate::rank0::Effects;
#[cfg(feature = "cli")]
use crate::rank0::failures::FirstFailure;
use crate::rank0::finals::FinalJudge;
#[cfg(feature = "jobs")]
use crate::rank0::follow::Followers;
use crate::rank0::host_clocks::HostClocks;
use crate::rank0::imported::Imported;
use crate::rank0::listeners::{Listeners, PendingListeners};
use crate::rank0::progress::Progress;
use crate::rank0::requests::RequestBroker;
use crate::rank0::settings::Settings;
use crate::rank0::shutdown::Shutdown;
use crate::rank0::status::{RunState, StatusWriter};
use crate::rank0::types::{Listener, SickWorker};
use crate::store::Store;
use crate::util::clock;
use crate::util::error::{Error, Result};
use crate::util::panic::caught;
use crate::util::thread;
use crate::wire::requests::{Reply, Request};

/// Longest wait for a message before everything else is checked.
const TICK: Duration = Duration::from_millis(100);
/// The same while work is pending on rank 0 that no message announces.
const SHORT_TICK: Duration = Duration::from_millis(2);

/// No tasks are handed out while more groups than this wait to be reduced on rank 0.
const MOST_GROUPS: usize = 64;

/// The most workers that an error names.
const MOST_NAMED: usize = 10;

/// No tasks are handed out while more summaries than this wait for listeners.
const MOST_SUMMARIES: usize = 10_000;

pub(crate) struct RunEffects {
    store: Store,
    progress: Progress,
    #[cfg(feature = "cli")]
    first_failure: FirstFailure,
    status: StatusWriter,
    requests: RequestBroker,
    reducer: Option<ReduceThread>,
    listeners: Option<Listeners>,
    /// What is known of final calls, if rows have any; events about rows that have closed, and the first failure of a
    /// call, which is told.
    finals: Option<FinalJudge>,
    judged: VecDeque<Event<'static>>,
    final_failed: bool,
    imported: Imported,
    /// The error with which a listener stopped the study, or a changed file did.
    stopped: Option<Error>,
    /// Whether the master has yet to be told so.
    is_to_stop: bool,
    ending: Shutdown,
    /// The hosts of the workers, and those workers that cannot work.
    hosts: BTreeMap<usize, String>,
    clocks: HostClocks,
    sick: Vec<SickWorker>,
    /// Whether workers report their processor time when they leave.
    census: bool,
    /// When the store was last checked.
    checked: Duration,
    /// Whoever follows the output of runs, if these have any.
    #[cfg(feature = "jobs")]
    followers: Option<Followers>,
}

/// The thread that runs reductions.
struct ReduceThread {
    groups: Sender<(Key, Vec<SlotResult>)>,
    reduced: Receiver<ReducedGroup>,
    away: usize,
}

struct ReducedGroup {
    key: Key,
    result: Result<Scored, String>,
    /// The files that the call has imported, with their digests.
    imported: Vec<(String, String)>,
}

impl RunEffects {
    pub(crate) fn open(
        job: &Arc<Job>,
        study: Option<&Arc<ErasedStudy>>,
        (listeners, ready, has_work): (Vec<(usize, Listener)>, &ReadyChildren, bool),
        store: Store,
        (progress, status, finals): (Progress, StatusWriter, Option<FinalJudge>),
        settings: &Settings,
        end: Option<Duration>,
    ) -> Result<RunEffects> {
        let outside =
            job.nest.loops().iter().any(|l| l.reduce.as_ref().is_some_and(Reduce::is_outside));
        let needed = outside && !job.policy.reduce_on_workers;
        let reducer =
            if needed { Some(ReduceThread::start(job, study, ready, has_work)?) } else { None };
        let listeners =
            if listeners.is_empty() { None } else { Some(Listeners::start(job, listeners)?) };
        let mut requests = RequestBroker::new(study.cloned());
        requests.serve_files(&job.carried);
        let ending = Shutdown::new(settings.grace, end);
        let (stopped, census, checked) = (None, settings.census, Duration::ZERO);
        let (keep, allow_mixed) = (settings.keep, job.allow_mixed);
        let imported = Imported { known: job.common.python.clone(), keep, allow_mixed };
        Ok(RunEffects {
            store,
            progress,
            #[cfg(feature = "cli")]
            first_failure: FirstFailure::new(job, settings.is_main && settings.only.is_none()),
            status,
            requests,
            reducer,
            listeners,
            finals,
            judged: VecDeque::new(),
            final_failed: false,
            imported,
            stopped,
            is_to_stop: false,
            ending,
            hosts: BTreeMap::new(),
            clocks: HostClocks::default(),
            sick: Vec::new(),
            census,
            checked,
            #[cfg(feature = "jobs")]
            followers: None,
        })
    }

    /// Lets others follow the output of runs, by what they leave in the results folder.
    #[cfg(feature = "jobs")]
    pub(crate) fn let_follow(&mut self, job: &Job, results: Option<&Path>) {
        let prints = job.crunch.has_processes();
        self.followers = results.filter(|_| prints).and_then(Followers::of);
    }

    /// Sets the digests of modules that calls have imported in earlier starts.
    pub(crate) fn know_imported(&mut self, imported: BTreeMap<String, String>) {
        self.imported.known.extend(imported);
    }

    /// Tells the listeners of groups that are stored already.
    pub(crate) fn notify(&self, summaries: Vec<GroupSummary>) {
        if let Some(listeners) = &self.listeners {
            summaries.into_iter().for_each(|summary| listeners.notify(summary));
        }
    }

    /// Stores what calls of reductions have imported. If other calls have had something else, nothing counts from
    /// then on.
    fn imported_by_reduction(&mut self, files: Vec<(String, String)>) -> Reply {
        let reply = self.imported.files(&files);
        let error = match &reply {
            Reply::Refused(why) => {
                self.is_to_stop = true;
                self.requests.end();
                Some(Error::input(format!(
                    "{why}, in a reduction; leave it as it is while a job runs, give all hosts the same, and start again"
                )))
            }
            _ if files.is_empty() => None,
            _ => self.store.imported(files, true).err(),
        };
        if let Some(error) = error {
            self.stopped.get_or_insert(error);
        }
        reply
    }

    /// The signal or time limit that began the shutdown, if any.
    pub(crate) fn interrupted(&self) -> Option<&str> {
        self.ending.why()
    }

    /// Rank 0 cannot go on: flushes the store and returns the error to report, with the workers that could
    /// not work.
    pub(crate) fn fail(mut self, mut error: Error) -> Error {
        let sick = self.sick.iter().take(MOST_NAMED);
        error = sick.fold(error, |error, sick| error.and(&Error::unexpected(sick.told(""))));
        self.progress.finish();
        self.requests.close();
        let error = match self.store.flush() {
            Ok(()) => error,
            Err(also) => error.and(&also),
        };
        self.status.end(RunState::of(error.exit), error.exit, &error.to_string());
        error
    }

    /// The workers that could not work.
    pub(crate) fn take_sick(&mut self) -> Vec<SickWorker> {
        std::mem::take(&mut self.sick)
    }

    /// Takes the last status snapshot: all workers have left.
    pub(crate) fn write_last(&mut self, now: Duration, master: &Master) {
        self.status.write_last(now, master);
    }

    /// Ends the progress display. Returns the store, the listeners (which may still have summaries to
    /// handle), and the status writer, which records how the run ended.
    pub(crate) fn close(self) -> (Store, PendingListeners, StatusWriter) {
        self.progress.finish();
        let RunEffects { store, requests, listeners, stopped, status, .. } = self;
        (store, PendingListeners { requests, listeners, stopped }, status)
    }
}

impl Effects for RunEffects {
    fn join(&mut self, rank: usize, host: &str) -> Result<()> {
        self.status.join(rank, host);
        self.hosts.insert(rank, host.to_string());
        self.store.join(rank, host)
    }

    fn compare_clock(&mut self, rank: usize, clock: f64) {
        self.clocks.compare(rank, clock, clock::since_1970());
    }

    fn record(&mut self, rank: usize, thread: u32, mut runs: RunBatch) -> Result<()> {
        #[cfg(feature = "cli")]
        self.first_failure.look(&runs);
        runs.started += self.clocks.correction(rank);
        self.store.record(rank, thread, runs)
    }

    fn give_back(&mut self, task: u64, attempt: u32, rank: usize) -> Result<()> {
        self.requests.forget(rank, None);
        self.store.give_back(task, attempt, rank)
    }

    fn cut_off(&mut self, rank: usize, attempt: (u64, u32), seconds: f64) -> Result<()> {
        self.store.cut_off(rank, attempt, seconds)
    }

    fn close(&mut self, summary: GroupSummary) -> Result<()> {
        if let Some(listeners) = &self.listeners
            && listeners.levels.contains(&summary.key.level)
        {
            listeners.notify(summary.clone());
        }
        self.status.close(&summary);
        let judged = self.finals.as_mut().and_then(|finals| finals.judge(&summary));
        let number = summary.key.index;
        self.store.close(summary)?;
        if let Some(judged) = judged {
            self.judged.push_back(judged.event);
            if let Some(row) = judged.kept {
                self.store.keep_final(row, number)?;
            }
        }
        Ok(())
    }

    fn stop_point(&mut self, point: StoppedPoint) -> Result<()> {
        self.store.stop_point(point)
    }

    fn record_final(&mut self, rank: usize, mut result: FinalResult) -> Result<()> {
        result.started += self.clocks.correction(rank);
        let entry = self.finals.as_ref().and_then(|finals| finals.entry(result));
        let Some(entry) = entry else { return Ok(()) };
        if let Err(why) = &entry.result.result
            && !std::mem::replace(&mut self.final_failed, true)
        {
            log::warn!("the final call of {} has failed: {}", entry.folder, error_line(why.why()));
        }
        self.store.record_final(rank, entry)
    }

    fn reduce(&mut self, key: Key, items: Vec<SlotResult>) -> Result<()> {
        let reducer = self.reducer.as_mut().ok_or_else(lost_reducer)?;
        reducer.away += 1;
        reducer.groups.send((key, items)).map_err(|_| lost_reducer())
    }

    fn ask(&mut self, from: (usize, u32), ticket: u64, request: Request, now: Duration) {
        let (reply, stored) = match &request {
            Request::Imported(files) => match self.imported.files(files) {
                refused @ Reply::Refused(_) => (refused, Ok(())),
                reply => (reply, self.store.imported(files.clone(), false)),
            },
            Request::ImportedByReduction(files) => {
                (self.imported_by_reduction(files.clone()), Ok(()))
            }
            Request::IsThere(file) => (Reply::Ready(Path::new(file).exists()), Ok(())),
            Request::Environment(facts) if self.imported.allow_mixed => {
                (Reply::Ready(true), self.store.environment(from.0, facts))
            }
            Request::Environment(versions) => (self.imported.versions(versions), Ok(())),
            _ => return self.requests.ask(from, ticket, request, now),
        };
        if let Err(error) = stored {
            self.stopped.get_or_insert(error);
        }
        self.requests.reply_to(from.0, ticket, reply);
    }

    #[cfg(feature = "jobs")]
    fn follow(&mut self, rank: usize, piece: OutputPiece) {
        if let Some(followers) = &self.followers {
            followers.write(rank, piece);
        }
    }

    fn computes(&mut self, rank: usize, computes: bool) {
        self.requests.computes(rank, computes);
    }

    fn returned(&mut self, rank: usize, thread: u32) {
        if !self.requests.is_quiet() {
            self.requests.forget(rank, Some(thread));
        }
    }

    fn replies(&mut self, now: Duration, master: &Master) -> Vec<(usize, Bytes)> {
        #[cfg(feature = "jobs")]
        let mut replies = match &mut self.followers {
            Some(followers) => followers.messages(now, master),
            None => Vec::new(),
        };
        #[cfg(not(feature = "jobs"))]
        let mut replies = Vec::new();
        if self.requests.is_quiet() {
            return replies;
        }
        if master.has_given_up() {
            self.requests.end();
        }
        let waiting = self.requests.waiting();
        let listens = self.listeners.as_ref().is_some_and(|l| l.unheard() > 0);
        let alone = !waiting.is_empty() && !listens && master.awaits_only(&waiting);
        replies.extend(self.requests.replies(now, alone));
        if let Some(why) = self.requests.take_failure() {
            self.refuse(why);
        }
        replies
    }

    fn sicken(&mut self, rank: usize, why: String) {
        let host = self.hosts.get(&rank).cloned().unwrap_or_else(|| "an unknown host".to_string());
        let sick = SickWorker { rank, host, why };
        log::error!("{}", sick.told(" and is given no more tasks"));
        self.sick.push(sick);
    }

    fn file_changed(&mut self, rank: usize, why: &str) {
        let error = || {
            log::error!("rank {rank}: {why}; no more tasks are started");
            Error::input(why)
        };
        self.stopped.get_or_insert_with(error);
        self.requests.end();
    }

    fn refuse(&mut self, why: String) {
        self.stopped.get_or_insert(Error::input(why));
        self.is_to_stop = true;
        self.requests.end();
    }

    fn interrupt(&mut self, rank: usize, signal: &str) {
        self.ending.interrupt(rank, signal);
    }

    fn is_full(&self) -> bool {
        let reducing = self.reducer.as_ref().is_some_and(|reducer| reducer.away > MOST_GROUPS);
        let listening = self.listeners.as_ref().is_some_and(|l| l.unheard() > MOST_SUMMARIES);
        reducing || listening || self.store.is_full()
    }

    fn wants_farewells(&self) -> bool {
        self.census
    }

    fn is_leaving(&self) -> bool {
        self.ending.is_due()
    }

    fn patience(&self) -> Duration {
        let reducing = self.reducer.as_ref().is_some_and(|reducer| reducer.away > 0);
        let soon = reducing || !self.requests.is_quiet() || self.is_full();
        if soon { SHORT_TICK } else { TICK }
    }

    fn event(&mut self) -> Result<Option<Event<'static>>> {
        if let Some(event) = self.ending.event() {
            self.requests.end();
            return Ok(Some(event));
        }
        if let Some(listeners) = &self.listeners
            && let Ok(why) = listeners.errors.try_recv()
        {
            self.stopped = Some(Error::unexpected(why));
            self.requests.end();
            return Ok(Some(Event::Stop));
        }
        if std::mem::take(&mut self.is_to_stop) {
            return Ok(Some(Event::Stop));
        }
        if let Some(event) = self.judged.pop_front() {
            return Ok(Some(event));
        }
        let Some(reducer) = &mut self.reducer else { return Ok(None) };
        let reduced = reducer.reduced.try_recv();
        reducer.away -= usize::from(reduced.is_ok());
        match reduced {
            Ok(ReducedGroup { key, mut result, imported }) => {
                if let Reply::Refused(why) = self.imported_by_reduction(imported) {
                    result = Err(why);
                }
                Ok(Some(Event::Reduced { rank: None, key, result }))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(lost_reducer()),
        }
    }

    fn tick(&mut self, now: Duration, master: &Master) -> Result<()> {
        self.ending.tick(now);
        self.progress.show(now, master);
        if self.status.is_due(now) {
            let pauses = self.is_full();
            self.status.take_snapshot(now, master, pauses, self.ending.why());
        }
        if now >= self.checked + TICK {
            self.checked = now;
            self.store.check()?;
        }
        Ok(())
    }
}

fn lost_reducer() -> Error {
    Error::unexpected("the thread that reduces groups has ended")
}

impl ReduceThread {
    fn start(
        job: &Arc<Job>,
        study: Option<&Arc<ErasedStudy>>,
        ready: &ReadyChildren,
        has_work: bool,
    ) -> Result<ReduceThread> {
        let (groups, to_reduce) = channel::<(Key, Vec<SlotResult>)>();
        let (done, reduced) = channel();
        let mut reducer = executor::reducer(job, study, RANK0, ready);
        let work = move || {
            if has_work {
                // What it imports is there when the first group is; if that fails, the group's call says so.
                let _ = caught("the check of what reductions need", || reducer.prepare());
            }
            while let Ok((key, items)) = to_reduce.recv() {
                let result = caught("summarize", || reducer.reduce(key, &items));
                let imported = reducer.take_imported();
                if done.send(ReducedGroup { key, result, imported }).is_err() {
                    return;
                }
            }
        };
        thread::start("reduce", work)?;
        Ok(ReduceThread { groups, reduced, away: 0 })
    }
}
