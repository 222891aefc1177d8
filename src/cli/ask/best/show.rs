//! Rows with their best points, as a table and as JSON.

use serde_json::{Value as Json, json};

use crate::cli::ask::Sink;
use crate::cli::ask::best::by_values::ByValues;
use crate::cli::ask::best::places::{RankedPoint, SCORE};
use crate::cli::ask::best::ranking::Ranking;
use crate::cli::ask::best::rows::{RankedRow, each};
use crate::cli::ask::best::unranked::UnrankedPoints;
use crate::job::named_json;
use crate::model::{Key, LoopNest, PointCounts, Value};
use crate::report::{Lines, in_words};
use crate::store::StoreReader;
use crate::util::error::Result;

/// The coordinates of a place, without those of its row.
fn inner<'n>(nest: &'n LoopNest, row: Key, place: &RankedPoint) -> Vec<(&'n str, Value)> {
    let inner = within(nest, row, nest.applying(place.key));
    inner.chain(nest.winners(place.key, &place.winners)).collect()
}

/// The same as people are shown it.
fn shown_inner<'n>(nest: &'n LoopNest, row: Key, place: &RankedPoint) -> Vec<(&'n str, Value)> {
    let inner = within(nest, row, nest.shown_applying(place.key));
    inner.chain(nest.shown_winners(place.key, &place.winners)).collect()
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

/// The columns of the table.
struct BestColumns<'a> {
    reader: &'a StoreReader,
    ranking: &'a Ranking,
    /// The loops around the rows, and those whose points are ranked or have won inside these.
    outer: Vec<&'a str>,
    names: Vec<&'a str>,
    has_places: bool,
    /// The heading of the scores.
    score: String,
}

pub(super) fn table(
    reader: &StoreReader,
    (ranking, unranked): (&Ranking, &UnrankedPoints),
    top: u64,
    by: Option<&mut ByValues>,
    sink: &mut Sink,
) -> Result<()> {
    let loops = reader.nest().loops();
    let decided = ranking.level + reader.nest().decided(ranking.level);
    let name = |level: usize| loops[level].name.as_str();
    let columns = BestColumns {
        reader,
        ranking,
        outer: (0..ranking.group).map(name).collect(),
        names: (ranking.group..decided).map(name).collect(),
        has_places: top > 1,
        score: ranking.score_heading(reader.nest()),
    };
    let mut lines: Option<Lines> = None;
    each(reader, (ranking, unranked), top, by, |row, by| {
        let lines = lines.get_or_insert_with(|| Lines::new(columns.header(by)));
        for (at, place) in row.numbered() {
            let written = lines.row(columns.cells(&row, at, place, by));
            sink.write(&written)?;
        }
        if row.best.is_empty() {
            let written = lines.row(columns.without(&row, by));
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

impl BestColumns<'_> {
    fn header(&self, by: Option<&ByValues>) -> Vec<(String, bool)> {
        let texts = |names: &[&str]| -> Vec<(String, bool)> {
            names.iter().map(|name| (name.to_string(), false)).collect()
        };
        let mut header = texts(&self.outer);
        header.extend(texts(&by.iter().flat_map(|by| by.field_names()).collect::<Vec<_>>()));
        header.extend(self.has_places.then(|| ("place".to_string(), true)));
        header.extend(texts(&self.names));
        header.extend(self.asked().map(|field| (field.to_string(), true)));
        header.extend([(self.score.clone(), true), ("runs".to_string(), true)]);
        header.push((String::new(), false));
        header
    }

    /// The field that the user has named, if it is not the score's column.
    fn asked(&self) -> Option<&str> {
        self.ranking.field.as_deref().filter(|field| self.ranking.is_asked && *field != SCORE)
    }

    /// The cells of the loops around a row.
    fn around(&self, row: &RankedRow) -> Vec<String> {
        self.reader.nest().shown(row.key).iter().map(|(_, value)| in_words(value)).collect()
    }

    /// The cells of a row without a best; why there is none stands in the last one.
    fn without(&self, row: &RankedRow, by: Option<&ByValues>) -> Vec<String> {
        let mut cells = self.around(row);
        cells.resize(self.header(by).len() - 1, String::new());
        cells.push(note(self.reader, self.ranking, row));
        cells
    }

    fn cells(
        &self,
        row: &RankedRow,
        at: usize,
        place: &RankedPoint,
        by: Option<&ByValues>,
    ) -> Vec<String> {
        let nest = self.reader.nest();
        let number = |number: Option<f64>| {
            number.map(|number| in_words(&Value::Float(number))).unwrap_or_default()
        };
        let mut cells = self.around(row);
        cells.extend(by.iter().flat_map(|by| by.fields(place.by)).map(|(_, v)| in_words(v)));
        cells.extend(self.has_places.then(|| at.to_string()));
        // A loop that does not apply has an empty cell.
        let inner = shown_inner(nest, row.key, place);
        cells.extend(self.names.iter().map(|name| {
            let own = inner.iter().find(|(of, _)| of == name);
            own.map(|(_, value)| in_words(value)).unwrap_or_default()
        }));
        cells.extend(self.asked().map(|_| number(place.number)));
        cells.push(number(place.shown_score(self.ranking)));
        let (runs, failed) = (place.runs, place.failed);
        cells.push(match failed {
            0 => runs.to_string(),
            failed => format!("{runs}, {failed} failed"),
        });
        cells.push(note(self.reader, self.ranking, row));
        cells
    }
}

/// A note on a row that is not simply complete.
fn note(reader: &StoreReader, ranking: &Ranking, row: &RankedRow) -> String {
    let nest = reader.nest();
    let all = nest.task_count(row.key);
    let failed = match row.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    let kept = match row.kept {
        0 => String::new(),
        kept => format!("({kept} of {all} runs kept from an earlier crunch)"),
    };
    let note = match (&row.error, row.partial) {
        (Some(error), _) => format!("{}: {}", row.status, crate::report::in_a_line(error)),
        (None, Some(points)) if points.lacks_some() => format!("({})", points.of_best(row.stopped)),
        (None, _) if !row.is_final => {
            let skipped = match row.skipped {
                0 => String::new(),
                skipped => format!(", {skipped} skipped"),
            };
            format!("({}: {} of {all} runs{failed}{skipped})", row.status, row.runs)
        }
        (None, _) if row.stopped > 0 => {
            let points = PointCounts::all_of(nest.keys_below(row.key, ranking.level));
            let failed = match row.failed {
                0 => String::new(),
                failed => format!(", {failed} of {all} runs failed"),
            };
            format!("({}{failed})", points.of_best(row.stopped))
        }
        (None, _) if row.failed > 0 => format!("({} of {all} runs failed)", row.failed),
        (None, Some(_)) => format!("({})", row.status),
        (None, None) => String::new(),
    };
    let gap = if note.is_empty() || kept.is_empty() { "" } else { " " };
    format!("{note}{gap}{kept}")
}

pub(super) fn as_json(
    reader: &StoreReader,
    ranking: &Ranking,
    by: Option<&ByValues>,
    row: &RankedRow,
) -> Result<Json> {
    let number = |number: Option<f64>| number.map(|number| Value::Float(number).to_json());
    let place = |(at, place): (usize, &RankedPoint)| {
        let inner = inner(reader.nest(), row.key, place);
        let value = match place.is_plain {
            true => number(place.score),
            false => reader.results.whole_value(place.key)?.map(|value| value.to_json()),
        };
        let mut json = json!({
            "place": at,
            "coordinates": named_json(&inner),
            "score": number(place.shown_score(ranking)),
            "value": value,
            "runs": place.runs,
            "failed": place.failed,
        });
        if ranking.is_asked {
            json["number"] = json!(number(place.number));
        }
        if let Some(by) = by {
            let named = by.named(place.by).map(|(name, value)| (name.to_string(), value.to_json()));
            json["by"] = Json::Object(named.collect());
        }
        Ok(json)
    };
    let mut json = json!({
        "coordinates": named_json(&reader.nest().coordinates(row.key)),
        "reduce": ranking.reduce,
        "field": ranking.field,
        "status": row.status,
        "error": row.error,
        "points": row.partial.map(PointCounts::to_json),
        "runs": row.runs,
        "failed": row.failed,
        "kept": row.kept,
        "all": reader.nest().task_count(row.key),
        "best": row.numbered().map(place).collect::<Result<Vec<_>>>()?,
    });
    if row.stopped > 0 {
        json["stopped"] = json!(row.stopped);
        json["skipped"] = json!(row.skipped);
    }
    Ok(json)
}
