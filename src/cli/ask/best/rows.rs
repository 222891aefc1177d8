//! The rows of the result, each with its best points.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::cli::ask::best::by_values::ByValues;
use crate::cli::ask::best::left_out::LeftOutPoints;
use crate::cli::ask::best::places::{RankedPoint, places};
use crate::cli::ask::best::ranking::Ranking;
use crate::cli::ask::best::unranked::UnrankedPoints;
use crate::model::{Key, LoopNest, PointCounts, Winner};
use crate::store::{ScoreRow, StoppedPoints, StoreReader};
use crate::util::error::Result;

/// A row of the result, and its best points.
pub(super) struct RankedRow {
    pub(super) key: Key,
    pub(super) status: &'static str,
    /// Whether no run of it is missing.
    pub(super) is_final: bool,
    /// Why it has no result.
    pub(super) error: Option<String>,
    /// The number of runs, and how many of them failed.
    pub(super) runs: u64,
    pub(super) failed: u64,
    /// How many of the runs another crunch has made.
    pub(super) kept: u64,
    /// Its points, if some take no part.
    pub(super) partial: Option<PointCounts>,
    /// How many of its points were stopped early, and how many of its runs are not made.
    pub(super) stopped: u64,
    pub(super) skipped: u64,
    /// Its best points; those for the same values stand together, best first.
    pub(super) best: Vec<RankedPoint>,
}

impl RankedRow {
    /// Its best points with their place, from 1, among those for the same values.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (usize, &RankedPoint)> {
        let same = self.best.chunk_by(|one, next| one.by == next.by);
        same.flat_map(|places| (1..).zip(places))
    }
}

/// Calls `each` for every row with a score, and for every one that has none, in grid order.
pub(super) fn each(
    reader: &StoreReader,
    (ranking, unranked): (&Ranking, &UnrankedPoints),
    top: u64,
    by: Option<&mut ByValues>,
    each: impl FnMut(RankedRow, Option<&ByValues>) -> Result<()>,
) -> Result<()> {
    let nest = reader.nest();
    let stopped = reader.results.stopped()?;
    let has_kept = reader.results.kept_runs(&stopped, Key::ROOT)? > 0;
    let top = usize::try_from(top).unwrap_or(usize::MAX);
    reader.results.with_scores(ranking.group, |next_closed| {
        let left_out = LeftOutPoints::new(reader, ranking);
        let mut rows = RankedRows {
            reader,
            ranking,
            unranked,
            top,
            by,
            kept_beside: has_kept.then_some(&stopped),
            next_closed,
            closed: None,
            left_out,
            each,
        };
        let mut open: Option<OpenRow> = None;
        places(reader, ranking, |place| {
            let key = nest.ancestor(place.key, ranking.group);
            if open.as_ref().is_none_or(|row| row.key != key) {
                let next = rows.begin(key)?;
                if let Some(row) = open.replace(next) {
                    rows.end(row)?;
                }
            }
            match &mut open {
                Some(row) => rows.add(row, place),
                None => Ok(()),
            }
        })?;
        open.map_or(Ok(()), |row| rows.end(row))
    })
}

/// A row whose points are being read.
struct OpenRow {
    key: Key,
    /// Its group, if that has closed.
    closed: Option<ClosedRow>,
    runs: u64,
    failed: u64,
    points: PointCounts,
    /// The best points so far, and those for values, by their number.
    best: Vec<RankedPoint>,
    by_values: BTreeMap<usize, Vec<RankedPoint>>,
    /// The point that the run has chosen.
    own: Option<RankedPoint>,
}

struct ClosedRow {
    error: Option<String>,
    runs: u64,
    failed: u64,
    /// The point that the run has chosen, if that comes first.
    own: Option<Key>,
}

/// Completes rows, one after another.
struct RankedRows<'a, E> {
    reader: &'a StoreReader,
    ranking: &'a Ranking,
    unranked: &'a UnrankedPoints,
    top: usize,
    by: Option<&'a mut ByValues>,
    /// If any run was made by another crunch: the points some of whose runs do not count.
    kept_beside: Option<&'a StoppedPoints>,
    /// Gives the closed groups of the rows' level, of which the last one is `closed`.
    next_closed: &'a mut dyn FnMut() -> Result<Option<ScoreRow>>,
    closed: Option<ScoreRow>,
    left_out: LeftOutPoints<'a>,
    each: E,
}

impl<E: FnMut(RankedRow, Option<&ByValues>) -> Result<()>> RankedRows<'_, E> {
    fn begin(&mut self, key: Key) -> Result<OpenRow> {
        let is_before = |closed: &Option<ScoreRow>| closed.as_ref().is_none_or(|c| c.key < key);
        while self.ranking.is_reduced && is_before(&self.closed) {
            self.closed = (self.next_closed)()?;
            if self.closed.is_none() {
                break;
            }
        }
        let closed = self.closed.as_ref().filter(|group| group.key == key).map(|group| ClosedRow {
            error: group.error.clone(),
            runs: group.runs,
            failed: group.failed,
            own: match self.ranking.begins_with_own {
                true => chosen(self.reader.nest(), self.ranking, key, &group.winners()),
                false => None,
            },
        });
        let (points, best, by_values) = (PointCounts::default(), Vec::new(), BTreeMap::new());
        Ok(OpenRow { key, closed, runs: 0, failed: 0, points, best, by_values, own: None })
    }

    fn add(&mut self, row: &mut OpenRow, mut place: RankedPoint) -> Result<()> {
        if self.unranked.has(place.key) {
            return Ok(());
        }
        row.runs += place.runs + place.failed;
        row.failed += place.failed;
        let is_left_out = self.left_out.has(place.key)?;
        row.points.add(PointCounts::one(!place.is_failed), place.number.is_some() && !is_left_out);
        let Some(number) = place.number.filter(|_| !is_left_out) else { return Ok(()) };
        if row.closed.as_ref().is_some_and(|closed| closed.own == Some(place.key)) {
            row.own = Some(place);
            return Ok(());
        }
        let best = match &mut self.by {
            Some(by) => {
                place.by = by.number(self.reader.nest(), place.key);
                row.by_values.entry(place.by).or_default()
            }
            None => &mut row.best,
        };
        // Of equal numbers, the first in grid order stays first.
        let sign = self.ranking.sign;
        let number_of = |place: &RankedPoint| sign * place.number.unwrap_or(f64::NAN);
        let at = best.partition_point(|other| number_of(other) >= sign * number);
        if at < self.top {
            best.insert(at, place);
            best.truncate(self.top);
        }
        Ok(())
    }

    /// Passes a row on whose points are all there, unless none has a number yet.
    fn end(&mut self, row: OpenRow) -> Result<()> {
        let OpenRow { key, closed, mut runs, mut failed, mut points, .. } = row;
        let OpenRow { mut best, by_values, own, .. } = row;
        let (nest, ranking) = (self.reader.nest(), self.ranking);
        let error = closed.as_ref().and_then(|closed| closed.error.clone());
        if error.is_some() {
            best.clear();
        } else {
            if self.by.is_some() {
                best = in_order(by_values, self.ranking.sign);
            }
            if let Some(own) = own {
                best.insert(0, own);
                best.truncate(self.top);
            }
        }
        if best.is_empty() && closed.is_none() {
            return Ok(());
        }
        if ranking.level < nest.depth() {
            // The places are groups; runs of groups that are open are not among theirs.
            (runs, failed) = match &closed {
                Some(closed) => (closed.runs + closed.failed, closed.failed),
                None => {
                    let (all, failed) = self.reader.below(key)?;
                    let unasked = self.unranked.unasked(self.reader, key)?;
                    (all - unasked.runs, failed - unasked.failed)
                }
            };
        }
        let (stopped, skipped) = (self.unranked.within(key), self.unranked.skipped(key));
        // They have a result, as far as the best one is concerned.
        points.counted += stopped;
        let is_final = closed.is_some() || !ranking.is_reduced && runs == nest.task_count(key);
        // What the run says of its own points; of others, what was counted.
        let known = match ranking.is_asked {
            true => None,
            false => self.reader.results.partial(key)?,
        };
        let counted = Some(points).filter(|points| points.lacks_some());
        let partial = known.or(counted).filter(|_| is_final && error.is_none());
        let status = match (&error, is_final) {
            (Some(_), _) => "incomplete",
            (None, true) if partial.is_none() && failed == 0 => "complete",
            (None, _) => "partial",
        };
        let kept = match self.kept_beside {
            Some(stopped) => self.reader.results.kept_runs(stopped, key)?,
            None => 0,
        };
        let row = RankedRow {
            key,
            status,
            is_final,
            error,
            runs,
            failed,
            kept,
            partial,
            stopped,
            skipped,
            best,
        };
        (self.each)(row, self.by.as_deref())
    }
}

/// The best points for each of some values, those first whose best is better.
fn in_order(by_values: BTreeMap<usize, Vec<RankedPoint>>, sign: f64) -> Vec<RankedPoint> {
    let mut lists: Vec<Vec<RankedPoint>> = by_values.into_values().collect();
    let first = |places: &Vec<RankedPoint>| {
        let number = |place: &RankedPoint| (sign * place.number.unwrap_or(f64::NAN), place.key);
        places.first().map_or((f64::NAN, Key::ROOT), number)
    };
    lists.sort_by(|a, b| {
        let (a, b) = (first(a), first(b));
        b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1))
    });
    lists.into_iter().flatten().collect()
}

/// The point of those that are ranked that the winners lead to.
fn chosen(nest: &LoopNest, ranking: &Ranking, row: Key, winners: &[Winner]) -> Option<Key> {
    let inwards = |key, winner: &Winner| nest.child(key, winner.slot);
    let winners = winners.iter().take(ranking.level - row.level);
    winners.into_iter().try_fold(row, inwards).filter(|key| key.level == ranking.level)
}
