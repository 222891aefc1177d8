//! Finds out whether any record has a field of a given name, without reading what cannot have it.

use rusqlite::params;

use crate::job::LARGE_FOLDER;
use crate::store::query::functions::parsed;
use crate::store::{StoreReader, storing};
use crate::util::error::Result;

impl StoreReader {
    /// The first field with this name, case apart, of a record that crunch returned; any but the field `except`.
    pub(super) fn field_like(&self, name: &str, except: &str) -> Result<Option<String>> {
        let failed = |error: rusqlite::Error| storing(self.path(), &error);
        // Only records whose text has the name in quotes are parsed: none at all where runs gave plain numbers. In
        // files of their own, and behind escapes, it does not show.
        let sql = format!(
            "SELECT value FROM runs WHERE value IS NOT NULL AND {}
             AND (value LIKE ?1 ESCAPE '\\' OR value GLOB '{LARGE_FOLDER}/*' OR instr(value, '\\u') > 0)",
            self.results.of_a_task("rowid")?
        );
        let quoted = serde_json::Value::from(name).to_string();
        let quoted: String = quoted.chars().flat_map(literal).collect();
        let mut statement = self.results.connection().prepare_cached(&sql).map_err(failed)?;
        let mut rows = statement.query(params![format!("%{quoted}%")]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let text = row.get_ref(0).map_err(failed)?.as_str_or_null();
            let text = text.map_err(|error| failed(error.into()))?.unwrap_or_default();
            let record = parsed(&self.results.whole_json(text)?);
            let is = |field: &&String| field.eq_ignore_ascii_case(name) && *field != except;
            if let Some(field) = record.keys().find(is) {
                return Ok(Some(field.clone()));
            }
        }
        Ok(None)
    }
}

/// A character of a pattern that stands for itself alone.
fn literal(letter: char) -> impl Iterator<Item = char> {
    let escape = ['\\', '%', '_'].contains(&letter).then_some('\\');
    escape.into_iter().chain([letter])
}
