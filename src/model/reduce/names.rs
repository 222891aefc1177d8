//! What the fields are called that folds add. The job alone decides it, not the data: where two loops take the
//! same fold, each is named by its loop too.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::reduce::Reduce;
use crate::model::reduce::best_rule::BestRule;

/// What stands behind the best score's name where another point was chosen.
const BEST: &str = "best";

/// Names what each loop's folds add; loops with their names, outermost first. Fails if a tolerance needs a
/// spread that no loop inside gives.
pub(crate) fn name_fields(loops: &mut [(&str, Option<&mut Reduce>)]) -> Result<(), String> {
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for (_, reduce) in loops.iter() {
        for name in reduce.as_deref().map(added).unwrap_or_default() {
            *uses.entry(name).or_default() += 1;
        }
    }
    let own = |name: String, l: &str| match uses.get(&name) {
        Some(2..) => format!("{name}_{l}"),
        _ => name,
    };
    let mut inner: Vec<String> = Vec::new();
    for at in (0..loops.len()).rev() {
        let (outside, inside) = loops.split_at_mut(at + 1);
        let Some((l, Some(reduce))) = outside.last_mut() else { continue };
        match reduce {
            Reduce::Fields(list) => {
                let list = Arc::make_mut(list);
                list.inner.clone_from(&inner);
                for fold in &mut list.folds[1..] {
                    fold.name = own(fold.fold.name(), l);
                    inner.push(fold.name.clone());
                }
            }
            Reduce::Best(rule) => {
                let rule = Arc::make_mut(rule);
                tolerance(rule, l, inside, own(BEST.to_string(), l))?;
                if rule.tolerance.is_some() {
                    inner.push(own(BEST.to_string(), l));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The names that a reduction adds to those of fields, before they are told apart.
fn added(reduce: &Reduce) -> Vec<String> {
    match reduce {
        Reduce::Fields(list) => list.more().iter().map(|fold| fold.fold.name()).collect(),
        Reduce::Best(rule) if rule.tolerance.is_some() => vec![BEST.to_string()],
        _ => Vec::new(),
    }
}

fn tolerance(
    rule: &mut BestRule,
    l: &str,
    inside: &[(&str, Option<&mut Reduce>)],
    best: String,
) -> Result<(), String> {
    let (Some(by), Some(tolerance)) = (&rule.by, &mut rule.tolerance) else { return Ok(()) };
    tolerance.best_field = format!("{by}_{best}");
    let Some(spread) = tolerance.spread else { return Ok(()) };
    for (_, reduce) in inside {
        let list = match reduce.as_deref() {
            Some(Reduce::Fields(list)) => list,
            // The winner's fields come through as they are.
            Some(Reduce::Best(_) | Reduce::Join) => continue,
            _ => break,
        };
        if let Some(fold) = list.more().iter().find(|fold| fold.fold == spread) {
            tolerance.spread_field = format!("{by}_{}", fold.name);
            return Ok(());
        }
    }
    let name = spread.name();
    Err(match inside.first() {
        Some((next, _)) => format!(
            "loop '{l}' chooses within {} times the best point's {name}, which loop '{next}' inside it does not give: write reduce = [\"mean\", \"{name}\"] there",
            tolerance.times
        ),
        None => format!(
            "loop '{l}' chooses within {} times the best point's {name}, but no loop is inside it whose runs have one: add a loop (folds, repeats) with reduce = [\"mean\", \"{name}\"], or write within = {{ value = ... }}",
            tolerance.times
        ),
    })
}
