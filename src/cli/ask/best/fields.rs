//! Whether the points have the field that they are to be ranked by.

use crate::cli::ask::best::places::number;
use crate::cli::ask::best::ranking::Ranking;
use crate::model::Value;
use crate::store::StoreReader;
use crate::util::error::{Error, Result};
use crate::util::text::did_you_mean;

/// The most fields that are named.
const MOST: usize = 30;

/// What the points have in place of the number.
#[derive(Default)]
struct FieldsSeen {
    /// Whether a point has the number.
    found: bool,
    /// The paths of number fields, in the order in which they come.
    names: Vec<String>,
    more: bool,
    /// What the field is instead, and a point's value of it.
    other: Option<(&'static str, String)>,
    /// Whether the field is there, but none or NaN.
    none: bool,
    /// Whether there is a value that is no record.
    plain: bool,
    any: bool,
}

/// Fails if no point has such a number, with the fields that there are.
pub(super) fn check(reader: &StoreReader, ranking: &Ranking, field: &str) -> Result<()> {
    let mut seen = FieldsSeen::default();
    let read = reader.results.whole_summaries(ranking.level, |summary| {
        let Ok(scored) = &summary.result else { return Ok(()) };
        let value = scored.value.get();
        seen.any = true;
        if number(&value, scored.score, field, &ranking.score).is_some() {
            seen.found = true;
            return Err(Error::unexpected("enough was read"));
        }
        seen.look(&value, field);
        Ok(())
    });
    if seen.found {
        return Ok(());
    }
    read?;
    if !seen.any {
        return Ok(()); // there is nothing to be ranked yet
    }
    let option = format!("--{} {field}", ranking.reduce.unwrap_or("max"));
    let inside = reader.nest().loops().get(ranking.level).map(|l| l.name.as_str());
    Err(Error::input(format!("{option}: {}", seen.refusal(field, inside))))
}

impl FieldsSeen {
    fn look(&mut self, value: &Value, field: &str) {
        match value.at_path(field) {
            Some(Value::Text(text)) => self.other = Some(("a string", text.clone())),
            Some(Value::Bool(is_so)) => self.other = Some(("true or false", is_so.to_string())),
            Some(Value::List(_)) => self.other = Some(("a list", String::new())),
            Some(Value::Record(_)) => self.other = Some(("a record", String::new())),
            Some(Value::Null | Value::Int(_) | Value::Float(_)) => self.none = true,
            None => {}
        }
        self.plain |= !matches!(value, Value::Record(_) | Value::Null);
        value.each_field(&mut |path, value| {
            if value.as_f64().is_none() || self.names.iter().any(|known| **known == *path) {
                return;
            }
            match self.names.len() < MOST {
                true => self.names.push(path.into_owned()),
                false => self.more = true,
            }
        });
    }

    /// Why nothing can be ranked by the field. `inside` is the loop that is folded into each point.
    fn refusal(&self, field: &str, inside: Option<&str>) -> String {
        let mut names = self.names.join(", ");
        if self.more {
            names += ", ...";
        }
        let known = match names.as_str() {
            "" if self.plain => {
                "the results are no records, so only score can be ranked".to_string()
            }
            "" => "the results have no field that is a number".to_string(),
            names => format!("number fields are: {names}"),
        };
        if let Some((kind, example)) = &self.other {
            let example = crate::report::beginning(example, 40);
            let example = if example.is_empty() { String::new() } else { format!(" ({example})") };
            return format!("'{field}' is {kind}{example}, not a number; {known}");
        }
        if self.none {
            return format!("'{field}' is none at every point, so none is the best; {known}");
        }
        let near: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let near = did_you_mean(field, &near, "'");
        // A fold has number fields alone, and those of crunch under their own names.
        let fold = inside.map_or(String::new(), |l| format!(", folded over loop '{l}',"));
        format!("the results{fold} have no field '{field}'; {known}{near}")
    }
}
