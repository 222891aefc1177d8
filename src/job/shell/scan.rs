//! Reads a shell line far enough to know where its placeholders stand, and puts variables in their place.
//!
//! A variable in double quotes is never read as code again, so a construct that this does not know costs a
//! wrong word at worst.

/// A letter of the line, or a placeholder by its number.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Unit {
    Letter(char),
    Place(usize),
}

/// A line with variables in place of its placeholders.
#[derive(Debug, Default)]
pub(super) struct ScannedLine {
    pub(super) script: String,
    /// Whether it has a pipe.
    pub(super) has_pipe: bool,
    /// Whether it calls `eval`.
    pub(super) has_eval: bool,
    /// Whether it has a pipe that runs in the background by itself, so that nothing looks at it.
    pub(super) has_pipe_in_background: bool,
    /// The placeholders that stand in arithmetic.
    pub(super) in_arithmetic: Vec<usize>,
}

/// Words after which a command begins.
const BEFORE_COMMANDS: [&str; 11] =
    ["then", "do", "else", "elif", "if", "while", "until", "time", "exec", "command", "builtin"];

const SEPARATORS: &str = " \t\n;&|()<>`";

const AFTER_DOLLAR: &str = "a placeholder after '$'; write ${{name}} for a variable of the shell";

#[derive(Clone, Copy, PartialEq)]
enum ScanContext {
    /// `(...)` or `$(...)`: commands.
    Parenthesis,
    Backquote,
    Double,
    /// `${...}`
    Parameter,
    /// `((...))`, `$((...))` or `$[...]`, with the number of open parentheses.
    Arithmetic {
        close: char,
        open: usize,
    },
}

struct HereDocument {
    end: String,
    strips_tabs: bool,
    is_quoted: bool,
}

/// Scans a line. `names` are the variables of the placeholders.
pub(super) fn scan(units: &[Unit], names: &[String]) -> Result<ScannedLine, String> {
    let scanned = ScannedLine::default();
    let mut scanner = Scanner {
        units,
        names,
        at: 0,
        stack: vec![],
        pipes: vec![false],
        documents: vec![],
        begins: true,
        scanned,
    };
    while let Some(&unit) = units.get(scanner.at) {
        match unit {
            Unit::Place(place) => scanner.place(place)?,
            Unit::Letter(letter) => scanner.letter(letter)?,
        }
    }
    Ok(scanner.scanned)
}

struct Scanner<'a> {
    units: &'a [Unit],
    names: &'a [String],
    at: usize,
    stack: Vec<ScanContext>,
    /// Whether the command at hand has a pipe: of the line, and of each context.
    pipes: Vec<bool>,
    /// Here-documents whose text begins on the next line.
    documents: Vec<HereDocument>,
    /// Whether the next word is a command.
    begins: bool,
    scanned: ScannedLine,
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        match self.units.get(self.at + ahead) {
            Some(Unit::Letter(letter)) => Some(*letter),
            _ => None,
        }
    }

    /// Takes this many letters as they are.
    fn keep(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(letter) = self.peek(0) {
                self.scanned.script.push(letter);
                self.at += 1;
            }
        }
    }

    /// Puts a placeholder's variable; where the text around it is one word, without quotes.
    fn put(&mut self, place: usize, is_quoted: bool) {
        let quote = if is_quoted { "" } else { "\"" };
        self.scanned.script += &format!("{quote}${{{}}}{quote}", self.names[place]);
        self.at += 1;
    }

    fn place(&mut self, place: usize) -> Result<(), String> {
        if self.stack.contains(&ScanContext::Backquote) {
            return Err("a placeholder inside `...`: write $(...) instead".to_string());
        }
        match self.stack.last() {
            Some(ScanContext::Parameter) => {
                let why = "a placeholder inside ${...}: give its value to a variable first";
                return Err(why.to_string());
            }
            Some(ScanContext::Arithmetic { .. }) => {
                self.scanned.in_arithmetic.push(place);
                self.put(place, true);
            }
            Some(ScanContext::Double) => self.put(place, true),
            _ => self.put(place, false),
        }
        self.begins = false;
        Ok(())
    }

    fn letter(&mut self, letter: char) -> Result<(), String> {
        match (letter, self.stack.last().copied()) {
            ('\\', _) => self.escape()?,
            ('`', _) => self.backquote(),
            ('$', context) => self.dollar(context)?,
            ('"', Some(ScanContext::Double)) | ('}', Some(ScanContext::Parameter)) => self.leave(1),
            (_, Some(ScanContext::Double)) => self.keep(1),
            (_, Some(ScanContext::Arithmetic { close, open })) => {
                self.arithmetic(letter, close, open)
            }
            ('"', _) => self.enter(ScanContext::Double, 1),
            ('\'', Some(ScanContext::Parameter)) if self.stack.contains(&ScanContext::Double) => {
                self.keep(1);
            }
            ('\'', _) => self.quoted(1, false)?,
            (_, Some(ScanContext::Parameter)) => self.keep(1),
            _ => self.command(letter)?,
        }
        Ok(())
    }

    fn enter(&mut self, context: ScanContext, letters: usize) {
        self.stack.push(context);
        self.pipes.push(false);
        self.keep(letters);
        self.begins = matches!(context, ScanContext::Parenthesis | ScanContext::Backquote);
    }

    fn leave(&mut self, letters: usize) {
        self.stack.pop();
        self.pipes.truncate(self.stack.len() + 1);
        self.keep(letters);
        self.begins = false;
    }

    fn escape(&mut self) -> Result<(), String> {
        if let Some(Unit::Place(_)) = self.units.get(self.at + 1) {
            return Err("a placeholder after a backslash: take the backslash away".to_string());
        }
        self.keep(2);
        self.begins = false;
        Ok(())
    }

    fn backquote(&mut self) {
        match self.stack.iter().rposition(|context| *context == ScanContext::Backquote) {
            Some(inner) => {
                self.stack.truncate(inner + 1);
                self.leave(1);
            }
            None => self.enter(ScanContext::Backquote, 1),
        }
    }

    fn dollar(&mut self, context: Option<ScanContext>) -> Result<(), String> {
        match (self.peek(1), self.peek(2)) {
            (Some('('), Some('(')) => {
                self.enter(ScanContext::Arithmetic { close: ')', open: 0 }, 3)
            }
            (Some('('), _) => self.enter(ScanContext::Parenthesis, 2),
            (Some('{'), _) => self.enter(ScanContext::Parameter, 2),
            (Some('['), _) => self.enter(ScanContext::Arithmetic { close: ']', open: 0 }, 2),
            (Some('\''), _) if context != Some(ScanContext::Double) => self.quoted(2, true)?,
            (None, _) if self.at + 1 < self.units.len() => {
                return Err(AFTER_DOLLAR.to_string());
            }
            _ => self.keep(1),
        }
        self.begins &= self.stack.last() != context.as_ref();
        Ok(())
    }

    fn arithmetic(&mut self, letter: char, close: char, open: usize) {
        let change = |open| Some(ScanContext::Arithmetic { close, open });
        // `((` may also begin a subshell in a subshell.
        let is_or = self.peek(1) == Some('|') || self.scanned.script.ends_with('|');
        self.scanned.has_pipe |= letter == '|' && !is_or;
        let changed = match letter {
            '(' => change(open + 1),
            ')' if open > 0 => change(open - 1),
            ')' if close == ')' && self.peek(1) == Some(')') => return self.leave(2),
            ']' if close == ']' => return self.leave(1),
            _ => None,
        };
        if let (Some(changed), Some(last)) = (changed, self.stack.last_mut()) {
            *last = changed;
        }
        self.keep(1);
    }

    /// A string in single quotes, which opens with this many letters.
    fn quoted(&mut self, opening: usize, has_escapes: bool) -> Result<(), String> {
        self.keep(opening);
        while let Some(&unit) = self.units.get(self.at) {
            match unit {
                Unit::Place(_) => {
                    let why = "a placeholder inside '...': take the quotes away, or write \"...\"";
                    return Err(why.to_string());
                }
                Unit::Letter('\\') if has_escapes => self.escape()?,
                Unit::Letter(letter) => {
                    self.keep(1);
                    if letter == '\'' {
                        break;
                    }
                }
            }
        }
        self.begins = false;
        Ok(())
    }

    /// A letter where commands stand.
    fn command(&mut self, letter: char) -> Result<(), String> {
        let before = self.at.checked_sub(1).map(|before| self.units[before]);
        let is_separator = |unit| matches!(unit, Unit::Letter(l) if SEPARATORS.contains(l));
        let starts_word = before.is_none_or(is_separator);
        let next = self.peek(1);
        match letter {
            '#' if starts_word => {
                while let Some(&unit) =
                    self.units.get(self.at).filter(|u| **u != Unit::Letter('\n'))
                {
                    match unit {
                        Unit::Place(place) => self.put(place, true),
                        Unit::Letter(_) => self.keep(1),
                    }
                }
            }
            '(' if starts_word && next == Some('(') => {
                self.enter(ScanContext::Arithmetic { close: ')', open: 0 }, 2);
            }
            '(' => self.enter(ScanContext::Parenthesis, 1),
            ')' if self.stack.last() == Some(&ScanContext::Parenthesis) => self.leave(1),
            '<' if next == Some('<') && self.peek(2) == Some('<') => self.keep(3),
            '<' if next == Some('<') => self.here_document()?,
            '|' | '&' if next == Some(letter) => {
                self.set_pipe(false);
                self.keep(2);
                self.begins = true;
            }
            '|' => {
                let is_pipe = before != Some(Unit::Letter('>'));
                self.scanned.has_pipe |= is_pipe;
                self.set_pipe(is_pipe);
                self.keep(1);
                self.begins = true;
            }
            '\n' => {
                let goes_on = self.begins; // behind a `|`
                self.set_pipe(goes_on && self.pipes.last() == Some(&true));
                self.keep(1);
                self.begins = true;
                self.here_documents()?;
            }
            ';' | '&' | '{' | '!' | ')' => {
                let redirects =
                    next == Some('>') || matches!(before, Some(Unit::Letter('<' | '>' | '|')));
                if letter == '&' && !redirects {
                    self.scanned.has_pipe_in_background |= self.pipes.last() == Some(&true);
                }
                if letter != '!' && !(letter == '&' && redirects) {
                    self.set_pipe(false);
                }
                self.keep(1);
                self.begins = true;
            }
            _ if starts_word && !SEPARATORS.contains(letter) => self.word(),
            _ => self.keep(1),
        }
        Ok(())
    }

    fn set_pipe(&mut self, has_pipe: bool) {
        if let Some(pipe) = self.pipes.last_mut() {
            *pipe = has_pipe;
        }
    }

    /// The first letters of a word, as far as they are plain.
    fn word(&mut self) {
        let is_plain = |letter: &char| !SEPARATORS.contains(*letter) && !"\\\"'$".contains(*letter);
        let word: String = (0..).map_while(|ahead| self.peek(ahead)).take_while(is_plain).collect();
        self.keep(word.chars().count().max(1));
        self.scanned.has_eval |= self.begins && word == "eval";
        let goes_on = word.contains('=') || BEFORE_COMMANDS.contains(&word.as_str());
        self.begins &= goes_on || word == "{" || word == "!";
    }

    fn here_document(&mut self) -> Result<(), String> {
        self.keep(2);
        let strips_tabs = self.peek(0) == Some('-');
        self.keep(usize::from(strips_tabs));
        while matches!(self.peek(0), Some(' ' | '\t')) {
            self.keep(1);
        }
        let (mut end, mut is_quoted) = (String::new(), false);
        while let Some(letter) = self.peek(0).filter(|letter| !SEPARATORS.contains(*letter)) {
            match letter {
                '\'' | '"' | '\\' => is_quoted = true,
                _ => end.push(letter),
            }
            self.keep(1);
        }
        if matches!(self.units.get(self.at), Some(Unit::Place(_))) {
            return Err("a placeholder as the end of a here-document".to_string());
        }
        self.documents.push(HereDocument { end, strips_tabs, is_quoted });
        Ok(())
    }

    /// The texts of the here-documents that begin here.
    fn here_documents(&mut self) -> Result<(), String> {
        for document in std::mem::take(&mut self.documents) {
            let mut inside = 0_usize;
            while self.at < self.units.len() {
                let rest = &self.units[self.at..];
                let ends = |unit: &&Unit| **unit != Unit::Letter('\n');
                let line: Option<String> = rest.iter().take_while(ends).map(letter_of).collect();
                let line = line.as_deref().map(|line| match document.strips_tabs {
                    true => line.trim_start_matches('\t'),
                    false => line,
                });
                let is_end = line == Some(document.end.as_str());
                let after = self.at + rest.iter().take_while(ends).count();
                while self.at < after {
                    self.of_document(&document, &mut inside)?;
                }
                self.keep(1); // the line's end
                if is_end {
                    break;
                }
            }
        }
        Ok(())
    }

    fn of_document(&mut self, document: &HereDocument, inside: &mut usize) -> Result<(), String> {
        match self.units[self.at] {
            Unit::Place(_) if document.is_quoted => {
                let end = &document.end;
                return Err(format!(
                    "a placeholder in a here-document that is taken as it is: write <<{end}, without quotes"
                ));
            }
            Unit::Place(_) if *inside > 0 => {
                let why = "a placeholder inside $(...), ${...} or `...` of a here-document: give its value to a variable first";
                return Err(why.to_string());
            }
            Unit::Place(place) => self.put(place, true),
            Unit::Letter(_) if document.is_quoted => self.keep(1),
            Unit::Letter('\\') if self.peek(1) == Some('\n') => self.keep(1),
            Unit::Letter('\\') => self.escape()?,
            Unit::Letter(letter) => {
                match (letter, self.peek(1)) {
                    ('$', Some('(' | '{' | '[')) => *inside += 1,
                    ('(', _) if *inside > 0 && self.scanned.script.ends_with('(') => *inside += 1,
                    (')' | '}' | ']', _) => *inside = inside.saturating_sub(1),
                    ('`', _) => *inside = if *inside > 0 { *inside - 1 } else { 1 },
                    ('$', None) if self.at + 1 < self.units.len() => {
                        return Err(AFTER_DOLLAR.to_string());
                    }
                    _ => {}
                }
                self.keep(1);
            }
        }
        Ok(())
    }
}

fn letter_of(unit: &Unit) -> Option<char> {
    match unit {
        Unit::Letter(letter) => Some(*letter),
        Unit::Place(_) => None,
    }
}
