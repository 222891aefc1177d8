//! Restricts what a query may do: SQLite's authorizer reports each action while the query is prepared,
//! however it is written.

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Error};

use crate::store::query::filter::FUNCTIONS;
use crate::store::query::functions::OWN;

/// The view that conditions read. Everything that its definition does is allowed.
const VIEW: &str = "all_runs";

/// Operators that are functions to SQLite.
const OPERATORS: [&str; 4] = ["like", "glob", "->", "->>"];

/// Prepares a query; fails unless it only reads the view and calls functions without side effects.
pub(crate) fn check(connection: &Connection, sql: &str) -> Result<(), Error> {
    let authorize = |context: AuthContext<'_>| {
        let allowed = match context.action {
            _ if context.accessor == Some(VIEW) => true,
            AuthAction::Select => true,
            // SQLite reports tables under the view with an empty column name if no column of them is read.
            AuthAction::Read { table_name, column_name } => {
                table_name == VIEW || column_name.is_empty()
            }
            AuthAction::Function { function_name } => OPERATORS
                .into_iter()
                .chain(OWN)
                .chain(FUNCTIONS.split(' '))
                .any(|function| function == function_name),
            _ => false,
        };
        if allowed { Authorization::Allow } else { Authorization::Deny }
    };
    connection.authorizer(Some(authorize))?;
    let prepared = connection.prepare(sql).map(drop);
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    prepared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_reads_runs_and_computes_and_nothing_else() {
        let store = Connection::open_in_memory().unwrap();
        let tables = "CREATE TABLE runs (task, value); CREATE TABLE points (point);
                      CREATE VIEW all_runs AS SELECT task, (SELECT max(point) FROM points) AS x,
                      json_extract(value, '$.a') AS a FROM runs";
        store.execute_batch(tables).unwrap();
        let may = |clause: &str| check(&store, &format!("SELECT 1 FROM all_runs WHERE ({clause})"));
        for fine in ["abs(x) < 1", "a LIKE '%b' AND task IN (1, 2)", "a ->> '$.b' = round(x)"] {
            may(fine).unwrap_or_else(|error| panic!("{fine}: {error}"));
        }
        for not in [
            "task IN (SELECT point FROM points)",
            "load_extension('x')",
            "x < 1) UNION SELECT point FROM points WHERE (1",
            "randomblob(9)",
        ] {
            assert!(may(not).is_err(), "{not}");
        }
        assert!(
            store.prepare("SELECT point FROM points").is_ok(),
            "other queries are not restricted"
        );
    }
}
