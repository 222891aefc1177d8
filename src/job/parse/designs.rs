//! Parses random points and designs: `random`, `lhs` and `sobol`.

use crate::job::parse::keys::TomlEntry;
use crate::job::parse::listed::{self, MOST_LISTED};
use crate::model::{Distribution, Points, Value};
use crate::util::error::Result;

/// How many points a Sobol sequence has: its coordinates have 30 bits.
const SOBOL_POINTS: u64 = 1 << SOBOL_BITS;
const SOBOL_BITS: u32 = 30;

/// The points of one of the three.
pub(super) fn points(source: &str, entry: &TomlEntry, loop_name: &str) -> Result<Points> {
    let mut table = entry.table()?;
    let count = table.need("count")?.count(1)?;
    let is_sobol = source == "sobol";
    let seed = match table.take("seed") {
        Some(seed) if is_sobol && !seed.is_table() => {
            return Err(seed.error("a Sobol sequence has no seed: it is not random; 'skip' leaves out its first points"));
        }
        seed => seed.map_or(Ok(0), |seed| seed.count(0))?,
    };
    let skip_entry = if is_sobol { table.take("skip") } else { None };
    let skip = skip_entry.as_ref().map_or(Ok(0), |skip| skip.count(0))?;
    let draws = table.rest();
    let draws: Vec<(String, Distribution)> = draws
        .into_iter()
        .map(|(name, drawn)| Ok((name, distribution(&drawn)?)))
        .collect::<Result<_>>()?;
    if draws.is_empty() {
        let hint =
            "expected what to draw, as in alpha = { loguniform = { from = 1e-3, to = 1e3 } }";
        return Err(entry.error(hint));
    }
    let bare = matches!(draws.as_slice(), [(name, _)] if name == loop_name);
    match source {
        "random" => Ok(Points::random(count, seed, draws, bare)),
        "lhs" => {
            let few = u32::try_from(count).ok().filter(|_| count <= MOST_LISTED);
            let count = few.ok_or_else(|| {
                entry.error(format!("{count} points are more than {MOST_LISTED}"))
            })?;
            Ok(Points::latin(count, seed, draws, bare))
        }
        _ => sobol(entry, count, skip, draws, bare),
    }
}

fn sobol(
    entry: &TomlEntry,
    count: u64,
    skip: u64,
    draws: Vec<(String, Distribution)>,
    bare: bool,
) -> Result<Points> {
    if count.checked_add(skip).is_none_or(|points| points > SOBOL_POINTS) {
        return Err(entry.error(format!(
            "count and skip together are more than {SOBOL_POINTS}, the length of the sequence"
        )));
    }
    let is_normal = |(_, draw): &&(String, Distribution)| {
        matches!(draw, Distribution::Normal(..) | Distribution::Lognormal(..))
    };
    if let Some((name, _)) = draws.iter().find(is_normal).filter(|_| skip == 0) {
        return Err(entry.error(format!(
            "point 0 of a Sobol sequence is all zeros, which is minus infinity for the normal distribution of '{name}': leave it out with skip = 1"
        )));
    }
    let known = sobol::params::JoeKuoD6::standard();
    if draws.len() > known.max_dims {
        return Err(entry.error(format!(
            "{} parameters; direction numbers are known for {}",
            draws.len(),
            known.max_dims
        )));
    }
    // The first parameter has the binary digits of the point in reverse, and so no numbers of its own.
    let first = (0..SOBOL_BITS).map(|bit| 1 << (SOBOL_BITS - 1 - bit)).collect();
    let others = known.dim_params.iter().map(|numbers| directions(numbers.a, &numbers.m));
    let directions = std::iter::once(first).chain(others).take(draws.len()).collect();
    Ok(Points::sobol(count, skip, directions, draws, bare))
}

/// The direction numbers of a parameter, from the inner coefficients of its primitive polynomial and its
/// initial numbers (Bratley and Fox 1988, Joe and Kuo 2008).
fn directions(coefficients: u32, initial: &[u32]) -> Vec<u32> {
    let degree = initial.len();
    let mut odd: Vec<u32> = initial.to_vec();
    for bit in degree..SOBOL_BITS as usize {
        let mut next = odd[bit - degree] ^ (odd[bit - degree] << degree);
        for back in 1..degree {
            if coefficients >> (degree - 1 - back) & 1 == 1 {
                next ^= odd[bit - back] << back;
            }
        }
        odd.push(next);
    }
    odd.into_iter().zip(1..).map(|(odd, bit)| odd << (SOBOL_BITS - bit)).collect()
}

fn distribution(entry: &TomlEntry) -> Result<Distribution> {
    let mut outer = entry.table()?;
    if let Some(choice) = outer.take("choice") {
        outer.finish()?;
        let values: Vec<Value> = match choice.is_table() {
            true => {
                let mut table = choice.table()?;
                let json = table.need("json")?;
                table.finish()?;
                listed::json(&json)?
            }
            false => choice.array()?.iter().map(TomlEntry::value).collect::<Result<_>>()?,
        };
        if values.is_empty() {
            return Err(choice.error("no values to choose from"));
        }
        return Ok(Distribution::Choice(values));
    }
    const KINDS: [&str; 6] =
        ["uniform", "loguniform", "integers", "logintegers", "normal", "lognormal"];
    let Some((kind, inner)) = KINDS.into_iter().find_map(|k| outer.take(k).map(|e| (k, e))) else {
        outer.finish()?;
        return Err(entry.error(format!("expected one of choice, {}", KINDS.join(", "))));
    };
    outer.finish()?;
    let mut table = inner.table()?;
    let made = if kind == "integers" {
        let (from, to) = (table.need("from")?.whole()?, table.need("to")?.whole()?);
        (from < to).then_some(Distribution::Integers(from, to))
    } else if kind == "logintegers" {
        let (from, to) = (table.need("from")?.whole()?, table.need("to")?.whole()?);
        if from < 1 {
            return Err(inner.error(format!("expected 'from' over 0, found {from}")));
        }
        (from < to).then_some(Distribution::Logintegers(from, to))
    } else if let "normal" | "lognormal" = kind {
        let (mean, sd) = (table.need("mean")?.number()?, table.need("sd")?.number()?);
        let make = if kind == "normal" { Distribution::Normal } else { Distribution::Lognormal };
        if sd < 0.0 {
            return Err(
                inner.error(format!("expected a standard deviation of 0 or more, found {sd}"))
            );
        }
        // No draw is ten standard deviations away. Points are finite.
        let most = if kind == "normal" { f64::MAX } else { f64::MAX.ln() };
        let far = if kind == "normal" { mean.abs() } else { mean };
        if far + 10.0 * sd > most {
            return Err(inner.error("some draws would be infinite: choose a smaller mean or sd"));
        }
        Some(make(mean, sd))
    } else {
        let (from, to) = (table.need("from")?.number()?, table.need("to")?.number()?);
        let make = if kind == "uniform" { Distribution::Uniform } else { Distribution::Loguniform };
        if kind == "loguniform" && from <= 0.0 {
            return Err(inner.error(format!("expected 'from' over 0, found {from}")));
        }
        let width = if kind == "uniform" { to - from } else { to.ln() - from.ln() };
        if from < to && !(width.is_finite() && width > 0.0) {
            let far = if width > 0.0 { "far apart" } else { "close to each other" };
            return Err(inner.error(format!("'from' and 'to' are too {far}")));
        }
        (from < to).then(|| make(from, to))
    };
    table.finish()?;
    made.ok_or_else(|| inner.error("expected 'from' below 'to'"))
}
