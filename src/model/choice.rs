//! Chooses among points that are about as good as the best one.

use crate::model::key::Key;
use crate::model::nest::LoopNest;
use crate::model::reduce::{BestRule, Tolerance, number_at};
use crate::model::results::{Scored, Winner};
use crate::model::value::Value;

/// The result of a group of which the rule chooses one of these slots; they are in grid order.
///
/// # Errors
/// If the best point has no spread, or crunch a field of the name that the best score gets.
pub(crate) fn choose(
    nest: &LoopNest,
    key: Key,
    rule: &BestRule,
    candidates: Vec<(u64, Scored)>,
) -> Result<Scored, String> {
    let (Some(tolerance), Some(by)) = (&rule.tolerance, &rule.by) else {
        return Err("no tolerance is given".to_string());
    };
    let signed = |scored: &Scored| rule.sign() * scored.score.unwrap_or(f64::NAN);
    let mut best: Option<&Scored> = None;
    for (_, scored) in &candidates {
        if best.is_none_or(|best| signed(scored) > signed(best)) {
            best = Some(scored);
        }
    }
    let best = best.ok_or("no run counts")?;
    let unit = match tolerance.spread {
        None => 1.0,
        Some(_) if candidates.len() == 1 => 0.0, // no choice, as where the loop does not apply
        Some(_) => number_at(&best.value.get(), tolerance.spread_field()).ok_or_else(|| {
            let field = tolerance.spread_field();
            format!("the best point has no '{field}', within which others are as good: it needs more than one run")
        })?,
    };
    let (best, reach) = (signed(best), tolerance.times * unit);
    // Of equally preferred points the one with the better score, and of these the first.
    let mut chosen: Option<(Option<f64>, u64, Scored)> = None;
    for (slot, scored) in candidates {
        // Also where both are infinite.
        if signed(&scored) != best && signed(&scored) < best - reach {
            continue;
        }
        let preferred = preference(nest, key, tolerance, slot, &scored);
        let leads = chosen.as_ref().is_none_or(|(before, _, other)| match (preferred, before) {
            (Some(own), Some(before)) if own != *before => own > *before,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            _ => signed(&scored) > signed(other),
        });
        if leads {
            chosen = Some((preferred, slot, scored));
        }
    }
    let (_, slot, mut scored) = chosen.ok_or("no run counts")?;
    let name = tolerance.best_field();
    if scored.value.get().at_path(name).is_some() {
        return Err(format!(
            "the summary would have two fields '{name}': the one that crunch gives and the best '{by}'; give crunch's another name"
        ));
    }
    let found = (name.to_string(), Value::Float(rule.sign() * best));
    let value = match std::mem::take(&mut scored.value).into_value() {
        Value::Record(mut fields) => {
            fields.push(found);
            fields
        }
        plain => vec![(by.clone(), plain), found],
    };
    scored.value = Value::Record(value).into();
    scored.best.insert(0, Winner { level: key.level, slot });
    Ok(scored)
}

/// How much a point is preferred; `None`, which comes last, where the loop does not apply or has no number there.
fn preference(
    nest: &LoopNest,
    key: Key,
    tolerance: &Tolerance,
    slot: u64,
    scored: &Scored,
) -> Option<f64> {
    let mut won = nest.winning(key, slot);
    won.extend(&scored.best);
    let points = nest.winners(key, &won);
    let number = points.iter().find_map(|(name, point)| {
        let rest = tolerance.prefer.strip_prefix(name)?;
        match rest.strip_prefix('.') {
            Some(field) => point.at_path(field)?.as_f64(),
            None if rest.is_empty() => point.as_f64(),
            None => None,
        }
    })?;
    let sign = if tolerance.prefers_greatest { 1.0 } else { -1.0 };
    Some(sign * number).filter(|number| !number.is_nan())
}
