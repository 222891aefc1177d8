//! What rank 0 does besides dispensing tasks: keeps runs in the store, reduces groups in Python on
//! a thread of its own, shows progress.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

use crate::crunch::{self, Slot};
use crate::error::{Error, Result};
use crate::grid::Key;
use crate::job::Job;
use crate::master::{Event, Master, Run, Summary};
use crate::reduce::{Item, Reduce};
use crate::report::Progress;
use crate::serve::Keeper;
use crate::store::Store;

type Group = (Key, Vec<Item>);

pub(super) struct Office {
    pub(super) store: Store,
    pub(super) progress: Progress,
    reducer: Option<(Sender<Group>, Receiver<Event>)>,
}

impl Office {
    pub(super) fn open(job: &Arc<Job>, store: Store) -> Result<Office> {
        let in_python = job.loops.iter().any(|l| matches!(l.reduce, Some(Reduce::Python(_))));
        let reducer = if in_python { Some(start_reducer(job.clone())?) } else { None };
        let progress = Progress::new(job.grid().tasks());
        Ok(Office { store, progress, reducer })
    }
}

impl Keeper for Office {
    fn join(&mut self, rank: usize, host: &str) -> Result<()> {
        self.store.join(rank, host)
    }

    fn record(&mut self, run: Run) -> Result<()> {
        self.store.record(run)
    }

    fn close(&mut self, summary: Summary) -> Result<()> {
        self.store.close(summary)
    }

    fn reduce(&mut self, key: Key, items: Vec<Item>) -> Result<()> {
        let (groups, _) = self.reducer.as_ref().ok_or_else(lost_reducer)?;
        groups.send((key, items)).map_err(|_| lost_reducer())
    }

    fn reduced(&mut self) -> Result<Option<Event>> {
        let Some((_, events)) = &self.reducer else { return Ok(None) };
        match events.try_recv() {
            Ok(event) => Ok(Some(event)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(lost_reducer()),
        }
    }

    fn tick(&mut self, now: Duration, master: &Master) -> Result<()> {
        self.progress.show(now, master.tally());
        Ok(())
    }
}

fn lost_reducer() -> Error {
    Error::unexpected("the thread that reduces groups in Python is lost")
}

fn start_reducer(job: Arc<Job>) -> Result<(Sender<Group>, Receiver<Event>)> {
    let (groups, to_reduce) = channel::<Group>();
    let (reduced, events) = channel();
    let work = move || {
        let grid = job.grid();
        let mut summarizer = crunch::summarizer(&job);
        while let Ok((key, items)) = to_reduce.recv() {
            let outer = job.coordinates(&grid, key);
            let over = &job.loops[key.level];
            let coordinates: Vec<_> = (0..items.len() as u64)
                .map(|slot| {
                    let own = (over.name.as_str(), over.points.get(slot));
                    outer.iter().cloned().chain([own]).collect::<Vec<_>>()
                })
                .collect();
            let slots: Vec<Slot> = coordinates
                .iter()
                .zip(&items)
                .map(|(coordinates, item)| Slot {
                    coordinates,
                    result: item.result.as_ref().map(|scored| (&scored.value, scored.score)),
                })
                .collect();
            let value = summarizer.reduce(key.level, &slots);
            // Whether a score is needed is for the loop around to say; a NaN never is one.
            let result = value.and_then(|value| crunch::score(value, &job.score, false));
            if reduced.send(Event::Reduced { key, result }).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("reduce".to_string())
        .spawn(work)
        .map_err(|error| Error::unexpected(format!("no thread to reduce on: {error}")))?;
    Ok((groups, events))
}
