//! The `[report]` table.

use crate::job::parse::keys::TomlEntry;
use crate::job::report_options::ListedGroups;
use crate::model::Loop;
use crate::util::error::Result;
use crate::util::text::did_you_mean;

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
    let mut levels = Vec::new();
    for item in entry.array()? {
        let name = item.text()?;
        match loops.iter().position(|l| l.name == name) {
            Some(level) if loops[level].reduce.is_some() => levels.push(level),
            Some(_) => {
                return Err(item.error(format!(
                    "loop '{name}' does not reduce, so there are no groups over it"
                )));
            }
            None => {
                let reducing = loops.iter().filter(|l| l.reduce.is_some());
                let names: Vec<&str> = reducing.map(|l| l.name.as_str()).collect();
                let near = did_you_mean(&name, &names, "'");
                let known = names.join(", ");
                return Err(item.error(format!(
                    "there is no loop '{name}'{near} (loops that reduce: {known})"
                )));
            }
        }
    }
    match levels.is_empty() {
        true => Err(entry.error(format!("no group: expected {expected}"))),
        false => Ok(ListedGroups::Over(levels)),
    }
}
