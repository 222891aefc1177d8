//! `gridmpi best`: the best points per row of the result, and whether they are final.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value as Json, json};

use crate::cli::ask::{Array, ListFormat, Sink, stream};
use crate::job::named_json;
use crate::model::{GroupSummary, Key, Loop, LoopNest, Reduce, Value, Winner};
use crate::report::{Lines, in_words};
use crate::store::StoreReader;
use crate::util::error::{Exit, Result};

#[derive(Args)]
#[command(after_help = "\
Shows, for each row of the result, the points of the loop that is reduced by max or min, best first. \
If there is no such loop, the rows themselves are sorted by score, highest first. Results that are \
not final yet are marked partial.

Examples:
  gridmpi best results/NAME                the best point of each row
  gridmpi best results/NAME --top 5        the best five
  gridmpi best results/NAME --format json")]
pub(in crate::cli) struct Arguments {
    /// Results folder
    folder: PathBuf,
    /// Points per row
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    top: u64,
    /// Sort by lowest score first, if no loop reduces by max or min
    #[arg(long)]
    lowest: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    format: ListFormat,
}

/// What is ranked, and within which groups.
struct Ranking {
    /// The level of the groups; points are ranked within each.
    group: usize,
    /// The level of the points that are ranked.
    level: usize,
    sign: f64,
    /// The groups' reduction, if they have one.
    reduce: Option<&'static str>,
}

impl Ranking {
    fn of(nest: &LoopNest, lowest: bool) -> Ranking {
        for (level, l) in nest.loops().iter().enumerate() {
            let (sign, reduce) = match l.reduce {
                Some(Reduce::Max) => (1.0, "max"),
                Some(Reduce::Min) => (-1.0, "min"),
                _ => continue,
            };
            return Ranking { group: level, level: level + 1, sign, reduce: Some(reduce) };
        }
        let sign = if lowest { -1.0 } else { 1.0 };
        // The whole result is one row. If the loops are reduced to one number, rank its parts.
        Ranking { group: 0, level: nest.outer().max(1), sign, reduce: None }
    }
}

/// A row of the result, and its best points.
struct Row {
    key: Key,
    status: &'static str,
    /// The number of runs, and how many of them failed.
    runs: u64,
    failed: u64,
    /// How many of the runs another crunch has made.
    kept: u64,
    best: Vec<GroupSummary>,
}

pub(super) fn best(arguments: &Arguments) -> Result<Exit> {
    let reader = crate::cli::ask::reader(&arguments.folder)?;
    let ranking = Ranking::of(reader.nest(), arguments.lowest);
    stream(|sink| match arguments.format {
        ListFormat::Table => table(&reader, &ranking, arguments.top, sink),
        ListFormat::Json => {
            let mut array = Array::begin(sink)?;
            each(&reader, &ranking, arguments.top, |row| {
                array.push(sink, &as_json(&reader, &ranking, &row))
            })?;
            array.end(sink)
        }
    })
}

/// Calls `each` for every row with a score, in grid order.
fn each(
    reader: &StoreReader,
    ranking: &Ranking,
    top: u64,
    mut each: impl FnMut(Row) -> Result<()>,
) -> Result<()> {
    let nest = reader.nest();
    // The best points so far per group; memory is bounded by the size of the answer.
    let mut groups: Vec<(u64, Vec<(f64, u64)>)> = Vec::new();
    reader.results.scores(ranking.level, |number, score| {
        let Some(score) = score.filter(|score| !score.is_nan()) else { return };
        let key = Key { level: ranking.level, index: number };
        let group = nest.ancestor(key, ranking.group).index;
        if groups.last().is_none_or(|(last, _)| *last != group) {
            groups.push((group, Vec::new()));
        }
        let Some((_, best)) = groups.last_mut() else { return };
        // Of equal scores, the first in grid order stays first.
        let at = best.partition_point(|(other, _)| ranking.sign * other >= ranking.sign * score);
        if (at as u64) < top {
            best.insert(at, (score, number));
            best.truncate(top as usize);
        }
    })?;
    for (group, best) in groups {
        let key = Key { level: ranking.group, index: group };
        let mut found = Vec::new();
        for (_, number) in best {
            let key = Key { level: ranking.level, index: number };
            match ranking.level == nest.depth() {
                true => reader.results.runs(number..number + 1, |run| {
                    found.push(run);
                    Ok(())
                })?,
                false => found.extend(reader.group(key)?),
            }
        }
        let (runs, failed) = reader.below(key)?;
        let closed = if ranking.reduce.is_some() { reader.group(key)? } else { None };
        let all = nest.task_count(key);
        let status = match closed {
            Some(GroupSummary { result: Err(_), .. }) => "incomplete",
            Some(_) => "complete",
            None if ranking.reduce.is_none() && runs == all => "complete",
            None => "partial",
        };
        let kept = reader.results.kept_runs(nest.tasks_below(key))?;
        each(Row { key, status, runs, failed, kept, best: found })?;
    }
    Ok(())
}

/// The coordinates of a place, without those of its row.
fn inner<'n>(nest: &'n LoopNest, row: Key, place: &GroupSummary) -> Vec<(&'n str, Value)> {
    let inner = within(nest, row, nest.applying(place.key));
    inner.chain(nest.winners(place.key, won(place))).collect()
}

/// The same as people are shown it.
fn shown_inner<'n>(nest: &'n LoopNest, row: Key, place: &GroupSummary) -> Vec<(&'n str, Value)> {
    let inner = within(nest, row, nest.shown_applying(place.key));
    inner.chain(nest.shown_winners(place.key, won(place))).collect()
}

/// Of these coordinates, those of the loops inside a row.
fn within<'n>(
    nest: &'n LoopNest,
    row: Key,
    coordinates: Vec<(&'n str, Value)>,
) -> impl Iterator<Item = (&'n str, Value)> {
    let is_inner = move |name: &str| nest.loops()[row.level..].iter().any(|l| l.name == name);
    coordinates.into_iter().filter(move |(name, _)| is_inner(name))
}

fn won(place: &GroupSummary) -> &[Winner] {
    place.result.as_ref().map(|scored| scored.best.as_slice()).unwrap_or_default()
}

fn table(reader: &StoreReader, ranking: &Ranking, top: u64, sink: &mut Sink) -> Result<()> {
    let loops = reader.nest().loops();
    let outer: Vec<&str> = loops[..ranking.group].iter().map(|l| l.name.as_str()).collect();
    let decided = |l: &&Loop| l.reduce.as_ref().is_some_and(Reduce::picks_a_winner);
    let won = loops[ranking.level..].iter().take_while(decided);
    let names: Vec<&str> =
        loops[ranking.group..ranking.level].iter().chain(won).map(|l| l.name.as_str()).collect();
    let mut lines: Option<Lines> = None;
    each(reader, ranking, top, |row| {
        for (i, place) in row.best.iter().enumerate() {
            let inner = shown_inner(reader.nest(), row.key, place);
            let lines = lines.get_or_insert_with(|| {
                let mut header: Vec<_> =
                    outer.iter().map(|name| (name.to_string(), false)).collect();
                header.extend((top > 1).then(|| ("place".to_string(), true)));
                header.extend(names.iter().map(|name| (name.to_string(), false)));
                header.extend([("score".to_string(), true), ("runs".to_string(), true)]);
                header.push((String::new(), false));
                Lines::new(header)
            });
            let coordinates = reader.nest().shown(row.key);
            let mut cells: Vec<String> =
                coordinates.iter().map(|(_, value)| in_words(value)).collect();
            cells.extend((top > 1).then(|| (i + 1).to_string()));
            // A loop that does not apply has an empty cell.
            cells.extend(names.iter().map(|name| {
                let own = inner.iter().find(|(of, _)| of == name);
                own.map(|(_, value)| in_words(value)).unwrap_or_default()
            }));
            let score = place.result.as_ref().ok().and_then(|scored| scored.score);
            cells.push(score.map(|score| in_words(&Value::Float(score))).unwrap_or_default());
            let (runs, failed) = (place.runs, place.failed);
            cells.push(match failed {
                0 => runs.to_string(),
                failed => format!("{runs}, {failed} failed"),
            });
            cells.push(note(reader, &row));
            let written = lines.row(cells);
            sink.write(&written)?;
        }
        Ok(())
    })?;
    match lines {
        Some(mut lines) => {
            let rest = lines.rest();
            sink.write(&rest)?;
            if let Some(kept) = reader.results.kept()? {
                log::warn!("{kept}");
            }
            Ok(())
        }
        None => {
            log::info!("nothing has a score yet");
            Ok(())
        }
    }
}

/// A note on a row that is not simply complete.
fn note(reader: &StoreReader, row: &Row) -> String {
    let all = reader.nest().task_count(row.key);
    let failed = match row.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    let kept = match row.kept {
        0 => String::new(),
        kept => format!("({kept} of {all} runs kept from an earlier crunch)"),
    };
    let note = match row.status {
        "complete" if row.failed > 0 => format!("({} of {all} runs failed)", row.failed),
        "complete" => String::new(),
        status => format!("({status}: {} of {all} runs{failed})", row.runs),
    };
    let gap = if note.is_empty() || kept.is_empty() { "" } else { " " };
    format!("{note}{gap}{kept}")
}

fn as_json(reader: &StoreReader, ranking: &Ranking, row: &Row) -> Json {
    let place = |(i, place): (usize, &GroupSummary)| {
        let inner = inner(reader.nest(), row.key, place);
        let scored = place.result.as_ref().ok();
        json!({
            "place": i + 1,
            "coordinates": named_json(&inner),
            "score": scored.and_then(|scored| scored.score).map(|s| Value::Float(s).to_json()),
            "value": scored.map(|scored| scored.value.to_json()),
            "runs": place.runs,
            "failed": place.failed,
        })
    };
    json!({
        "coordinates": named_json(&reader.nest().coordinates(row.key)),
        "reduce": ranking.reduce,
        "status": row.status,
        "runs": row.runs,
        "failed": row.failed,
        "kept": row.kept,
        "all": reader.nest().task_count(row.key),
        "best": row.best.iter().enumerate().map(place).collect::<Vec<_>>(),
    })
}
