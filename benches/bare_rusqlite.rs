//! The limit for a durable store: how many rows a second SQLite takes through rusqlite, with nothing
//! around it. 50,000 rows a transaction, each on disk before it counts, as gridmpi's store has it.
//!
//! `cargo bench --bench bare_rusqlite -- ROWS` prints rows and seconds as JSON.

use std::time::Instant;

use rusqlite::{Connection, params};

const BATCH: u64 = 50_000;

fn main() -> Result<(), rusqlite::Error> {
    let rows = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(1_000_000u64);
    let folder = tempfile::tempdir_in(".").expect("a folder here");
    let begin = Instant::now();
    let mut connection = Connection::open(folder.path().join("rows.sqlite"))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch(
        "CREATE TABLE rows (task INTEGER PRIMARY KEY, score REAL, seconds REAL, worker INTEGER)",
    )?;
    let mut row = 0;
    while row < rows {
        let batch = connection.transaction()?;
        {
            let mut insert = batch.prepare_cached("INSERT INTO rows VALUES (?1, ?2, ?3, ?4)")?;
            for task in row..(row + BATCH).min(rows) {
                let score = (task / 100) as f64 * (task % 100) as f64;
                insert.execute(params![task as i64, score, 1e-6 * score, 1])?;
            }
        }
        batch.commit()?;
        row += BATCH;
    }
    drop(connection);
    println!("{{\"rows\": {rows}, \"seconds\": {:.6}}}", begin.elapsed().as_secs_f64());
    Ok(())
}
