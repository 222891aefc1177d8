//! Runs that are older than a loop, or than fields of its records: `was` says which value they had.

use std::path::Path;

use rusqlite::Connection;

use crate::job::{Identity, was_key};
use crate::model::Value;
use crate::store::Layout;
use crate::store::layout::LoopLayout;
use crate::store::matching::matches;
use crate::store::store_points::StorePoints;
use crate::util::error::Result;

impl Layout {
    /// Why the runs of a store cannot be used, as far as it is about `was`: it is said of a loop, or of fields,
    /// that they have been made with, or it is missing. `before` is the identity of the last start.
    pub(super) fn refuse_was(
        &self,
        store: &Connection,
        path: &Path,
        before: &Identity,
    ) -> Result<Vec<String>> {
        if !self.loops().any(|here| here.was.is_some() || !here.l.points.fields().is_empty()) {
            return Ok(Vec::new());
        }
        let store = StorePoints::of_store(store, path)?;
        let refuse = |here: LoopLayout| {
            let name = &here.l.name;
            let there = store.loops().find(|there| there.l.name == *name)?;
            let (own, known) = (here.l.points.fields(), there.l.points.fields());
            match here.was {
                Some(_) if before.keys.contains_key(&was_key(name)) => None,
                Some(was) => {
                    let is_known = match was {
                        Value::Record(new) if !own.is_empty() => {
                            new.iter().any(|(field, _)| known.contains(field))
                        }
                        _ => true,
                    };
                    is_known.then(|| format!(
                        "{} is said now, and the runs that are there have it among their coordinates, so that their seeds are others",
                        was_key(name)
                    ))
                }
                None => {
                    let new: Vec<&String> =
                        own.iter().filter(|field| !known.contains(field)).collect();
                    let extends = !known.is_empty()
                        && !new.is_empty()
                        && known.iter().all(|field| own.contains(field))
                        && matches(&there, &here, false).runs().is_empty();
                    let value = |field: &&String| format!("{field} = VALUE");
                    extends.then(|| format!(
                        "the points of loop '{name}' have new fields; if the runs that are there are those at one value of them, say which in the loop: was = {{ {} }}",
                        new.iter().map(value).collect::<Vec<_>>().join(", ")
                    ))
                }
            }
        };
        Ok(self.loops().filter_map(refuse).collect())
    }
}
