//! The points that are ranked, one after another.

use crate::cli::ask::best::ranking::Ranking;
use crate::model::{Key, Value, Winner};
use crate::store::StoreReader;
use crate::util::error::Result;

/// A point that is ranked: a run, or what the loops inside have folded it to.
pub(super) struct RankedPoint {
    pub(super) key: Key,
    pub(super) score: Option<f64>,
    /// What it is ranked by; never NaN.
    pub(super) number: Option<f64>,
    /// How many runs of it succeeded, and how many failed.
    pub(super) runs: u64,
    pub(super) failed: u64,
    /// Whether it has no result.
    pub(super) is_failed: bool,
    /// Whether its value is the score, and nothing more.
    pub(super) is_plain: bool,
    /// The winning points of the loops inside that chose one.
    pub(super) winners: Vec<Winner>,
    /// The number of the values that it may be the best for.
    pub(super) by: usize,
}

impl RankedPoint {
    /// What people know as its score: what its loops compare.
    pub(super) fn shown_score(&self, ranking: &Ranking) -> Option<f64> {
        if ranking.is_asked { self.score } else { self.number }
    }
}

/// Calls `each` with every point that is there, in grid order. Values are read only if a field of them counts.
pub(super) fn places(
    reader: &StoreReader,
    ranking: &Ranking,
    mut each: impl FnMut(RankedPoint) -> Result<()>,
) -> Result<()> {
    let Ranking { level, score: name, .. } = ranking;
    let has_winners = reader.nest().decided(*level) > 0;
    let Some(field) = &ranking.field else {
        return reader.results.scores(*level, |row| {
            let winners = if has_winners { row.winners() } else { Vec::new() };
            each(RankedPoint {
                key: row.key,
                score: row.score,
                number: row.score.filter(|score| !score.is_nan()),
                runs: row.runs,
                failed: row.failed,
                is_failed: row.error.is_some(),
                is_plain: row.size == 0,
                winners,
                by: 0,
            })
        });
    };
    reader.results.whole_summaries(*level, |summary| {
        let (runs, failed, key) = (summary.runs, summary.failed, summary.key);
        let scored = summary.result.ok();
        let is_failed = scored.is_none();
        let scored = scored.unwrap_or_default();
        let value = scored.value.get();
        let number = number(&value, scored.score, field, name).filter(|_| !is_failed);
        let is_plain = matches!(*value, Value::Float(_) | Value::Null);
        let (score, winners) = (scored.score, scored.best.clone());
        each(RankedPoint { key, score, number, runs, failed, is_failed, is_plain, winners, by: 0 })
    })
}

/// The name under which the score can always be asked for.
pub(super) const SCORE: &str = "score";

/// The number of a field. Without a field of its name, the score is found by that name too.
pub(super) fn number(value: &Value, score: Option<f64>, field: &str, name: &str) -> Option<f64> {
    let is_record = matches!(value, Value::Record(_));
    let number = match value.at_path(field) {
        Some(found) => found.as_f64(),
        None if field == SCORE || !is_record && field == name => score,
        None => None,
    };
    number.filter(|number| !number.is_nan())
}
