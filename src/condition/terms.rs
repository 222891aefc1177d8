//! What the terms of a condition hold, as far as it can be told: a term is one side of a comparison, or an argument.

use crate::condition::tokens::{Holds, Token, TokenKind};

/// Functions that take numbers and give one.
pub(super) const NUMERIC: &str = "abs round sign exp ln log log10 log2 pow power sqrt floor ceil";

/// Functions that give numbers or strings, whatever they take.
const COUNTING: &str = "length instr json_array_length";
const TEXTUAL: &str = "lower upper trim ltrim rtrim substr replace typeof datetime";

/// Functions that give one of their arguments.
const CHOOSING: &str = "coalesce ifnull nullif iif max min";

/// Keywords that give true or false.
const DECIDING: &str = "AND OR NOT IN LIKE GLOB BETWEEN ISNULL NOTNULL";

/// One side of a comparison.
#[derive(Clone, Copy)]
pub(super) struct Term {
    /// Nothing if it cannot be told.
    pub(super) holds: Option<Holds>,
    /// The token, if it is no more than that.
    pub(super) alone: Option<usize>,
}

const UNTOLD: Term = Term { holds: None, alone: None };

pub(super) fn is_in(list: &str, name: &str) -> bool {
    list.split(' ').any(|known| known == name)
}

/// The term that ends before a token.
pub(super) fn before(tokens: &[Token], at: usize) -> Term {
    let Some(last) = at.checked_sub(1) else { return UNTOLD };
    let (first, mut term) = match &tokens[last].kind {
        TokenKind::Column(holds) | TokenKind::Literal(holds) => {
            (last, Term { holds: Some(*holds), alone: Some(last) })
        }
        TokenKind::Close => {
            let open = opening(tokens, last);
            match open.checked_sub(1).map(|i| (i, &tokens[i].kind)) {
                Some((i, TokenKind::Function(name))) => (i, of_function(tokens, i, name)),
                _ => (open, group(tokens, open, last)),
            }
        }
        TokenKind::Keyword(word) if word == "END" => {
            let case = case_of(tokens, last);
            (case, choice(tokens, case, last))
        }
        _ => return UNTOLD,
    };
    if let Some(operator) = first.checked_sub(1) {
        term = joined(term, &tokens[operator].kind);
    }
    term
}

/// The term that begins behind a token.
pub(super) fn after(tokens: &[Token], at: usize) -> Term {
    let is_sign = |token: &&Token| matches!(token.kind, TokenKind::Arithmetic);
    let skips = |token: &&Token| is_sign(token) || token.is_word("NOT");
    let skipped = tokens[at + 1..].iter().take_while(skips).count();
    let first = at + 1 + skipped;
    let Some(token) = tokens.get(first) else { return UNTOLD };
    let (last, mut term) = match &token.kind {
        TokenKind::Column(holds) | TokenKind::Literal(holds) => {
            (first, Term { holds: Some(*holds), alone: Some(first) })
        }
        TokenKind::Function(name) => (closing(tokens, first + 1), of_function(tokens, first, name)),
        TokenKind::Open => {
            let close = closing(tokens, first);
            (close, group(tokens, first, close))
        }
        TokenKind::Keyword(word) if word == "CASE" => {
            let end = end_of(tokens, first);
            (end, choice(tokens, first, end))
        }
        _ => return UNTOLD,
    };
    if let Some(next) = tokens.get(last + 1) {
        term = joined(term, &next.kind);
    }
    if tokens[at + 1..first].iter().any(|token| is_sign(&token)) {
        term.holds = term.holds.map(|_| Holds::Numbers);
    }
    term
}

/// The term with an operator on its other side.
fn joined(term: Term, operator: &TokenKind) -> Term {
    match operator {
        TokenKind::Join => Term { holds: Some(Holds::Text), alone: None },
        TokenKind::Arithmetic => Term { holds: Some(Holds::Numbers), alone: term.alone },
        TokenKind::Arrow { json: true } => Term { holds: Some(Holds::Text), alone: None },
        TokenKind::Arrow { json: false } => UNTOLD,
        _ => term,
    }
}

/// What the function at a token gives.
fn of_function(tokens: &[Token], at: usize, name: &str) -> Term {
    let holds = if is_in(NUMERIC, name) || is_in(COUNTING, name) {
        Some(Holds::Numbers)
    } else if is_in(TEXTUAL, name) {
        Some(Holds::Text)
    } else if is_in(CHOOSING, name) {
        let arguments = arguments(tokens, at + 1);
        common(match name {
            "nullif" => arguments.get(..1),
            "iif" => arguments.get(1..),
            _ => arguments.get(..),
        })
    } else {
        None
    };
    Term { holds, alone: None }
}

/// A term in parentheses.
fn group(tokens: &[Token], open: usize, close: usize) -> Term {
    Term { holds: expression(&tokens[open + 1..close]).flatten(), alone: None }
}

/// What CASE ... END gives: one of the terms behind THEN and ELSE.
fn choice(tokens: &[Token], case: usize, end: usize) -> Term {
    let inner = &tokens[case + 1..end];
    let parts = ["WHEN", "THEN", "ELSE"];
    let begins = |(i, depth): (usize, &usize)| {
        (*depth == 0 && parts.iter().any(|word| inner[i].is_word(word))).then_some(i)
    };
    let starts: Vec<usize> = depths(inner).iter().enumerate().filter_map(begins).collect();
    let ends = starts.iter().skip(1).copied().chain([inner.len()]);
    let given = starts.iter().zip(ends).filter(|(start, _)| !inner[**start].is_word("WHEN"));
    let given: Vec<_> = given.map(|(start, end)| expression(&inner[start + 1..end])).collect();
    Term { holds: common(Some(&given)), alone: None }
}

/// What the arguments in parentheses hold.
fn arguments(tokens: &[Token], open: usize) -> Vec<Option<Option<Holds>>> {
    let close = closing(tokens, open);
    let starts = elements(tokens, open);
    let ends = starts.iter().skip(1).copied().chain([close]);
    starts.iter().zip(ends).map(|(start, end)| expression(&tokens[start + 1..end])).collect()
}

/// What one of several terms holds; nothing if it cannot be told. A null is of any type.
fn common(terms: Option<&[Option<Option<Holds>>]>) -> Option<Holds> {
    let mut all = None;
    for term in terms?.iter().flatten() {
        all = match (all, (*term)?) {
            (None, one) => Some(one),
            (Some(one), other) if one == other => all,
            (Some(Holds::Truth | Holds::Numbers), Holds::Truth | Holds::Numbers) => {
                Some(Holds::Numbers)
            }
            _ => Some(Holds::Both),
        };
    }
    all
}

/// What an expression holds: nothing for null, and nothing inside if it cannot be told.
fn expression(tokens: &[Token]) -> Option<Option<Holds>> {
    let depths = depths(tokens);
    let has = |is: &dyn Fn(&TokenKind) -> bool| {
        tokens.iter().zip(&depths).any(|(token, depth)| *depth == 0 && is(&token.kind))
    };
    let decides = |kind: &TokenKind| match kind {
        TokenKind::Compare { .. } => true,
        TokenKind::Keyword(word) => is_in(DECIDING, word),
        _ => false,
    };
    if has(&decides) {
        return Some(Some(Holds::Truth));
    }
    match tokens {
        [] => Some(None),
        [Token { kind: TokenKind::Null, .. }] => None,
        _ if has(&|kind| *kind == TokenKind::Arithmetic) => Some(Some(Holds::Numbers)),
        _ if has(&|kind| *kind == TokenKind::Arrow { json: false }) => Some(None),
        _ if has(&|kind| matches!(kind, TokenKind::Join | TokenKind::Arrow { .. })) => {
            Some(Some(Holds::Text))
        }
        [Token { kind: TokenKind::Column(holds) | TokenKind::Literal(holds), .. }] => {
            Some(Some(*holds))
        }
        [Token { kind: TokenKind::Function(name), .. }, ..] => {
            Some(of_function(tokens, 0, name).holds)
        }
        [Token { kind: TokenKind::Open, .. }, inner @ .., _] => expression(inner),
        [first, inner @ .., _] if first.is_word("CASE") => {
            Some(choice(tokens, 0, inner.len() + 1).holds)
        }
        _ => Some(None),
    }
}

/// How deep each token is in parentheses and CASE ... END, which are themselves one deep.
fn depths(tokens: &[Token]) -> Vec<usize> {
    let mut depth = 0usize;
    let of = |token: &Token| {
        let opens = token.kind == TokenKind::Open || token.is_word("CASE");
        let closes = token.kind == TokenKind::Close || token.is_word("END");
        depth += usize::from(opens);
        let own = depth;
        depth = depth.saturating_sub(usize::from(closes));
        own
    };
    tokens.iter().map(of).collect()
}

/// The END of the CASE at a token, and the CASE of the END at one.
fn end_of(tokens: &[Token], case: usize) -> usize {
    let last = tokens.len() - 1;
    let mut open = 0;
    let mut is_end = |token: &Token| {
        open += i32::from(token.is_word("CASE")) - i32::from(token.is_word("END"));
        open == 0
    };
    (case..=last).find(|i| is_end(&tokens[*i])).unwrap_or(last)
}

fn case_of(tokens: &[Token], end: usize) -> usize {
    (0..end).rev().find(|i| tokens[*i].is_word("CASE") && end_of(tokens, *i) == end).unwrap_or(0)
}

fn opening(tokens: &[Token], close: usize) -> usize {
    let mut depth = 0;
    let mut is_open = |token: &Token| {
        depth +=
            i32::from(token.kind == TokenKind::Close) - i32::from(token.kind == TokenKind::Open);
        depth == 0
    };
    (0..=close).rev().find(|i| is_open(&tokens[*i])).unwrap_or(0)
}

pub(super) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    let mut is_close = |token: &Token| {
        depth +=
            i32::from(token.kind == TokenKind::Open) - i32::from(token.kind == TokenKind::Close);
        depth == 0
    };
    (open..tokens.len()).find(|i| is_close(&tokens[*i])).unwrap_or(tokens.len() - 1)
}

/// The tokens before each element of a list in parentheses.
pub(super) fn elements(tokens: &[Token], open: usize) -> Vec<usize> {
    if tokens.get(open).is_none_or(|token| token.kind != TokenKind::Open) {
        return Vec::new();
    }
    let close = closing(tokens, open);
    let mut depth = 0;
    let mut begins = |i: &usize| {
        match tokens[*i].kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth -= 1,
            _ => {}
        }
        depth == 1 && matches!(tokens[*i].kind, TokenKind::Comma) || *i == open
    };
    (open..close).filter(|i| begins(i)).collect()
}
