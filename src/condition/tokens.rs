//! The parts of a condition.

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
    /// `->`, which gives JSON, or `->>`.
    Arrow {
        json: bool,
    },
    Keyword(String),
}

impl TokenKind {
    pub(super) fn of_operator(operator: &str) -> TokenKind {
        match operator {
            "<" | "<=" | ">" | ">=" => TokenKind::Compare { by_order: true },
            "=" | "==" | "<>" | "!=" => TokenKind::Compare { by_order: false },
            "||" => TokenKind::Join,
            "->" | "->>" => TokenKind::Arrow { json: operator == "->" },
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

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, TokenKind::Keyword(own) if own == word)
    }

    pub(super) fn is_column(&self) -> bool {
        matches!(self.kind, TokenKind::Column(_))
    }
}
