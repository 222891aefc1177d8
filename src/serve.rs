//! Rank 0's loop: wait for a message or a tick, step the master, carry out its actions in order.
//! The same over every transport.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::grid::Key;
use crate::master::{Action, Event, Master, Run, Summary};
use crate::message::{self, ToMaster, ToWorker};
use crate::reduce::Item;
use crate::transport::Hub;

/// How long rank 0 waits for a message before it looks at everything else.
const TICK: Duration = Duration::from_millis(100);
/// The same, while a group is being reduced outside and will report.
const SHORT_TICK: Duration = Duration::from_millis(2);

/// What rank 0 does besides dispensing tasks.
pub trait Keeper {
    /// A worker joined from this host.
    fn join(&mut self, rank: usize, host: &str) -> Result<()>;

    /// Keep this run.
    fn record(&mut self, run: Run) -> Result<()>;

    /// Keep this summary.
    fn close(&mut self, summary: Summary) -> Result<()>;

    /// Reduce these items, and report later.
    fn reduce(&mut self, key: Key, items: Vec<Item>) -> Result<()>;

    /// What was reduced meanwhile: [`Event::Reduced`].
    fn reduced(&mut self) -> Result<Option<Event>>;

    /// Time has passed.
    fn tick(&mut self, now: Duration, master: &Master) -> Result<()>;
}

/// Serves the workers until every run is recorded, every group closed and every worker dismissed.
/// `job` is the job's bincode form, for the workers. Ends early with the error of whatever failed:
/// the transport, the keeper, or a worker that says it cannot go on.
pub fn serve(
    master: &mut Master,
    hub: &mut dyn Hub,
    keeper: &mut dyn Keeper,
    job: Vec<u8>,
) -> Result<()> {
    let welcome = message::encode(&ToWorker::Job(job));
    let dismiss = message::encode(&ToWorker::Dismiss);
    let mut away = 0;
    let mut actions = Vec::new();
    while !master.is_over() {
        let wait = if away > 0 { SHORT_TICK } else { TICK };
        let event = match keeper.reduced()? {
            Some(event) => {
                away -= 1;
                event
            }
            None => match hub.receive(wait)? {
                Some((rank, bytes)) => understand(rank, &bytes)?,
                None => Event::Tick,
            },
        };
        let now = hub.now();
        master.on(event, now, &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Welcome { rank, host } => {
                    keeper.join(rank, &host)?;
                    hub.send(rank, &welcome)?;
                }
                Action::Record(run) => keeper.record(run)?,
                Action::Close(summary) => keeper.close(summary)?,
                Action::Reduce { key, items } => {
                    away += 1;
                    keeper.reduce(key, items)?;
                }
                Action::Assign { rank, assignment } => {
                    hub.send(rank, &message::encode(&ToWorker::Assign(assignment)))?;
                }
                Action::Dismiss { rank } => hub.send(rank, &dismiss)?,
            }
        }
        keeper.tick(now, master)?;
    }
    Ok(())
}

fn understand(rank: usize, bytes: &[u8]) -> Result<Event> {
    match message::decode(bytes)? {
        ToMaster::Hello { host } => Ok(Event::Joined { rank, host }),
        ToMaster::Done(outcomes) => Ok(Event::Done { rank, outcomes }),
        ToMaster::Broken(why) => Err(Error::unexpected(format!("rank {rank} cannot go on: {why}"))),
    }
}

/// Sends every worker away as it says hello: there will be no job.
pub fn turn_away(hub: &mut dyn Hub) -> Result<()> {
    let dismiss = message::encode(&ToWorker::Dismiss);
    let mut left = hub.workers();
    while left > 0 {
        if let Some((rank, _)) = hub.receive(TICK)? {
            hub.send(rank, &dismiss)?;
            left -= 1;
        }
    }
    Ok(())
}
