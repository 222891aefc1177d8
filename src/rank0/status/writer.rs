//! Writes the status file. Rank 0 takes a snapshot about once per second, and a thread of its own writes
//! it, so that a slow or full disk does not block the event loop.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use crate::job::Job;
use crate::master::Master;
use crate::model::GroupSummary;
use crate::platform::slurm::{Allocation, Booked};
use crate::rank0::status::snapshot::{ClosedStatus, Snapshot, SnapshotBuilder};
use crate::rank0::status::{PartStatus, RunState, Status, expected_work};
use crate::util::clock::since_1970;
use crate::util::error::Exit;
use crate::util::file_state::file_id;
use crate::util::thread;

/// Time between snapshots.
const PERIOD: Duration = Duration::from_secs(1);

/// After this long without a snapshot the thread writes the file anyway, to show that the process is
/// alive.
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(2);

/// How long the end of a run waits for a slow disk.
const PATIENCE: Duration = Duration::from_secs(2);

/// Number of closed groups that are kept, and of open groups in a snapshot.
const LATEST: usize = 200;
const OPEN: usize = 20;

/// The status file of a run. If this is dropped before `end`, the run has failed.
pub(crate) struct StatusWriter {
    /// Nothing if there is no folder to write to, or after `end`.
    writer: Option<WriterThread>,
    /// The Slurm allocation, and how many tasks can run in it at the same time.
    booked: Option<(Allocation, u64)>,
    outer: usize,
    next: Duration,
    hosts: Vec<(usize, String)>,
    groups: ClosedGroups,
}

/// The groups of the outermost loops that have closed: how many, and the latest.
#[derive(Default)]
pub(crate) struct ClosedGroups {
    latest: VecDeque<ClosedStatus>,
    closed: u64,
    incomplete: u64,
}

impl ClosedGroups {
    /// Adds a group, if it is one of the `outer` outermost loops.
    pub(crate) fn add(&mut self, summary: &GroupSummary, outer: usize) {
        if summary.key.level != outer {
            return;
        }
        self.closed += 1;
        self.incomplete += u64::from(summary.result.is_err());
        self.latest.push_front(ClosedStatus::of(summary));
        self.latest.truncate(LATEST);
    }
}

struct WriterThread {
    news: SyncSender<News>,
    done: Receiver<()>,
}

/// The message while every worker is silent.
fn nobody(silence: Duration) -> String {
    format!(
        "all workers have been silent for {} s; waiting for one to come back",
        silence.as_secs()
    )
}

enum News {
    Snapshot(Box<Snapshot>),
    End(RunState, Exit, String),
}

impl StatusWriter {
    /// Writes into the folder, if there is one.
    pub(crate) fn new(
        job: &Arc<Job>,
        folder: Option<&Path>,
        booked: Option<(Allocation, u64)>,
        part: Option<PartStatus>,
        groups: ClosedGroups,
    ) -> StatusWriter {
        StatusWriter {
            booked,
            writer: folder.and_then(|folder| WriterThread::start(job, folder, part)),
            outer: job.nest.outer(),
            next: Duration::ZERO,
            hosts: Vec::new(),
            groups,
        }
    }

    /// A worker has joined.
    pub(crate) fn join(&mut self, rank: usize, host: &str) {
        self.hosts.push((rank, host.to_string()));
    }

    pub(crate) fn close(&mut self, summary: &GroupSummary) {
        if self.writer.is_some() {
            self.groups.add(summary, self.outer);
        }
    }

    /// Whether the next snapshot is due.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        now >= self.next
    }

    /// Takes a snapshot. `pauses` and `ends` say why no tasks are handed out, if so.
    pub(crate) fn take_snapshot(
        &mut self,
        now: Duration,
        master: &Master,
        pauses: bool,
        ends: Option<&str>,
    ) {
        self.next = now + PERIOD;
        let (state, words) = match ends {
            Some(signal) => (RunState::Ending, Some(format!("{signal}: no new task is started"))),
            None if pauses => {
                let why = "too much waits to be written or reduced (is the disk full?)";
                (RunState::Paused, Some(why.to_string()))
            }
            None => (RunState::Running, master.deserted().map(nobody)),
        };
        self.publish(now, master, state, words, Duration::ZERO);
    }

    /// Takes the last snapshot: all tasks are over.
    pub(crate) fn write_last(&mut self, now: Duration, master: &Master) {
        self.publish(
            now,
            master,
            RunState::Ending,
            Some("results are written".to_string()),
            PATIENCE,
        );
    }

    fn publish(
        &mut self,
        now: Duration,
        master: &Master,
        state: RunState,
        words: Option<String>,
        patience: Duration,
    ) {
        let Some(writer) = &self.writer else { return };
        let booked = self.booked.as_ref();
        let slurm = booked.map(|(at, crunchers)| {
            Booked::new(at, master.work_left(now, *crunchers).map(expected_work))
        });
        let snapshot = Box::new(Snapshot {
            now,
            view: master.view(OPEN),
            state,
            words,
            slurm,
            hosts: std::mem::take(&mut self.hosts),
            latest: self.groups.latest.iter().cloned().collect(),
            closed: self.groups.closed,
            incomplete: self.groups.incomplete,
        });
        // If the thread is still busy, the disk is slow. The next snapshot will have everything.
        if let Some(News::Snapshot(snapshot)) = writer.deliver(News::Snapshot(snapshot), patience) {
            self.hosts = snapshot.hosts;
        }
    }

    /// Records how the run ended.
    pub(crate) fn end(&mut self, state: RunState, exit: Exit, words: &str) {
        let Some(writer) = self.writer.take() else { return };
        if writer.deliver(News::End(state, exit, words.to_string()), PATIENCE).is_none() {
            let _ = writer.done.recv_timeout(PATIENCE);
        }
    }
}

impl Drop for StatusWriter {
    fn drop(&mut self) {
        self.end(RunState::Failed, Exit::Unexpected, "it ended without giving a reason");
    }
}

impl WriterThread {
    fn start(job: &Arc<Job>, folder: &Path, part: Option<PartStatus>) -> Option<WriterThread> {
        let (news, to_write) = sync_channel(1);
        let (end, done) = sync_channel(1);
        let names = (job.name.as_str(), job.score.as_str());
        let builder = SnapshotBuilder::new(names, &job.nest, part, job.finally.is_some());
        let folder = folder.to_path_buf();
        let work = move || {
            write(&to_write, &folder, builder);
            let _ = end.send(());
        };
        thread::start("status", work).map_err(|error| log::warn!("{error}")).ok()?;
        Some(WriterThread { news, done })
    }

    /// Sends a message to the thread; returns it if the thread does not take it in time.
    fn deliver(&self, news: News, patience: Duration) -> Option<News> {
        let begin = Instant::now();
        let mut news = news;
        loop {
            match self.news.try_send(news) {
                Err(TrySendError::Full(unsent)) if begin.elapsed() < patience => news = unsent,
                Err(TrySendError::Full(unsent) | TrySendError::Disconnected(unsent)) => {
                    return Some(unsent);
                }
                Ok(()) => return None,
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn write(news: &Receiver<News>, folder: &Path, mut builder: SnapshotBuilder) {
    let mut status: Option<Status> = None;
    let mut trouble = false;
    let id = file_id(folder);
    loop {
        let mut over = false;
        match news.recv_timeout(HEARTBEAT_PERIOD) {
            Ok(News::Snapshot(snapshot)) => status = Some(builder.status(*snapshot)),
            Ok(News::End(state, exit, words)) => {
                over = true;
                if let Some(status) = &mut status {
                    (status.state, status.words) = (state, Some(words).filter(|w| !w.is_empty()));
                    (status.exit_code, status.seconds_left) = (Some(exit as u8), None);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Another folder in its place may be that of another run. The store's writer tells.
        if let Some(status) = &mut status
            && file_id(folder) == id
        {
            status.written = since_1970();
            let written = status.write(folder);
            if let (Err(error), false) = (&written, trouble) {
                log::debug!("{}: the status is not written: {error}", folder.display());
            }
            trouble = written.is_err();
        }
        if over {
            return;
        }
    }
}
