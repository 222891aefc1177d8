//! The starts on a store: which crunch each of them had, and in which environment. Runs are traced to
//! their crunch through the worker that made them. Also the digests of files that starts have read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, ToSql, params};

use crate::job::{DigestedFile, FileDigests, FileRole, Identity, SCORE};
use crate::util::file_state::FileState;

/// The note that says what seeds depend on.
pub(crate) const SEEDING: &str = "seeding";

/// The note that says which points of loops have no task.
pub(super) const LEFT_OUT: &str = "left_out";

/// The note that says what people are shown for the points of loops: by loop, a label or null per point.
pub(super) const LABELS: &str = "labels";

/// Tables that stores have had since this record was added.
pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS crunches (crunch INTEGER PRIMARY KEY, identity TEXT);
CREATE TABLE IF NOT EXISTS late_modules (crunch INTEGER, name TEXT, digest TEXT,
                                         PRIMARY KEY (crunch, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS late_reductions (crunch INTEGER, name TEXT, digest TEXT,
                                            PRIMARY KEY (crunch, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS starts (session INTEGER PRIMARY KEY, crunch INTEGER, environment TEXT);
CREATE TABLE IF NOT EXISTS environments (session INTEGER, rank INTEGER, environment TEXT,
                                         PRIMARY KEY (session, rank)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known_files (path TEXT PRIMARY KEY, digest TEXT, size INTEGER, modified INTEGER,
                                        changed INTEGER, inode INTEGER, taken INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS combined (word TEXT, loops TEXT, points TEXT, digest TEXT);
CREATE TABLE IF NOT EXISTS unplaced (place TEXT, failed INTEGER, score REAL, value TEXT, error TEXT,
                                     seconds REAL, started REAL, worker INTEGER, attempt INTEGER,
                                     exact BLOB, sum INTEGER);
";

/// The tables of modules that only calls import: those of crunch, and those of reductions.
pub(super) const LATE: [(&str, FileRole); 2] =
    [("late_modules", FileRole::LateModule), ("late_reductions", FileRole::LateReduction)];

/// The state of a store before a start.
#[derive(Clone, Debug)]
pub(crate) struct StoredIdentity {
    /// The identity of the last start's crunch, and its number.
    pub(crate) identity: Identity,
    pub(crate) crunch: i64,
    /// Number of starts.
    pub(crate) sessions: i64,
    pub(crate) environment: Option<BTreeMap<String, String>>,
}

impl StoredIdentity {
    pub(crate) fn read(store: &Connection) -> Result<StoredIdentity, rusqlite::Error> {
        let sessions = sessions(store)?;
        if has_table(store, "starts")? {
            let sql = "SELECT s.crunch, s.environment, c.identity FROM starts s
                       JOIN crunches c ON c.crunch = s.crunch ORDER BY s.session DESC LIMIT 1";
            let last = store.query_row(sql, [], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
            });
            if let Some((crunch, environment, identity)) = last.optional()? {
                let environment = serde_json::from_str(&environment).ok();
                // What cannot be read is taken as unrecorded, as in an older store.
                if let Ok(mut identity) = serde_json::from_str::<Identity>(&identity) {
                    for (table, role) in LATE {
                        for (name, digest) in late_modules(store, table, crunch)? {
                            identity.add_late_module(name, digest, role);
                        }
                    }
                    return Ok(StoredIdentity { identity, crunch, sessions, environment });
                }
            }
        }
        let identity = Identity::from_notes(|key| note(store, key))?;
        Ok(StoredIdentity { identity, crunch: 1, sessions, environment: None })
    }
}

/// Number of starts.
pub(super) fn sessions(store: &Connection) -> Result<i64, rusqlite::Error> {
    let number = |sql: &str| store.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    let mut sessions = number("SELECT max(session) FROM workers")?.unwrap_or(0);
    if has_table(store, "starts")? {
        sessions = sessions.max(number("SELECT max(session) FROM starts")?.unwrap_or(0));
    }
    Ok(sessions)
}

/// Records a start. Starts of an older gridmpi, which recorded none, are taken to have had crunch 1.
pub(super) fn record(
    store: &Connection,
    session: i64,
    crunch: i64,
    identity: &Identity,
    environment: &BTreeMap<String, String>,
) -> Result<(), rusqlite::Error> {
    put_crunch(store, crunch, identity)?;
    let environment = serde_json::json!(environment).to_string();
    store.execute(
        "INSERT OR IGNORE INTO starts SELECT DISTINCT session, 1, '' FROM workers WHERE session < ?1",
        params![session],
    )?;
    let sql = "INSERT OR REPLACE INTO starts VALUES (?1, ?2, ?3)";
    store.execute(sql, params![session, crunch, environment])?;
    Ok(())
}

/// Stores which modules the calls of this start have imported.
pub(super) fn put_imported(
    store: &Connection,
    session: i64,
    files: &[(String, String)],
    by_reduction: bool,
) -> Result<usize, rusqlite::Error> {
    let (table, _) = LATE[usize::from(by_reduction)];
    let sql = "SELECT crunch, ?2, ?3 FROM starts WHERE session = ?1";
    let mut sql = store.prepare_cached(&format!("INSERT OR IGNORE INTO {table} {sql}"))?;
    files
        .iter()
        .try_fold(0, |put, (name, digest)| Ok(put + sql.execute(params![session, name, digest])?))
}

/// Stores the Python and the packages of a worker, which differ from rank 0's.
pub(super) fn put_environment(
    store: &Connection,
    (session, rank): (i64, usize),
    environment: &str,
) -> Result<usize, rusqlite::Error> {
    let sql = "INSERT OR REPLACE INTO environments VALUES (?1, ?2, ?3)";
    store.prepare_cached(sql)?.execute(params![session, rank as i64, environment])
}

fn late_modules(
    store: &Connection,
    table: &str,
    crunch: i64,
) -> Result<Vec<(String, String)>, rusqlite::Error> {
    if !has_table(store, table)? {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT name, digest FROM {table} WHERE crunch = ?1");
    let mut sql = store.prepare(&sql)?;
    sql.query_map(params![crunch], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// The crunch of the last start, if earlier starts had another one.
pub(super) fn latest_of_several(store: &Connection) -> Result<Option<i64>, rusqlite::Error> {
    if !has_table(store, "starts")? {
        return Ok(None);
    }
    let sql = "SELECT crunch FROM starts WHERE (SELECT count(DISTINCT crunch) FROM starts) > 1
               ORDER BY session DESC LIMIT 1";
    store.query_row(sql, [], |row| row.get(0)).optional()
}

pub(super) fn put_crunch(
    store: &Connection,
    number: i64,
    identity: &Identity,
) -> Result<usize, rusqlite::Error> {
    let identity = serde_json::json!(identity).to_string();
    store.execute("INSERT OR REPLACE INTO crunches VALUES (?1, ?2)", params![number, identity])
}

/// Every crunch that a start has had, by its number.
pub(super) fn crunches(store: &Connection) -> Result<Vec<(i64, Identity)>, rusqlite::Error> {
    let mut sql = store.prepare("SELECT crunch, identity FROM crunches ORDER BY crunch")?;
    let rows = sql.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let identity =
        |(number, text): (i64, String)| Some((number, serde_json::from_str(&text).ok()?));
    Ok(rows.into_iter().filter_map(identity).collect())
}

/// Gives a crunch another identity, and makes it that of all starts whose crunch is now the same.
pub(super) fn unite(
    store: &Connection,
    crunch: i64,
    identity: &Identity,
    is_same: impl Fn(&Identity) -> bool,
) -> Result<(), rusqlite::Error> {
    let others = crunches(store)?.into_iter().filter(|(number, _)| *number != crunch);
    for (number, _) in others.filter(|(_, was)| is_same(was)) {
        store
            .execute("UPDATE starts SET crunch = ?1 WHERE crunch = ?2", params![crunch, number])?;
        store.execute("DELETE FROM crunches WHERE crunch = ?1", params![number])?;
    }
    put_crunch(store, crunch, identity).map(drop)
}

/// The number of a crunch: that of an earlier start which had the same, or a new one.
pub(super) fn number_of(store: &Connection, identity: &Identity) -> Result<i64, rusqlite::Error> {
    let same = |was: &Identity| was.changes(&mut identity.clone()).refused.is_empty();
    if let Some((number, _)) = crunches(store)?.into_iter().find(|(_, was)| same(was)) {
        return Ok(number);
    }
    store.query_row("SELECT coalesce(max(crunch), 0) + 1 FROM crunches", [], |row| row.get(0))
}

/// The digests of files that earlier starts have taken; none if they cannot be read.
pub(crate) fn known_files(store: &Connection) -> BTreeMap<PathBuf, DigestedFile> {
    let sql = "SELECT path, digest, size, modified, changed, inode, taken FROM known_files";
    let read = |row: &rusqlite::Row| {
        let state = FileState {
            size: row.get::<_, i64>(2)? as u64,
            modified: row.get(3)?,
            changed: row.get(4)?,
            inode: row.get::<_, i64>(5)? as u64,
        };
        let file = DigestedFile { digest: row.get(1)?, state, taken: row.get(6)? };
        Ok((PathBuf::from(row.get::<_, String>(0)?), file))
    };
    let found = store.prepare(sql).and_then(|mut sql| sql.query_map([], read)?.collect());
    found.unwrap_or_default()
}

/// Keeps the digests of this start's files.
pub(super) fn keep_files(store: &Connection, files: &FileDigests) -> Result<(), rusqlite::Error> {
    let before = known_files(store);
    let used: Vec<_> = files.used().collect();
    let same = |(path, file): &(&PathBuf, &DigestedFile)| before.get(*path) == Some(*file);
    if before.len() == used.len() && used.iter().all(same) {
        return Ok(());
    }
    let batch = store.unchecked_transaction()?;
    batch.execute("DELETE FROM known_files", [])?;
    {
        let mut sql =
            batch.prepare("INSERT INTO known_files VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        // A path that is no text is read again at each start.
        for (path, file) in used.iter().filter_map(|(path, file)| Some((path.to_str()?, file))) {
            let FileState { size, modified, changed, inode } = file.state;
            let (size, inode) = (size as i64, inode as i64);
            sql.execute(params![path, file.digest, size, modified, changed, inode, file.taken])?;
        }
    }
    batch.commit()
}

pub(super) fn has_table(store: &Connection, name: &str) -> Result<bool, rusqlite::Error> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    store.query_row(sql, params![name], |row| row.get(0))
}

/// The value of a key in the store's table `job`.
pub(crate) fn note(store: &Connection, key: &str) -> Result<Option<String>, rusqlite::Error> {
    let sql = "SELECT value FROM job WHERE key = ?1";
    store.query_row(sql, params![key], |row| row.get(0)).optional()
}

/// The field of crunch's records that is the score.
pub(super) fn score_name(store: &Connection) -> Result<String, rusqlite::Error> {
    let name = note(store, "score")?.filter(|name| !name.is_empty());
    Ok(name.unwrap_or_else(|| SCORE.to_string()))
}

/// Sets the value of a key in the store's table `job`.
pub(super) fn put_note(
    store: &Connection,
    key: &str,
    value: impl ToSql,
) -> Result<(), rusqlite::Error> {
    let sql = "INSERT OR REPLACE INTO job (key, value) VALUES (?1, ?2)";
    store.prepare_cached(sql)?.execute(params![key, value]).map(drop)
}
