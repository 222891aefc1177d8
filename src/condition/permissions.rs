//! Restricts what a query may do: SQLite's authorizer reports each action while the query is prepared,
//! however it is written.

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Error};

use crate::condition::translate::FUNCTIONS;

/// What a query may do besides calling functions without side effects.
pub(crate) struct Permissions<'a> {
    /// The view that it reads. Everything that the view's definition does is allowed.
    pub(crate) view: &'a str,
    /// Functions that no user can name.
    pub(crate) functions: &'a [&'a str],
}

/// Operators that are functions to SQLite.
const OPERATORS: [&str; 4] = ["like", "glob", "->", "->>"];

impl Permissions<'_> {
    /// Prepares a query; fails unless it only reads the view and calls functions without side effects.
    pub(crate) fn check(&self, connection: &Connection, sql: &str) -> Result<(), Error> {
        let (view, own): (String, Vec<String>) =
            (self.view.to_string(), self.functions.iter().map(|name| name.to_string()).collect());
        let authorize = move |context: AuthContext<'_>| {
            let allowed = match context.action {
                _ if context.accessor == Some(&view) => true,
                AuthAction::Select => true,
                // SQLite reports tables under the view with an empty column name if no column of them is read.
                AuthAction::Read { table_name, column_name } => {
                    table_name == view || column_name.is_empty()
                }
                AuthAction::Function { function_name } => OPERATORS
                    .into_iter()
                    .chain(own.iter().map(String::as_str))
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
        let permissions = Permissions { view: "all_runs", functions: &[] };
        let may = |clause: &str| {
            permissions.check(&store, &format!("SELECT 1 FROM all_runs WHERE ({clause})"))
        };
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
