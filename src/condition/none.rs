//! Refuses conditions that compare what may be none without saying what they mean then: SQL's answer to such
//! a comparison is neither true nor false.

use crate::condition::names::Names;
use crate::condition::tokens::{Token, TokenKind};

pub(super) fn check(tokens: &[Token], names: &dyn Names) -> Result<(), String> {
    let columns = tokens.iter().enumerate().filter(|(_, token)| token.is_column());
    let may_be_none: Vec<(usize, &str)> = columns
        .map(|(at, token)| (at, token.shown.as_str()))
        .filter(|(_, shown)| names.may_be_none(&shown.trim_matches('"').replace("\"\"", "\"")))
        .collect();
    for (_, shown) in &may_be_none {
        let own = may_be_none.iter().filter(|(_, other)| other == shown);
        if !own.clone().any(|(at, _)| is_said(tokens, *at)) {
            return Err(format!(
                "{shown} may be none, and a comparison with none is neither true nor false: write what is meant then, as in ({shown} is null or {})",
                comparison(tokens, shown)
            ));
        }
    }
    Ok(())
}

/// Whether a column stands where none has a meaning: before IS, or inside coalesce.
fn is_said(tokens: &[Token], at: usize) -> bool {
    let behind = tokens.get(at + 1).is_some_and(|next| {
        next.is_word("ISNULL") || next.is_word("NOTNULL") || next.shown.eq_ignore_ascii_case("is")
    });
    let open = at.checked_sub(1).map(|at| &tokens[at].kind) == Some(&TokenKind::Open);
    let function = at.checked_sub(2).map(|at| &tokens[at].kind);
    let replaced = |name: &str| name == "coalesce" || name == "ifnull";
    behind || open && matches!(function, Some(TokenKind::Function(name)) if replaced(name))
}

/// The comparison that a column stands in, or an example.
fn comparison(tokens: &[Token], shown: &str) -> String {
    let at = tokens.iter().position(|token| token.shown == shown).unwrap_or_default();
    match (tokens.get(at + 1), tokens.get(at + 2)) {
        (Some(operator), Some(value))
            if matches!(operator.kind, TokenKind::Compare { .. })
                && matches!(value.kind, TokenKind::Literal(_)) =>
        {
            format!("{shown} {} {}", operator.shown, value.shown)
        }
        _ => format!("{shown} < 1"),
    }
}
