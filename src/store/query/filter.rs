//! Translates a user's condition on runs, such as `alpha < 1 and status = 'failed'`, into safe SQL: one
//! expression over known columns, with functions that have no side effects.

use crate::store::schema::quoted;
use crate::util::text::{did_you_mean, is_slip_of};

/// SQL keywords that are allowed in an expression.
const WORDS: &str = "AND OR NOT IN IS NULL LIKE GLOB BETWEEN ESCAPE CASE WHEN THEN ELSE END TRUE FALSE \
    ISNULL NOTNULL CAST AS REAL INTEGER TEXT";

/// Functions without side effects.
pub(super) const FUNCTIONS: &str = "abs round min max sign exp ln log log10 log2 pow power sqrt floor ceil length \
    lower upper trim ltrim rtrim substr instr replace coalesce ifnull nullif iif typeof json_extract \
    json_array_length datetime";

/// The columns that a condition can name.
pub(crate) trait Names {
    /// The SQL of the column with this name, if it exists.
    fn find(&mut self, name: &str) -> Result<Option<String>, String>;

    /// All column names.
    fn all(&self) -> Vec<String>;

    /// Whether a name is likely to be a misspelled column.
    fn is_near(&self, name: &str) -> bool {
        is_slip_of(name, &self.all())
    }

    /// The error message for an unknown column, with the most similar one.
    fn unknown(&self, name: &str) -> String {
        let all = self.all();
        let (near, known) = (did_you_mean(name, &all, "'"), all.join(", "));
        format!("there is no column '{name}'{near} (columns: {known})")
    }
}

/// The condition as SQL.
pub(crate) fn translate(clause: &str, names: &mut dyn Names) -> Result<String, String> {
    let mut sql = String::new();
    let mut rest = clause;
    let mut depth = 0;
    while let Some(letter) = rest.chars().next() {
        let (length, piece) = match letter {
            letter if letter.is_whitespace() => (letter.len_utf8(), " ".to_string()),
            '\'' => {
                let length = closing(rest, '\'').ok_or("a string is not closed: a ' is missing")?;
                (length, rest[..length].to_string())
            }
            '"' => {
                let (name, length) = in_quotes(rest)?;
                // Users of other languages write strings in double quotes.
                let column = match names.find(&name)? {
                    None if names.is_near(&name) => {
                        let unknown = names.unknown(&name);
                        return Err(format!("{unknown}; a string stands in single quotes"));
                    }
                    None => quoted(&name, '\''),
                    Some(column) => column,
                };
                (length, column)
            }
            letter if letter.is_ascii_digit() => {
                let length = number(rest);
                (length, rest[..length].to_string())
            }
            letter if letter.is_alphabetic() || letter == '_' => {
                let length = name(rest);
                let called = rest[length..].trim_start().starts_with('(');
                (length, word(&rest[..length], called, names)?)
            }
            '(' | ')' => {
                depth += if letter == '(' { 1 } else { -1 };
                if depth < 0 {
                    return Err("there is a ')' without a '('".to_string());
                }
                (1, letter.to_string())
            }
            '-' if rest.starts_with("--") => {
                return Err("comments are not allowed here".to_string());
            }
            '/' if rest.starts_with("/*") => {
                return Err("comments are not allowed here".to_string());
            }
            '&' if rest.starts_with("&&") => return Err("'&&' is written 'and' here".to_string()),
            '<' | '>' | '=' | '!' | '+' | '-' | '*' | '/' | '%' | '|' | '&' | '~' | ',' | '.' => {
                (1, letter.to_string())
            }
            ';' => return Err("';': expected one condition, not several statements".to_string()),
            other => return Err(format!("unexpected '{other}'")),
        };
        sql += &piece;
        rest = &rest[length..];
    }
    match depth {
        0 if sql.trim().is_empty() => Err("there is no condition".to_string()),
        0 => Ok(sql),
        _ => Err("a ')' is missing".to_string()),
    }
}

fn word(word: &str, called: bool, names: &mut dyn Names) -> Result<String, String> {
    let upper = word.to_uppercase();
    if WORDS.split(' ').any(|known| known == upper) {
        return Ok(upper);
    }
    if upper == "SELECT" {
        return Err("'select': expected a condition over the columns, not a query; for queries open runs.sqlite with any SQLite client".to_string());
    }
    if called {
        let lower = word.to_lowercase();
        let known: Vec<&str> = FUNCTIONS.split(' ').collect();
        if known.contains(&lower.as_str()) {
            return Ok(lower);
        }
        let (near, known) = (did_you_mean(&lower, &known, "'"), known.join(", "));
        return Err(format!("there is no function '{word}' here{near} (functions: {known})"));
    }
    names.find(word)?.ok_or_else(|| {
        let unknown = names.unknown(word);
        format!("{unknown}; a string stands in quotes: '{word}'")
    })
}

/// The first name of a list, in double quotes if it has special characters, and the rest of the list.
pub(crate) fn first_name(list: &str) -> Result<(String, &str), String> {
    let list = list.trim_start();
    if list.starts_with('"') {
        let (name, length) = in_quotes(list)?;
        return Ok((name, &list[length..]));
    }
    let end = list.find(|letter: char| letter.is_whitespace() || letter == ',');
    match list.split_at(end.unwrap_or(list.len())) {
        ("", _) => Err("a column is missing".to_string()),
        (name, behind) => Ok((name.to_string(), behind)),
    }
}

/// The name in double quotes at the start of a text, and its length including the quotes.
fn in_quotes(text: &str) -> Result<(String, usize), String> {
    let length = closing(text, '"').ok_or("a name is not closed: a \" is missing")?;
    Ok((text[1..length - 1].replace("\"\"", "\""), length))
}

/// The length of a quoted string including its quotes; doubled quotes are part of it.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            match letters.peek() {
                Some((_, next)) if *next == quote => drop(letters.next()),
                _ => return Some(at + 1),
            }
        }
    }
    None
}

fn number(text: &str) -> usize {
    let mut before = ' ';
    let part = |letter: char| {
        let sign = (letter == '+' || letter == '-') && (before == 'e' || before == 'E');
        before = letter;
        sign || letter.is_ascii_digit() || letter == '.' || letter == 'e' || letter == 'E'
    };
    let mut part = part;
    text.find(|letter| !part(letter)).unwrap_or(text.len())
}

/// The length of a name: `alpha`, or `params.depth`.
fn name(text: &str) -> usize {
    let part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '.';
    let end = text.find(|letter| !part(letter)).unwrap_or(text.len());
    text[..end].trim_end_matches('.').len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Known;

    impl Names for Known {
        fn find(&mut self, name: &str) -> Result<Option<String>, String> {
            Ok(self.all().contains(&name.to_string()).then(|| quoted(name, '"')))
        }

        fn all(&self) -> Vec<String> {
            ["alpha", "p.depth", "a b", "status"].map(String::from).into()
        }
    }

    fn sql(clause: &str) -> Result<String, String> {
        translate(clause, &mut Known)
    }

    #[test]
    fn conditions_become_sql_over_known_columns() {
        for (clause, expected) in [
            ("alpha<1", "\"alpha\"<1"),
            ("alpha >= 1e-3 AND p.depth in (1,2)", "\"alpha\" >= 1e-3 AND \"p.depth\" IN (1,2)"),
            ("status='it''s' or not (alpha=-.5)", "\"status\"='it''s' OR NOT (\"alpha\"=-.5)"),
            ("\"a b\" = \"text\"", "\"a b\" = 'text'"),
            ("abs( alpha )<2", "abs( \"alpha\" )<2"),
            ("status is null", "\"status\" IS NULL"),
            ("alpha\n<\t1", "\"alpha\" < 1"),
            ("status = 'é; --'", "\"status\" = 'é; --'"),
        ] {
            assert_eq!(sql(clause).as_deref(), Ok(expected), "{clause}");
        }
    }

    #[test]
    fn anything_else_is_refused_in_words() {
        for (clause, says) in [
            ("", "there is no condition"),
            (
                "alhpa < 1",
                "there is no column 'alhpa'; did you mean 'alpha'? (columns: alpha, p.depth",
            ),
            ("status = failed", "a string stands in quotes: 'failed'"),
            ("alpha < 1; drop table runs", "one condition"),
            ("alpha < 1) union (select 1", "without a '('"),
            ("alpha in (select task from runs)", "not a query"),
            ("(alpha < 1", "a ')' is missing"),
            ("status = 'x", "a ' is missing"),
            ("alpha < 1 -- all", "comments are not allowed"),
            ("alpha /* x */ < 1", "comments are not allowed"),
            ("load_extension('x')", "no function 'load_extension'"),
            ("rond(alpha) < 1", "did you mean 'round'?"),
            ("alpha < 1 && status", "'and'"),
            ("\"aplha\" < 1", "did you mean 'alpha'?"),
            ("alpha = ?1", "unexpected '?'"),
            ("alpha = @x", "unexpected '@'"),
            ("runs.task = 1", "no column 'runs.task'"),
        ] {
            let why = sql(clause).unwrap_err();
            assert!(why.contains(says), "{clause}: {why}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_let_through_is_one_expression(
            clause in "[ ()'\";.,a-z0-9=<>/*-]{0,30}|(alpha|status|1|'x'| |\\(|\\)|and|=|\"|'|;|--|,){0,12}",
        ) {
            let Ok(sql) = sql(&clause) else { return Ok(()) };
            let store = rusqlite::Connection::open_in_memory().unwrap();
            store.execute_batch("CREATE TABLE t (alpha, \"p.depth\", \"a b\", status)").unwrap();
            // Whatever SQLite accepts is one statement that only reads.
            if let Ok(statement) = store.prepare(&format!("SELECT 1 FROM t WHERE ({sql})")) {
                prop_assert!(statement.readonly());
            }
        }
    }
}
