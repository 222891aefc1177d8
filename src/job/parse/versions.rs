//! `version` of `[crunch]` and of a loop: texts that count in place of what gridmpi can see.

use std::collections::{BTreeMap, BTreeSet};

use crate::job::CrunchSpec;
use crate::job::parse::keys::TomlEntry;
use crate::model::{LoopNest, Value};
use crate::util::error::Result;
use crate::util::text::did_you_mean;

/// What crunch is: a text, or a text for each of its parts.
pub(super) fn of_crunch(
    entry: Option<TomlEntry>,
    crunch: &CrunchSpec,
) -> Result<BTreeMap<String, String>> {
    let Some(entry) = entry else { return Ok(BTreeMap::new()) };
    if !matches!(crunch, CrunchSpec::Python(_)) {
        return Err(entry.error(
            "only a Python function has a version; name what counts for another crunch in inputs",
        ));
    }
    match entry.is_table() {
        true => parts(&entry),
        false => Ok(BTreeMap::from([(String::new(), entry.text()?)])),
    }
}

/// What the points of a loop that are names stand for.
pub(super) fn of_points(
    entries: Vec<(usize, TomlEntry)>,
    nest: &LoopNest,
) -> Result<BTreeMap<usize, BTreeMap<String, String>>> {
    let mut versions = BTreeMap::new();
    for (level, entry) in entries {
        let of_level = parts(&entry)?;
        let points = &nest.loops()[level].points;
        let texts = (0..points.len()).filter_map(|point| match points.get(point) {
            Value::Text(name) => Some(name.to_string()),
            _ => None,
        });
        let names: BTreeSet<String> = texts.collect();
        if let Some(stranger) = of_level.keys().find(|name| !names.contains(*name)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let near = did_you_mean(stranger, &names, "\"");
            return Err(entry.error(format!("the loop has no point \"{stranger}\"{near}")));
        }
        versions.insert(level, of_level);
    }
    Ok(versions)
}

fn parts(entry: &TomlEntry) -> Result<BTreeMap<String, String>> {
    let found: BTreeMap<String, String> = entry
        .table()?
        .rest()
        .into_iter()
        .map(|(name, version)| Ok((name, version.text()?)))
        .collect::<Result<_>>()?;
    match found.is_empty() {
        true => Err(entry.error("expected a part or more, found none")),
        false => Ok(found),
    }
}
