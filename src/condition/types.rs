//! Finds comparisons of a number with a string in a condition. SQLite has an answer to these, always the same
//! one: a string is greater than every number, and none is equal to one.

use crate::condition::terms::{NUMERIC, Term, after, before, closing, elements, is_in};
use crate::condition::tokens::{Holds, Token, TokenKind};

/// Refuses comparisons of numbers with strings. Where a column has both, only its values of the other side's
/// type are compared by order.
pub(super) fn check(tokens: &mut [Token]) -> Result<(), String> {
    for at in 0..tokens.len() {
        match tokens[at].kind.clone() {
            TokenKind::Compare { by_order } => {
                null(tokens, at)?;
                compare(tokens, before(tokens, at), at, after(tokens, at), by_order)?;
            }
            TokenKind::Keyword(word) if word == "IN" || word == "BETWEEN" => {
                let negated = at > 0 && tokens[at - 1].is_word("NOT");
                let left = before(tokens, at - usize::from(negated));
                if word == "IN" {
                    for start in elements(tokens, at + 1) {
                        compare(tokens, left, at, after(tokens, start), false)?;
                    }
                } else {
                    let and = (at..tokens.len()).find(|i| tokens[*i].is_word("AND"));
                    for start in [Some(at), and].into_iter().flatten() {
                        compare(tokens, left, at, after(tokens, start), true)?;
                    }
                }
            }
            TokenKind::Arithmetic => {
                let sides = [before(tokens, at), after(tokens, at)];
                let what = format!("'{}'", tokens[at].shown);
                takes_numbers(tokens, &sides, &what)?;
            }
            TokenKind::Function(name) if name == "datetime" => datetime(tokens, at)?,
            TokenKind::Function(name) if name == "max" || name == "min" => {
                let starts = elements(tokens, at + 1);
                for pair in starts.windows(2) {
                    compare(tokens, after(tokens, pair[0]), at, after(tokens, pair[1]), false)?;
                }
            }
            TokenKind::Function(name) if is_in(NUMERIC, &name) => {
                let arguments: Vec<Term> =
                    elements(tokens, at + 1).iter().map(|start| after(tokens, *start)).collect();
                takes_numbers(tokens, &arguments, &name)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a comparison that is never true: nothing is equal to null, and nothing differs from it.
fn null(tokens: &[Token], at: usize) -> Result<(), String> {
    let is_null = |at: Option<usize>| {
        at.and_then(|at| tokens.get(at)).is_some_and(|token| token.kind == TokenKind::Null)
    };
    let (left, right) = (at.checked_sub(1), Some(at + 1));
    if tokens[at].shown.eq_ignore_ascii_case("is") || !is_null(left) && !is_null(right) {
        return Ok(());
    }
    let other = if is_null(right) { left } else { right };
    let is = if ["<>", "!="].contains(&tokens[at].shown.as_str()) { "is not" } else { "is" };
    let column = other.map(|at| &tokens[at]).filter(|token| token.is_column());
    let column = column.map_or("x", |token| &token.shown);
    Err(format!(
        "no value is {} null: write {column} {is} null; a column of this name stands in double quotes: \"null\"",
        tokens[at].shown
    ))
}

fn compare(
    tokens: &mut [Token],
    left: Term,
    operator: usize,
    right: Term,
    by_order: bool,
) -> Result<(), String> {
    let (Some(one), Some(other)) = (left.holds, right.holds) else { return Ok(()) };
    let is_number = |holds| matches!(holds, Holds::Numbers | Holds::Truth);
    match (one, other) {
        (Holds::Text, other) if is_number(other) => {
            return Err(clash(tokens, right, left, operator));
        }
        (one, Holds::Text) if is_number(one) => return Err(clash(tokens, left, right, operator)),
        _ => {}
    }
    for (term, opposite) in [(left, other), (right, one)] {
        if by_order && opposite != Holds::Both {
            only(tokens, term, is_number(opposite));
        }
    }
    Ok(())
}

/// Leaves of a column that has both only the numbers, or only the strings.
fn only(tokens: &mut [Token], term: Term, numbers: bool) {
    let Some(token) = term.alone.map(|alone| &mut tokens[alone]) else { return };
    let sql = &token.sql;
    if token.kind == TokenKind::Column(Holds::Both) && !sql.starts_with("(CASE") {
        let is = if numbers { "IN ('integer', 'real')" } else { "= 'text'" };
        token.sql = format!("(CASE WHEN typeof({sql}) {is} THEN {sql} END)");
    }
}

/// What to say to a comparison of a number with a string.
fn clash(tokens: &[Token], number: Term, text: Term, operator: usize) -> String {
    let token = |term: Term| term.alone.map(|at| &tokens[at]);
    let compares = matches!(tokens[operator].kind, TokenKind::Compare { .. });
    let negated = tokens.get(operator + 1).is_some_and(|token| token.is_word("NOT"));
    let is_not = if negated { " not" } else { "" };
    let say = |column: &str, value: &str| match compares {
        false => value.to_string(),
        true => format!("{column} {}{is_not} {value}", tokens[operator].shown),
    };
    match (token(number), token(text)) {
        (Some(column), Some(value)) if column.is_column() && !value.is_column() => {
            let (name, shown) = (&column.shown, &value.shown);
            let bare = shown.trim_matches(['\'', '"']);
            match column.kind {
                TokenKind::Column(Holds::Truth) => {
                    format!("{name} is true or false; write {name} = true")
                }
                _ if name == "started" => format!(
                    "started has seconds since 1970; write datetime(started, 'unixepoch') {} {shown}",
                    tokens[operator].shown
                ),
                _ => {
                    let instead = match bare.parse::<f64>() {
                        Ok(number) if number.is_nan() => format!("{name} is null, as NaN counts"),
                        Ok(number) if number.is_infinite() => {
                            say(name, if number > 0.0 { "9e999" } else { "-9e999" })
                        }
                        Ok(_) => say(name, bare),
                        Err(_) => "a number".to_string(),
                    };
                    format!("{name} has numbers, and {shown} is a string; write {instead}")
                }
            }
        }
        (Some(value), Some(column)) if column.is_column() && !value.is_column() => {
            let (name, shown) = (&column.shown, &value.shown);
            let instead = say(name, &format!("'{shown}'"));
            format!("{name} has strings, and {shown} is a number; write {instead}")
        }
        (Some(one), Some(other)) => {
            let of = |token: &Token, one, several| match token.is_column() {
                true => format!("{} has {several}", token.shown),
                false => format!("{} is a {one}", token.shown),
            };
            format!("{}, and {}", of(one, "number", "numbers"), of(other, "string", "strings"))
        }
        (None, Some(one)) | (Some(one), None) => format!(
            "a number is compared with a string at {}; write both sides as numbers, or as strings in quotes",
            one.shown
        ),
        (None, None) => {
            "a number is compared with a string; write both sides as numbers, or as strings in quotes"
                .to_string()
        }
    }
}

fn takes_numbers(tokens: &mut [Token], terms: &[Term], what: &str) -> Result<(), String> {
    let is_text = |at: &usize| {
        matches!(tokens[*at].kind, TokenKind::Column(Holds::Text) | TokenKind::Literal(Holds::Text))
    };
    match terms.iter().filter_map(|term| term.alone).find(is_text) {
        Some(at) if tokens[at].is_column() => {
            Err(format!("{} has strings, and {what} takes numbers", tokens[at].shown))
        }
        Some(at) => Err(format!("{} is a string, and {what} takes numbers", tokens[at].shown)),
        None => {
            terms.iter().for_each(|term| only(tokens, *term, true));
            Ok(())
        }
    }
}

/// Refuses times that are others at each call, or on each machine.
fn datetime(tokens: &[Token], at: usize) -> Result<(), String> {
    let close = closing(tokens, at + 1);
    let starts = elements(tokens, at + 1);
    let end = starts.get(1).copied().unwrap_or(close);
    let first = tokens.get(at + 2..end).unwrap_or_default();
    let is_fixed = |token: &Token| match token.kind {
        TokenKind::Literal(Holds::Text) => {
            first.len() == 1 && token.shown[1..].starts_with(|letter: char| letter.is_ascii_digit())
        }
        TokenKind::Literal(_) | TokenKind::Arithmetic => true,
        TokenKind::Column(holds) => holds == Holds::Numbers,
        _ => false,
    };
    if first.is_empty() || !first.iter().all(is_fixed) {
        return Err("datetime takes a time that stays the same, not 'now': a number, as in datetime(started, 'unixepoch'), or '2026-01-31 12:00'".to_string());
    }
    for token in tokens[end..close].iter().filter(|token| token.kind != TokenKind::Comma) {
        let modifier = token.shown.trim_matches(['\'', '"', ' ']).to_lowercase();
        let fixed = !["localtime", "utc"].contains(&modifier.as_str());
        if token.kind != TokenKind::Literal(Holds::Text) || !fixed {
            return Err(format!(
                "{} in datetime: another time on another machine; give strings such as 'unixepoch' or '+1 day'",
                token.shown
            ));
        }
    }
    Ok(())
}
