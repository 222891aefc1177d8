//! Points that were stopped early. They have no rank, so places that they could have are refused.

use crate::cli::ask::best::by_values::ByValues;
use crate::cli::ask::best::ranking::Ranking;
use crate::model::{Key, StopReason};
use crate::report::text::words::things;
use crate::store::{RunCounts, StoppedPoints, StoreReader};
use crate::util::error::{Error, Result};

/// The stopped points among those that are ranked.
pub(super) struct UnrankedPoints {
    /// Nothing if there are none; those inside each point that is ranked do not matter.
    stopped: Option<StoppedPoints>,
    /// The level of the points that are ranked.
    level: usize,
}

impl UnrankedPoints {
    /// Fails if one of them could be among the places that are asked for.
    pub(super) fn of(
        reader: &StoreReader,
        ranking: &Ranking,
        top: u64,
        by: Option<&ByValues>,
    ) -> Result<UnrankedPoints> {
        let stopped = reader.results.stopped()?;
        let Some(stops) = stopped.level() else {
            return Ok(UnrankedPoints { stopped: None, level: ranking.level });
        };
        let (is_ranked, level) = (stops <= ranking.level, ranking.level);
        let unranked = UnrankedPoints { stopped: is_ranked.then_some(stopped), level };
        if !is_ranked || unranked.are_beaten(ranking, top) && !splits(by, stops) {
            return Ok(unranked);
        }
        let all = unranked.within(Key::ROOT);
        let (were, are) = if all == 1 { ("was", "is") } else { ("were", "are") };
        Err(Error::input(format!(
            "{} {were} stopped early and {are} not ranked, but could be among the places that are asked for; only the first place by the job's own measure is known. Remove `stop` and run again, which computes only what is missing",
            things(all, "point")
        )))
    }

    /// Whether none of them can have one of these places.
    fn are_beaten(&self, ranking: &Ranking, top: u64) -> bool {
        let mut reasons = self.stopped.iter().flat_map(StoppedPoints::all).map(|point| &point.why);
        // Halving says who is the best, by the job's own measure; of other measures it knows nothing.
        let is_own = !ranking.is_asked
            || ranking.is_own && reasons.all(|why| matches!(why, StopReason::Beaten { .. }));
        top == 1 && is_own
    }

    /// Whether a point is one of them, or in one.
    pub(super) fn has(&self, point: Key) -> bool {
        self.stopped.as_ref().is_some_and(|stopped| stopped.around(point).is_some())
    }

    /// How many of them a row has.
    pub(super) fn within(&self, row: Key) -> u64 {
        self.stopped.as_ref().map_or(0, |stopped| stopped.points(row, self.level))
    }

    /// How many runs below a row are there that count nowhere, and how many of them failed.
    pub(super) fn unasked(&self, reader: &StoreReader, row: Key) -> Result<RunCounts> {
        let unasked = |stopped| reader.results.unasked_runs(stopped, row);
        self.stopped.as_ref().map_or(Ok(RunCounts::default()), unasked)
    }

    /// How many runs below a row are not made, of these points.
    pub(super) fn skipped(&self, row: Key) -> u64 {
        self.stopped.as_ref().map_or(0, |stopped| stopped.skipped(row))
    }
}

/// Whether `--by` tells points apart that were compared with each other, whose keys are at this level.
fn splits(by: Option<&ByValues>, stops: usize) -> bool {
    by.is_some_and(|by| by.levels().any(|level| level + 1 >= stops))
}
