//! `gridmpi best`: the best points per row of the result, and whether they are final.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value as Json, json};

use crate::cli::ask::{Array, ListFormat, Sink, stream};
use crate::job::named_json;
use crate::model::{Key, LoopNest, Reduce, Value};
use crate::report::{Lines, in_words};
use crate::store::{ScoreRow, StoreReader};
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
            let greatest = l.reduce.as_ref().and_then(Reduce::takes_greatest);
            let (sign, reduce) = match greatest {
                Some(true) => (1.0, "max"),
                Some(false) => (-1.0, "min"),
                None => continue,
            };
            let places = nest.item_level(level);
            return Ranking { group: level, level: places, sign, reduce: Some(reduce) };
        }
        let sign = if lowest { -1.0 } else { 1.0 };
        // The whole result is one row. If the loops are reduced to one number, rank its parts.
        Ranking { group: 0, level: nest.outer().max(1), sign, reduce: None }
    }
}

/// A row of the result, and its best points.
struct RankedRow {
    key: Key,
    status: &'static str,
    /// The number of runs, and how many of them failed.
    runs: u64,
    failed: u64,
    /// How many of the runs another crunch has made.
    kept: u64,
    best: Vec<ScoreRow>,
}

pub(super) fn best(arguments: &Arguments) -> Result<Exit> {
    let reader = crate::cli::ask::reader(&arguments.folder)?;
    let ranking = Ranking::of(reader.nest(), arguments.lowest);
    stream(|sink| match arguments.format {
        ListFormat::Table => table(&reader, &ranking, arguments.top, sink),
        ListFormat::Json => {
            let mut array = Array::begin(sink)?;
            each(&reader, &ranking, arguments.top, |row| {
                array.push(sink, &as_json(&reader, &ranking, &row)?)
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
    each: impl FnMut(RankedRow) -> Result<()>,
) -> Result<()> {
    let nest = reader.nest();
    let has_kept = reader.results.kept_runs(0..nest.tasks())? > 0;
    reader.results.with_scores(ranking.group, |next_closed| {
        let mut rows = RankedRows { reader, ranking, has_kept, next_closed, closed: None, each };
        let mut open: Option<RankedRow> = None;
        reader.results.scores(ranking.level, |place| {
            let key = nest.ancestor(place.key, ranking.group);
            if open.as_ref().is_none_or(|row| row.key != key) {
                let (status, best) = ("partial", Vec::new());
                let new = RankedRow { key, status, runs: 0, failed: 0, kept: 0, best };
                rows.end(open.replace(new))?;
            }
            let Some(row) = &mut open else { return Ok(()) };
            row.runs += place.runs + place.failed;
            row.failed += place.failed;
            let Some(score) = place.score.filter(|score| !score.is_nan()) else { return Ok(()) };
            // Of equal scores, the first in grid order stays first.
            let score_of = |place: &ScoreRow| ranking.sign * place.score.unwrap_or(f64::NAN);
            let at = row.best.partition_point(|other| score_of(other) >= ranking.sign * score);
            if (at as u64) < top {
                row.best.insert(at, place);
                row.best.truncate(top as usize);
            }
            Ok(())
        })?;
        rows.end(open)
    })
}

/// Completes rows, one after another.
struct RankedRows<'a, E> {
    reader: &'a StoreReader,
    ranking: &'a Ranking,
    /// Whether any run was made by another crunch.
    has_kept: bool,
    /// Gives the closed groups of the rows' level, of which the last one is `closed`.
    next_closed: &'a mut dyn FnMut() -> Result<Option<ScoreRow>>,
    closed: Option<ScoreRow>,
    each: E,
}

impl<E: FnMut(RankedRow) -> Result<()>> RankedRows<'_, E> {
    /// Passes a row on whose places are all there; it has none if nothing has a score.
    fn end(&mut self, row: Option<RankedRow>) -> Result<()> {
        let Some(mut row) = row.filter(|row| !row.best.is_empty()) else { return Ok(()) };
        let (nest, is_reduced) = (self.reader.nest(), self.ranking.reduce.is_some());
        while is_reduced && self.closed.as_ref().is_none_or(|group| group.key < row.key) {
            self.closed = (self.next_closed)()?;
            if self.closed.is_none() {
                break;
            }
        }
        let closed = self.closed.as_ref().filter(|group| group.key == row.key);
        if self.ranking.level < nest.depth() {
            // The places are groups; runs of groups that are open are not among theirs.
            (row.runs, row.failed) = match closed {
                Some(group) => (group.runs + group.failed, group.failed),
                None => self.reader.below(row.key)?,
            };
        }
        row.status = match closed {
            Some(group) if group.error.is_some() => "incomplete",
            Some(_) => "complete",
            None if !is_reduced && row.runs == nest.task_count(row.key) => "complete",
            None => "partial",
        };
        if self.has_kept {
            row.kept = self.reader.results.kept_runs(nest.tasks_below(row.key))?;
        }
        (self.each)(row)
    }
}

/// The coordinates of a place, without those of its row.
fn inner<'n>(nest: &'n LoopNest, row: Key, place: &ScoreRow) -> Vec<(&'n str, Value)> {
    let inner = within(nest, row, nest.applying(place.key));
    inner.chain(nest.winners(place.key, &place.winners())).collect()
}

/// The same as people are shown it.
fn shown_inner<'n>(nest: &'n LoopNest, row: Key, place: &ScoreRow) -> Vec<(&'n str, Value)> {
    let inner = within(nest, row, nest.shown_applying(place.key));
    inner.chain(nest.shown_winners(place.key, &place.winners())).collect()
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

fn table(reader: &StoreReader, ranking: &Ranking, top: u64, sink: &mut Sink) -> Result<()> {
    let loops = reader.nest().loops();
    let outer: Vec<&str> = loops[..ranking.group].iter().map(|l| l.name.as_str()).collect();
    let decided = ranking.level + reader.nest().decided(ranking.level);
    let names: Vec<&str> = loops[ranking.group..decided].iter().map(|l| l.name.as_str()).collect();
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
            cells.push(place.score.map(|score| in_words(&Value::Float(score))).unwrap_or_default());
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
fn note(reader: &StoreReader, row: &RankedRow) -> String {
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

fn as_json(reader: &StoreReader, ranking: &Ranking, row: &RankedRow) -> Result<Json> {
    let place = |(i, place): (usize, &ScoreRow)| {
        let inner = inner(reader.nest(), row.key, place);
        let score = place.score.map(|score| Value::Float(score).to_json());
        let value = match place.size {
            0 => score.clone(),
            _ => reader.results.whole_value(place.key)?.map(|value| value.to_json()),
        };
        Ok(json!({
            "place": i + 1,
            "coordinates": named_json(&inner),
            "score": score,
            "value": value,
            "runs": place.runs,
            "failed": place.failed,
        }))
    };
    Ok(json!({
        "coordinates": named_json(&reader.nest().coordinates(row.key)),
        "reduce": ranking.reduce,
        "status": row.status,
        "runs": row.runs,
        "failed": row.failed,
        "kept": row.kept,
        "all": reader.nest().task_count(row.key),
        "best": row.best.iter().enumerate().map(place).collect::<Result<Vec<_>>>()?,
    }))
}
