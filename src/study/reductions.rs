//! The reductions of a study that the master itself computes: by max or min, which may stop points early, and by
//! mean, median or sum.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::executor::rust::StudyReduce;
use crate::model::{Key, LoopNest, NumberFold, Reduce, ScoreRange, Scored, StopRule, Value};
use crate::study::Study;
use crate::study::nest::Crunched;
use crate::util::error::{Error, Result};
use crate::wire::codec;

/// Gives the value of a run, or of the group with this key, in its own type.
pub(super) type ValueReader<S> = Arc<dyn Fn(&LoopNest, Key, &Scored) -> Result<S> + Send + Sync>;

/// Reads what the user's function has returned.
pub(super) fn returned<S: DeserializeOwned>() -> ValueReader<S> {
    Arc::new(|_, _, scored| codec::decode_theirs(&scored.typed))
}

/// Reads the score.
fn score() -> ValueReader<f64> {
    Arc::new(|_, _, scored| scored.score.ok_or_else(|| unfit("no score")))
}

/// Reads a best point.
fn best<S: 'static>(inside: ValueReader<S>) -> ValueReader<Best<S>> {
    Arc::new(move |nest, group, scored| {
        let score = scored.score.ok_or_else(|| unfit("no score"))?;
        let (winner, inner) = scored.best.split_first().ok_or_else(|| unfit("no best point"))?;
        let point = nest.child(group, winner.slot).ok_or_else(|| unfit("another best point"))?;
        let typed = scored.typed.clone();
        let within =
            Scored { score: Some(score), best: inner.to_vec(), typed, ..Scored::default() };
        let summary = inside(nest, point, &within)?;
        Ok(Best { index: winner.slot as usize, point: nest.value(point), score, summary })
    })
}

fn unfit(what: &str) -> Error {
    Error::unexpected(format!("a bug in gridmpi: the value of a group has {what}"))
}

/// The best point of a loop: what [`Study::max`] and [`Study::min`] give.
#[derive(Clone, Debug, PartialEq)]
pub struct Best<S> {
    /// The index of the point among those that the loop has in the group, from 0, as in [`Runs`](crate::Runs).
    pub index: usize,
    /// The point, as the store shows it.
    pub point: Value,
    /// The score that was compared.
    pub score: f64,
    /// The result of the point: its run, or the summary of the loop inside.
    pub summary: S,
}

/// When a loop stops points early; for [`Study::stop`].
#[derive(Clone, Debug)]
pub struct Stop {
    rule: Result<StopRule, String>,
}

impl Stop {
    /// A point is stopped when it cannot be the best one any more, whatever its other runs give. The winner, its score
    /// and its runs are those of the full grid. A skipped run counts as a result: if it would have failed, the full grid
    /// might have had no value, or another one.
    ///
    /// The score of every run lies between the ends of `score_range`, of which one may be infinite; a run with another
    /// score fails. With [`max`](Study::max) the greater end must be finite, with [`min`](Study::min) the smaller one.
    /// This helps where scores spread wide and a good one is near that end: errors near 0, say.
    pub fn sure(score_range: RangeInclusive<f64>) -> Stop {
        let (least, most) = score_range.into_inner();
        let range = ScoreRange::new(least, most).ok_or_else(|| {
            format!("Stop::sure: the least score, {least}, is not below the greatest, {most}")
        });
        Stop { rule: range.map(StopRule::Sure) }
    }

    /// Successive halving: all points begin with the first `from` points of the loop inside. The best `1 / by` of them go
    /// on to `by` times as many, and so on; those that are left at the end run at all of them. Only these can win, so the
    /// winner may differ from that of the full grid. `by` is at least 2, and `from` at least 1.
    pub fn halve(by: u64, from: u64) -> Stop {
        let rule = match (by, from) {
            (..2, _) => Err(format!("Stop::halve: {by} would stop no point; at least 2 is needed")),
            (_, 0) => Err("Stop::halve: each point needs at least 1 run to begin with".to_string()),
            _ => Ok(StopRule::Halve { by, from }),
        };
        Stop { rule }
    }
}

impl<R: Serialize + DeserializeOwned + 'static> Crunched<R> {
    /// Reduces the innermost loop to the point with the greatest score; see [`Study::max`].
    pub fn max(self) -> Study<R, Best<R>> {
        self.begin().max()
    }

    /// Reduces the innermost loop to the point with the smallest score; see [`Study::min`].
    pub fn min(self) -> Study<R, Best<R>> {
        self.begin().min()
    }

    /// Reduces the innermost loop to the mean of its scores; see [`Study::mean`].
    pub fn mean(self) -> Study<R, f64> {
        self.begin().mean()
    }

    /// Reduces the innermost loop to the median of its scores; see [`Study::mean`].
    pub fn median(self) -> Study<R, f64> {
        self.begin().median()
    }

    /// Reduces the innermost loop to the sum of its scores; see [`Study::mean`].
    pub fn sum(self) -> Study<R, f64> {
        self.begin().sum()
    }
}

/// Reductions that gridmpi itself computes, by the scores of what is inside: of a number the number, else the number field
/// `score`. Where a result has no score, the group is incomplete. They take the place of [`reduce`](Study::reduce), also
/// in turns with it.
impl<R: 'static, S: 'static> Study<R, S> {
    /// Reduces the next loop outwards to its best point: the one with the greatest score, the first of equal ones.
    ///
    /// ```
    /// use gridmpi::{Nest, Settings};
    ///
    /// let outcome = Nest::new()
    ///     .data("dataset", || Ok(vec![vec![1.0, 2.0], vec![-3.0]]))
    ///     .each("alpha", [0.5, 1.0, 0.25])
    ///     .each("fold", 0..4)
    ///     .crunch(|(data, alpha, fold), _| Ok(data.iter().sum::<f64>() * alpha + f64::from(*fold)))
    ///     .mean() // over folds
    ///     .max() // over alphas
    ///     .run(&Settings::default())?
    ///     .expect("this is rank 0");
    /// let best: Vec<_> = outcome.summaries.into_iter().map(|row| row.value.unwrap()).collect();
    /// assert_eq!((best[0].index, best[0].score), (1, 4.5));
    /// assert_eq!((best[1].point.as_f64(), best[1].summary), (Some(0.25), 0.75));
    /// # Ok::<(), gridmpi::Error>(())
    /// ```
    ///
    /// The tables of such a study have a column for the best point.
    pub fn max(self) -> Study<R, Best<S>> {
        self.best(Reduce::max())
    }

    /// Reduces the next loop outwards to its best point: the one with the smallest score, the first of equal ones. See
    /// [`max`](Study::max).
    pub fn min(self) -> Study<R, Best<S>> {
        self.best(Reduce::min())
    }

    /// Reduces the next loop outwards to the mean of its scores. They are added in the order of the loop's points, so
    /// the mean has the same bits on any number of workers.
    pub fn mean(self) -> Study<R, f64> {
        self.number(NumberFold::Mean)
    }

    /// Reduces the next loop outwards to the median of its scores; of an even number of them the mean of the two in the
    /// middle.
    pub fn median(self) -> Study<R, f64> {
        self.number(NumberFold::Median)
    }

    /// Reduces the next loop outwards to the sum of its scores. See [`mean`](Study::mean).
    pub fn sum(self) -> Study<R, f64> {
        self.number(NumberFold::Sum)
    }

    fn best(self, reduce: Reduce) -> Study<R, Best<S>> {
        let read = best(self.read.clone());
        self.known(reduce, read)
    }

    fn number(self, fold: NumberFold) -> Study<R, f64> {
        self.known(Reduce::scores(fold), score())
    }

    fn known<T>(mut self, reduce: Reduce, read: ValueReader<T>) -> Study<R, T> {
        self.erased.reduces.push(StudyReduce::Known(reduce, None));
        self.reading(read)
    }
}

impl<R, S> Study<R, Best<S>> {
    /// Stops points of the loop that was reduced last, by [`max`](Study::max) or [`min`](Study::min), before all their
    /// runs are made. The loops inside it must be reduced by [`mean`](Study::mean), [`median`](Study::median),
    /// [`sum`](Study::sum), [`max`](Study::max) or [`min`](Study::min).
    ///
    /// ```
    /// use gridmpi::{Nest, Settings, Stop};
    ///
    /// // How far each of 100 shrinkages is off, in 10 folds.
    /// let outcome = Nest::new()
    ///     .data("dataset", || Ok(vec![0.25, 0.7]))
    ///     .each("shrinkage", (0..100).map(|i| f64::from(i) / 100.0))
    ///     .each("fold", 0..10)
    ///     .crunch(|(best, shrinkage, fold), _| {
    ///         Ok((shrinkage - best) * (shrinkage - best) * f64::from(10 + fold))
    ///     })
    ///     .mean() // over folds
    ///     .min() // over shrinkages
    ///     .stop(Stop::sure(0.0..=f64::INFINITY)) // squares are never below 0
    ///     .run(&Settings::default())?
    ///     .expect("this is rank 0");
    /// for row in &outcome.summaries {
    ///     assert_eq!(row.runs + row.skipped, 1000);
    /// }
    /// assert_eq!(outcome.summaries[0].value.as_ref().unwrap().index, 25);
    /// assert!(outcome.skipped() > 1000, "most of 2000 runs: {}", outcome.skipped());
    /// let runs = outcome.runs(&outcome.summaries[0])?;
    /// let reason = runs[999].as_ref().unwrap_err(); // of the last shrinkage, in the last fold
    /// assert!(reason.starts_with("skipped: cannot beat shrinkage = 0.25: at least "), "{reason}");
    /// # Ok::<(), gridmpi::Error>(())
    /// ```
    ///
    /// The same runs are made on any number of workers, and in any number of starts. A skipped run has not failed, and
    /// its group is complete. Without the rule, a later start of the study makes what is missing.
    pub fn stop(mut self, stop: Stop) -> Self {
        match (stop.rule, self.erased.reduces.last_mut()) {
            (Err(why), _) => self.refused = Some(why),
            (Ok(rule), Some(StudyReduce::Known(_, stopped))) => {
                *stopped = Some(rule);
                self.policy.score_range = match rule {
                    StopRule::Sure(range) => Some(range),
                    StopRule::Halve { .. } => None,
                };
            }
            (Ok(_), _) => {} // max and min alone give this type
        }
        self
    }
}
