//! What is ranked, by which number, and within which groups.

use crate::model::{BestRule, LoopNest, Reduce};
use crate::report::{folded, score_column, score_heading};
use crate::store::StoreReader;
use crate::util::error::Result;

pub(super) struct Ranking {
    /// The level of the groups; points are ranked within each.
    pub(super) group: usize,
    /// The level of the points that are ranked.
    pub(super) level: usize,
    /// 1 or -1, so that the greatest product with it is the best.
    pub(super) sign: f64,
    /// Which number is the best, `max` or `min`, if a loop or the user says so.
    pub(super) reduce: Option<&'static str>,
    /// Whether the groups choose one of the points.
    pub(super) is_reduced: bool,
    /// The field that is compared; the score if `None`.
    pub(super) field: Option<String>,
    /// Whether the user has named the field.
    pub(super) is_asked: bool,
    /// Whether it is the field that the job compares, at the same points and in the same direction.
    pub(super) is_own: bool,
    /// What the score is called.
    pub(super) score: String,
    /// The loops that may choose another point than the best.
    tolerant: Vec<String>,
    /// Whether the point that the run has chosen comes first, whatever its number.
    pub(super) begins_with_own: bool,
}

impl Ranking {
    pub(super) fn of(
        reader: &StoreReader,
        asked: Option<(bool, &str)>,
        lowest: bool,
    ) -> Result<Ranking> {
        let (nest, score) = (reader.nest(), reader.results.score_name()?);
        let own = Ranking::own(nest, lowest, score);
        let Some((greatest, field)) = asked else { return Ok(own) };
        let level = match own.is_reduced {
            true => own.group + nest.decided(own.group),
            false => own.level,
        };
        let (sign, reduce) = direction(greatest);
        let is_score = own.field.is_none() && field == own.score;
        let is_own = own.is_reduced && is_score && (own.level, own.sign) == (level, sign);
        let field = Some(field.to_string());
        let (reduce, tolerant) = (Some(reduce), tolerant(nest, own.group, level));
        let (is_asked, begins_with_own) = (true, false);
        let own = Ranking { is_own, begins_with_own, tolerant, ..own };
        Ok(Ranking { level, sign, reduce, field, is_asked, ..own })
    }

    /// The ranking of the job itself.
    fn own(nest: &LoopNest, lowest: bool, score: String) -> Ranking {
        let chooses = |level: &usize| rule(nest, *level).is_some();
        let Some(group) = (0..nest.depth()).find(chooses) else {
            return Ranking {
                group: 0,
                // The whole result is one row. If the loops are reduced to one number, rank its parts.
                level: nest.outer().max(1),
                sign: if lowest { -1.0 } else { 1.0 },
                reduce: None,
                is_reduced: false,
                field: None,
                is_asked: false,
                is_own: true,
                score,
                tolerant: Vec::new(),
                begins_with_own: false,
            };
        };
        let (level, field) = together(nest, group);
        let (sign, reduce) = direction(rule(nest, group).is_some_and(|rule| rule.greatest));
        let tolerant = tolerant(nest, group, level);
        Ranking {
            group,
            level,
            sign,
            reduce: Some(reduce),
            is_reduced: true,
            field,
            is_asked: false,
            is_own: true,
            score,
            begins_with_own: !tolerant.is_empty(),
            tolerant,
        }
    }

    /// The heading of the scores of the points.
    pub(super) fn score_heading(&self, nest: &LoopNest) -> String {
        match &self.field {
            Some(field) if !self.is_asked => {
                folded(&nest.loops()[self.level..], score_column(nest, field, &self.score))
            }
            _ => score_heading(nest, self.level, &self.score),
        }
    }

    /// Says what does not show in the ranking.
    pub(super) fn tell(&self, top: u64) {
        let loops = match self.tolerant.as_slice() {
            [] => return,
            [one] => format!("loop '{one}'"),
            several => format!("loops '{}'", several.join("', '")),
        };
        match self.begins_with_own {
            true if top > 1 => log::info!(
                "the first point of a row is the one that {loops} chose by within and prefer; the others are ranked by their number"
            ),
            true => {}
            false => log::info!(
                "within and prefer of {loops} do not apply here: points are ranked by their number"
            ),
        }
    }
}

fn direction(greatest: bool) -> (f64, &'static str) {
    if greatest { (1.0, "max") } else { (-1.0, "min") }
}

/// The rule by which the groups at a level choose a point, if they do.
fn rule(nest: &LoopNest, level: usize) -> Option<&BestRule> {
    match nest.loops()[level].reduce.as_ref()? {
        Reduce::Best(rule) => Some(rule),
        _ => None,
    }
}

/// Which points can be ranked together within the groups at a level, and by which field. That is those of all loops
/// that choose the best one after another, as long as they compare the same number in the same direction: the best
/// of the best is then the best of all.
fn together(nest: &LoopNest, group: usize) -> (usize, Option<String>) {
    let all = group + nest.decided(group);
    let mut level = nest.item_level(group);
    let Some(outermost) = rule(nest, group) else { return (level, None) };
    let mut by = &outermost.by;
    while level < all
        && let Some(inner) = rule(nest, level)
        && inner.greatest == outermost.greatest
        && (by.is_none() || *by == inner.by)
    {
        // Without a field, the loop around compares what this one does.
        by = &inner.by;
        level = nest.item_level(level);
    }
    (level, by.clone())
}

/// The loops between these levels that may choose another point than the best.
fn tolerant(nest: &LoopNest, group: usize, level: usize) -> Vec<String> {
    let loops = nest.loops()[group..level].iter();
    let tolerant = loops.filter(|l| l.reduce.as_ref().is_some_and(Reduce::has_tolerance));
    tolerant.map(|l| l.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;
    use crate::model::by_hand::product;

    fn best(json: &str) -> Option<Reduce> {
        Some(Reduce::parse(&Value::parse(json).unwrap()).unwrap())
    }

    fn ranked(reduces: &[Option<Reduce>]) -> (usize, usize, f64, Option<String>) {
        let loops: Vec<_> = reduces.iter().map(|reduce| ("a", 2, reduce.clone())).collect();
        let Ranking { group, level, sign, field, .. } =
            Ranking::own(&product(&loops), false, "score".to_string());
        (group, level, sign, field)
    }

    #[test]
    fn loops_that_compare_the_same_number_are_ranked_together() {
        let (max, min, mean) = (best("\"max\""), best("\"min\""), best("\"mean\""));
        let (by, other) = (best(r#"{"max": "r2"}"#), best(r#"{"max": "f1"}"#));
        let r2 = || Some("r2".to_string());
        for (reduces, expected) in [
            (vec![None, max.clone(), mean.clone()], (1, 2, 1.0, None)),
            (vec![None, max.clone(), max.clone(), mean.clone()], (1, 3, 1.0, None)),
            (vec![max.clone(), by.clone(), mean.clone()], (0, 2, 1.0, r2())),
            (vec![by.clone(), by.clone(), by.clone()], (0, 3, 1.0, r2())),
            // The best r2 among those with the best score is not the best r2 of all.
            (vec![by.clone(), max.clone()], (0, 1, 1.0, r2())),
            (vec![by.clone(), other], (0, 1, 1.0, r2())),
            (vec![max.clone(), min.clone()], (0, 1, 1.0, None)),
            (vec![min, max.clone(), max], (0, 1, -1.0, None)),
            (vec![None, mean.clone()], (0, 1, 1.0, None)),
        ] {
            assert_eq!(ranked(&reduces), expected, "{reduces:?}");
        }
    }
}
