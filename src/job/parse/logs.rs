//! Parses `logs` of `[crunch]`: whose output is kept.

use crate::job::CrunchSpec;
use crate::job::parse::keys::TomlTable;
use crate::model::KeptLogs;
use crate::util::error::Result;
use crate::util::text::did_you_mean;

pub(super) fn kept_logs(table: &mut TomlTable, crunch: &CrunchSpec) -> Result<KeptLogs> {
    let Some(entry) = table.take("logs") else { return Ok(KeptLogs::default()) };
    if crunch.is_builtin() {
        return Err(entry.error("a builtin prints nothing"));
    }
    let text = entry.text()?;
    KeptLogs::of(&text).ok_or_else(|| {
        let (near, known) =
            (did_you_mean(&text, &KeptLogs::NAMES, "\""), KeptLogs::NAMES.join(", "));
        entry.error(format!(
            "expected {known}, found \"{text}\"{near}: the runs whose output is kept"
        ))
    })
}
