//! Parses what one task needs of its host: `gpus`, `cores`, `memory`.

use crate::job::parse::keys::TomlTable;
use crate::model::{Needs, check_gpus, parse_size};
use crate::util::error::Result;

pub(super) fn needs(table: &mut TomlTable) -> Result<Needs> {
    let gpus = table.take("gpus").map(|entry| {
        let number = entry.number()?;
        check_gpus(number).map_err(|why| entry.error(why))
    });
    let cores = table.take("cores").map(|entry| {
        let count = entry.count(1)?;
        u32::try_from(count).map_err(|_| entry.error(format!("no host has {count} cores")))
    });
    let memory = table.take("memory").map(|entry| {
        let text = entry
            .text()
            .map_err(|_| entry.error("expected a size with a unit, such as \"8G\" or \"500M\""))?;
        let unknown = || {
            let why = format!("expected a size such as \"8G\" or \"500M\", found \"{text}\"");
            entry.error(why)
        };
        parse_size(&text).ok_or_else(unknown)
    });
    Ok(Needs { gpus: gpus.transpose()?, cores: cores.transpose()?, memory: memory.transpose()? })
}
