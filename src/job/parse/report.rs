//! The `[report]` table.

use crate::job::parse::keys::TomlEntry;
use crate::job::parse::named_levels;
use crate::job::report_options::ListedGroups;
use crate::model::{Loop, Reduce};
use crate::util::error::Result;

/// Which groups summary.json lists, of a nest of these loops.
pub(super) fn listed_groups(entry: &TomlEntry, loops: &[Loop]) -> Result<ListedGroups> {
    let mut table = entry.table()?;
    let groups = table.take("groups").map(|groups| of_groups(&groups, loops)).transpose()?;
    table.finish()?;
    Ok(groups.unwrap_or_default())
}

fn of_groups(entry: &TomlEntry, loops: &[Loop]) -> Result<ListedGroups> {
    let expected = "\"all\" or the names of loops that reduce, as in [\"alpha\"]";
    if let Ok(text) = entry.text() {
        return match text.as_str() {
            "all" => Ok(ListedGroups::All),
            _ => Err(entry.error(format!("expected {expected}, found \"{text}\""))),
        };
    }
    let reduces = |l: &Loop| match &l.reduce {
        Some(Reduce::Join) => Err(format!(
            "the runs of loop '{}' are joined to those of the loop around it, which has the groups",
            l.name
        )),
        Some(_) => Ok(()),
        None => Err(format!("loop '{}' does not reduce, so there are no groups over it", l.name)),
    };
    let levels = named_levels(entry, loops, "loops that reduce", reduces)?;
    match levels.is_empty() {
        true => Err(entry.error(format!("no group: expected {expected}"))),
        false => Ok(ListedGroups::Over(levels.into_iter().collect())),
    }
}
