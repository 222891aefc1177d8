//! Translates a user's condition on runs, such as `alpha < 1 and status = 'failed'`, into safe SQL: one
//! expression over known columns, with functions that have no side effects and always give the same.

use crate::condition::names::{KnownName, Names};
use crate::condition::tokens::{Holds, Token, TokenKind};
use crate::condition::{none, types};
use crate::util::text::{did_you_mean, quoted};

/// SQL keywords that are allowed in an expression.
const WORDS: &str = "AND OR NOT IN IS NULL LIKE GLOB BETWEEN ESCAPE CASE WHEN THEN ELSE END TRUE FALSE \
    ISNULL NOTNULL CAST AS REAL INTEGER TEXT";

/// Keywords that can stand where a column can; a column of such a name stands in quotes.
const VALUES: &str = "NOT NULL TRUE FALSE";

/// Functions without side effects.
pub(super) const FUNCTIONS: &str = "abs round min max sign exp ln log log10 log2 pow power sqrt floor ceil length \
    lower upper trim ltrim rtrim substr instr replace coalesce ifnull nullif iif typeof json_extract \
    json_array_length datetime";

/// Operators, longer ones first.
const OPERATORS: &str = "->> -> <= >= <> != == || << >> < > = + - * / % | & ~";

/// The condition as SQL.
pub(crate) fn translate(clause: &str, names: &mut dyn Names) -> Result<String, String> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut space = String::new();
    let mut rest = clause;
    let mut depth = 0;
    while let Some(letter) = rest.chars().next() {
        if letter.is_whitespace() {
            space.push(' ');
            rest = &rest[letter.len_utf8()..];
            continue;
        }
        let (length, sql, kind) = match letter {
            '\'' => {
                let length = closing(rest, '\'').ok_or("a string is not closed: a ' is missing")?;
                (length, rest[..length].to_string(), TokenKind::Literal(Holds::Text))
            }
            '"' => {
                let (name, length) = in_quotes(rest)?;
                // Users of other languages write strings in double quotes.
                match names.find(&name)? {
                    None if !names.quotes_strings() || names.is_near(&name) => {
                        let unknown = names.unknown(&name);
                        return Err(format!("{unknown}; a string stands in single quotes"));
                    }
                    None => (length, quoted(&name, '\''), TokenKind::Literal(Holds::Text)),
                    Some(found) => (length, found.sql, TokenKind::Column(found.holds)),
                }
            }
            letter if letter.is_ascii_digit() || letter == '.' && is_number(&rest[1..]) => {
                let length = number(rest);
                (length, rest[..length].to_string(), TokenKind::Literal(Holds::Numbers))
            }
            letter if letter.is_alphabetic() || letter == '_' => {
                let length = name(rest);
                let called = rest[length..].trim_start().starts_with('(');
                let as_operand = tokens.last().is_none_or(Token::wants_operand);
                let (sql, kind) = word(&rest[..length], called, as_operand, names)?;
                (length, sql, kind)
            }
            '(' | ')' => {
                depth += if letter == '(' { 1 } else { -1 };
                if depth < 0 {
                    return Err("there is a ')' without a '('".to_string());
                }
                let kind = if letter == '(' { TokenKind::Open } else { TokenKind::Close };
                (1, letter.to_string(), kind)
            }
            ',' => (1, ",".to_string(), TokenKind::Comma),
            '-' if rest.starts_with("--") => {
                return Err("comments are not allowed here".to_string());
            }
            '/' if rest.starts_with("/*") => {
                return Err("comments are not allowed here".to_string());
            }
            '&' if rest.starts_with("&&") => return Err("'&&' is written 'and' here".to_string()),
            ';' => return Err("';': expected one condition, not several statements".to_string()),
            other => {
                let operator = OPERATORS.split(' ').find(|known| rest.starts_with(known));
                let operator = operator.ok_or_else(|| format!("unexpected '{other}'"))?;
                // As in Python, 5 / 2 is 2.5.
                let sql = if operator == "/" { "* 1.0 /" } else { operator };
                (operator.len(), sql.to_string(), TokenKind::of_operator(operator))
            }
        };
        let shown = rest[..length].to_string();
        tokens.push(Token { space: std::mem::take(&mut space), sql, shown, kind });
        rest = &rest[length..];
    }
    if depth > 0 {
        return Err("a ')' is missing".to_string());
    }
    if tokens.is_empty() {
        return Err("there is no condition".to_string());
    }
    types::check(&mut tokens)?;
    none::check(&tokens, names)?;
    Ok(tokens.iter().map(|token| token.space.clone() + &token.sql).collect::<String>() + &space)
}

/// A word: a keyword, a function, or a column. A column may have the name of a keyword where no such keyword
/// can stand.
fn word(
    word: &str,
    called: bool,
    as_operand: bool,
    names: &mut dyn Names,
) -> Result<(String, TokenKind), String> {
    let upper = word.to_uppercase();
    let is_in = |list: &str| list.split(' ').any(|known| known == upper);
    let column = |found: KnownName| (found.sql, TokenKind::Column(found.holds));
    if is_in(WORDS) {
        if as_operand
            && !called
            && !is_in(VALUES)
            && word != upper
            && let Some(found) = names.find(word)?
        {
            return Ok(column(found));
        }
        return Ok((upper.clone(), TokenKind::of_keyword(&upper)));
    }
    if called && upper != "SELECT" {
        let lower = word.to_lowercase();
        let known: Vec<&str> = FUNCTIONS.split(' ').collect();
        if known.contains(&lower.as_str()) {
            return Ok((lower.clone(), TokenKind::Function(lower)));
        }
        let (near, known) = (did_you_mean(&lower, &known, "'"), known.join(", "));
        return Err(format!("there is no function '{word}' here{near} (functions: {known})"));
    }
    match names.find(word)? {
        Some(found) => Ok(column(found)),
        None if upper == "SELECT" => {
            Err("'select': expected a condition over the columns, not a query; for queries open runs.sqlite with any SQLite client".to_string())
        }
        None => {
            let unknown = names.unknown(word);
            Err(format!("{unknown}; a string stands in quotes: '{word}'"))
        }
    }
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

fn is_number(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_digit())
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
        fn find(&mut self, name: &str) -> Result<Option<KnownName>, String> {
            let holds = match name {
                "status" | "a b" => Holds::Text,
                "mixed" => Holds::Both,
                "ok" => Holds::Truth,
                _ => Holds::Numbers,
            };
            let is_known = self.all().contains(&name.to_string());
            Ok(is_known.then(|| KnownName { sql: quoted(name, '"'), holds }))
        }

        fn all(&self) -> Vec<String> {
            ["alpha", "p.depth", "a b", "status", "ok", "mixed", "case", "to", "in"]
                .map(String::from)
                .into()
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
            ("case in (1) and to<2 or in=1", "\"case\" IN (1) AND \"to\"<2 OR \"in\"=1"),
            (
                "CASE when alpha<1 then ok else case END = 1",
                "CASE WHEN \"alpha\"<1 THEN \"ok\" ELSE \"case\" END = 1",
            ),
            ("mixed = 1 or mixed='x'", "\"mixed\" = 1 OR \"mixed\"='x'"),
            (
                "mixed>1",
                "(CASE WHEN typeof(\"mixed\") IN ('integer', 'real') THEN \"mixed\" END)>1",
            ),
            ("'a'< mixed", "'a'< (CASE WHEN typeof(\"mixed\") = 'text' THEN \"mixed\" END)"),
            ("status = 'é; --'", "\"status\" = 'é; --'"),
        ] {
            assert_eq!(sql(clause).as_deref(), Ok(expected), "{clause}");
        }
    }

    #[test]
    fn comparisons_of_a_kind_are_let_through() {
        for clause in [
            "datetime(alpha, 'unixepoch') > '2026-01-01'",
            "datetime('2026-01-01', '+1 day') > 'a'",
            "lower(status) = 'failed'",
            "alpha + p.depth * 2 < -1",
            "status || 'x' = 'ax'",
            "status is null or alpha is not null",
            "ok = 1 and not ok = true",
            "length(status) = 3 and (alpha) = 2",
            "alpha = 1 and status = 'x' and 1 = alpha",
            "cast(alpha as text) = '1'",
            "mixed in (1, 'a')",
            "status between 'a' and 'b' and alpha between 1 and 2",
            "json_extract(status, '$[1]') = 2",
            "coalesce(alpha, 0) < 1",
            "alpha like '0.%'",
            "coalesce(status, '') = 'x'",
            "coalesce(mixed, 0) = 'x' or coalesce(mixed, 0) = 1",
            "iif(alpha < 1, 'a', 2) = 2",
            "nullif(alpha, 1) is null",
            "CASE when alpha < 1 then 'a' when ok then null else status END = 'a'",
            "CASE status when 'a' then 1 else 2 END = 1",
            "(alpha = 1) = ok",
            "max(alpha, 1, p.depth) > 0",
            "alpha is null and not status is not null",
            "status -> '$.x' = '1' and status ->> '$.x' = 1",
        ] {
            assert!(sql(clause).is_ok(), "{clause}: {:?}", sql(clause));
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
            ("alpha < '0.5'", "alpha has numbers, and '0.5' is a string; write alpha < 0.5"),
            ("'x' = alpha", "alpha has numbers, and 'x' is a string; write a number"),
            ("alpha not in (1, '2')", "'2' is a string; write 2"),
            ("alpha between 1 and '2'", "'2' is a string"),
            ("status=7", "status has strings, and 7 is a number; write status = '7'"),
            ("7 <> status", "write status <> '7'"),
            ("status > -7", "status has strings"),
            ("status is not 3", "status has strings"),
            ("status in (1)", "status has strings, and 1 is a number; write '1'"),
            ("abs(alpha) = 'x'", "is compared with a string"),
            ("(alpha) = 'x'", "is compared with a string"),
            ("status = alpha", "alpha has numbers, and status has strings"),
            ("alpha || '' = 1", "is compared with a string"),
            ("ok = 'true'", "ok is true or false; write ok = true"),
            ("status + 1 > 2", "status has strings, and '+' takes numbers"),
            ("abs(status) > 2", "status has strings, and abs takes numbers"),
            ("coalesce(alpha, 0) = '1'", "a number is compared with a string at '1'"),
            ("nullif(alpha, 1) = '2'", "compared with a string"),
            ("'1' = ifnull(alpha, 2)", "compared with a string"),
            ("max(alpha, 1) = '1'", "compared with a string"),
            ("max('a', alpha) = 'a'", "alpha has numbers, and 'a' is a string"),
            ("iif(ok, 1, 2) = '1'", "compared with a string"),
            ("CASE when ok then 1 END = '1'", "compared with a string"),
            ("1 = CASE alpha when 1 then 'a' else CASE when ok then 'b' END END", "compared"),
            ("(alpha = 1) = 'true'", "compared with a string"),
            ("(alpha + 1) = '2'", "compared with a string"),
            ("status -> '$.x' = 1", "compared with a string"),
            ("alpha = null", "no value is = null: write alpha is null"),
            ("null <> status", "write status is not null"),
            ("alpha = 'NaN'", "write alpha is null, as NaN counts"),
            ("alpha < 'inf'", "write alpha < 9e999"),
            ("alpha is not '1'", "write alpha is not 1"),
            ("1 = '1'", "1 is a number, and '1' is a string"),
            ("random() < 1", "no function 'random'"),
            ("started = current_timestamp", "no column"),
            ("datetime('now') > ''", "datetime"),
            ("datetime() > ''", "datetime"),
            ("datetime(status) > ''", "datetime"),
            ("datetime(alpha, 'unixepoch', 'localtime') > ''", "'localtime'"),
            ("datetime('n' || 'ow') > ''", "datetime"),
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
