//! Finds comparisons of a number with a string in a condition. SQLite has an answer to these, always the same
//! one: a string is greater than every number, and none is equal to one.

/// What a column or a term has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Numbers,
    /// True or false, which are the numbers 1 and 0.
    Truth,
    Text,
    /// Some are numbers, some are strings.
    Both,
}

/// A part of a condition.
pub(super) struct Token {
    /// The white space before it.
    pub(super) space: String,
    pub(super) sql: String,
    /// As the user wrote it.
    pub(super) shown: String,
    pub(super) kind: TokenKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    Open,
    Close,
    Comma,
    Column(Holds),
    Literal(Holds),
    /// A value of no type: null.
    Null,
    Function(String),
    /// By order, or for being equal.
    Compare {
        by_order: bool,
    },
    Arithmetic,
    /// `||`
    Join,
    /// `->` and `->>`
    Arrow,
    Keyword(String),
}

/// Functions that take numbers and give one.
const NUMERIC: &str = "abs round sign exp ln log log10 log2 pow power sqrt floor ceil";

/// Functions that give numbers or strings, whatever they take.
const COUNTING: &str = "length instr json_array_length";
const TEXTUAL: &str = "lower upper trim ltrim rtrim substr replace typeof datetime";

impl TokenKind {
    pub(super) fn of_operator(operator: &str) -> TokenKind {
        match operator {
            "<" | "<=" | ">" | ">=" => TokenKind::Compare { by_order: true },
            "=" | "==" | "<>" | "!=" => TokenKind::Compare { by_order: false },
            "||" => TokenKind::Join,
            "->" | "->>" => TokenKind::Arrow,
            _ => TokenKind::Arithmetic,
        }
    }

    pub(super) fn of_keyword(word: &str) -> TokenKind {
        match word {
            "NULL" => TokenKind::Null,
            "TRUE" | "FALSE" => TokenKind::Literal(Holds::Truth),
            "IS" => TokenKind::Compare { by_order: false },
            other => TokenKind::Keyword(other.to_string()),
        }
    }
}

impl Token {
    /// Whether a column or a value can follow.
    pub(super) fn wants_operand(&self) -> bool {
        match &self.kind {
            TokenKind::Keyword(word) => {
                !["END", "ISNULL", "NOTNULL", "AS"].contains(&word.as_str())
            }
            TokenKind::Close | TokenKind::Column(_) | TokenKind::Literal(_) | TokenKind::Null => {
                false
            }
            _ => true,
        }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, TokenKind::Keyword(own) if own == word)
    }

    fn is_column(&self) -> bool {
        matches!(self.kind, TokenKind::Column(_))
    }
}

/// One side of a comparison.
#[derive(Clone, Copy)]
struct Term {
    /// Nothing if it cannot be told.
    holds: Option<Holds>,
    /// The token, if it is no more than that.
    alone: Option<usize>,
}

const UNTOLD: Term = Term { holds: None, alone: None };

/// Refuses comparisons of numbers with strings. Where a column has both, only its values of the other side's
/// type are compared by order.
pub(super) fn check(tokens: &mut [Token]) -> Result<(), String> {
    for at in 0..tokens.len() {
        match tokens[at].kind.clone() {
            TokenKind::Compare { by_order } => {
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

fn is_in(list: &str, name: &str) -> bool {
    list.split(' ').any(|known| known == name)
}

/// The term that ends before a token.
fn before(tokens: &[Token], at: usize) -> Term {
    let Some(last) = at.checked_sub(1) else { return UNTOLD };
    let (first, mut term) = match &tokens[last].kind {
        TokenKind::Column(holds) | TokenKind::Literal(holds) => {
            (last, Term { holds: Some(*holds), alone: Some(last) })
        }
        TokenKind::Close => {
            let open = opening(tokens, last);
            match open.checked_sub(1).map(|i| (i, &tokens[i].kind)) {
                Some((i, TokenKind::Function(name))) => (i, of_function(name)),
                _ => (open, group(tokens, open, last)),
            }
        }
        _ => return UNTOLD,
    };
    if let Some(operator) = first.checked_sub(1) {
        term = joined(term, &tokens[operator].kind);
    }
    term
}

/// The term that begins behind a token.
fn after(tokens: &[Token], at: usize) -> Term {
    let is_sign = |token: &&Token| matches!(token.kind, TokenKind::Arithmetic);
    let skips = |token: &&Token| is_sign(token) || token.is_word("NOT");
    let skipped = tokens[at + 1..].iter().take_while(skips).count();
    let first = at + 1 + skipped;
    let Some(token) = tokens.get(first) else { return UNTOLD };
    let (last, mut term) = match &token.kind {
        TokenKind::Column(holds) | TokenKind::Literal(holds) => {
            (first, Term { holds: Some(*holds), alone: Some(first) })
        }
        TokenKind::Function(name) => (closing(tokens, first + 1), of_function(name)),
        TokenKind::Open => {
            let close = closing(tokens, first);
            (close, group(tokens, first, close))
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
        TokenKind::Arrow => UNTOLD,
        _ => term,
    }
}

fn of_function(name: &str) -> Term {
    let holds = if is_in(NUMERIC, name) || is_in(COUNTING, name) {
        Some(Holds::Numbers)
    } else {
        is_in(TEXTUAL, name).then_some(Holds::Text)
    };
    Term { holds, alone: None }
}

/// A term in parentheses.
fn group(tokens: &[Token], open: usize, close: usize) -> Term {
    match (close - open, tokens.get(open + 1).map(|token| &token.kind)) {
        (2, Some(TokenKind::Column(holds) | TokenKind::Literal(holds))) => {
            Term { holds: Some(*holds), alone: None }
        }
        _ => UNTOLD,
    }
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

fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    let mut is_close = |token: &Token| {
        depth +=
            i32::from(token.kind == TokenKind::Open) - i32::from(token.kind == TokenKind::Close);
        depth == 0
    };
    (open..tokens.len()).find(|i| is_close(&tokens[*i])).unwrap_or(tokens.len() - 1)
}

/// The tokens before each element of a list in parentheses.
fn elements(tokens: &[Token], open: usize) -> Vec<usize> {
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
    let in_list = matches!(tokens[operator].kind, TokenKind::Keyword(_));
    let say = |column: &str, value: &str| match in_list {
        true => value.to_string(),
        false => format!("{column} {} {value}", tokens[operator].shown),
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
            format!("{} has numbers, and {} has strings", one.shown, other.shown)
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
