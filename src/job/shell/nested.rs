//! What a shell line gives to another shell, or to this one once more, to be read as code: a value must not be
//! part of it, unless no shell finds anything special in it.

use crate::job::placeholders::Template;
use crate::job::shell::scan::Unit;

const SHELLS: [&str; 9] = ["sh", "bash", "dash", "ksh", "mksh", "zsh", "ash", "csh", "fish"];

/// Commands all of whose arguments are code.
const TAKE_CODE: [&str; 6] = ["eval", "trap", "alias", "ssh", "su", "parallel"];

/// Programs that start the program that their arguments name.
const STARTERS: [&str; 7] = ["env", "nice", "nohup", "time", "timeout", "setsid", "srun"];

const SOURCES: [&str; 2] = ["source", "."];

const SEPARATORS: &str = ";&|()\n";

/// A word of the line, without its quotes.
#[derive(Default)]
struct Word {
    text: String,
    /// Whether it has a placeholder, or `$` or a backquote where the shell reads it.
    is_filled: bool,
    /// The operator in front of it that redirects to it, such as `>`.
    redirects: String,
    /// The letter behind it.
    end: Option<char>,
}

impl Word {
    /// An argument of a command.
    fn of(template: &Template) -> Word {
        let text = template.to_string();
        Word { text, is_filled: !template.is_plain(), ..Word::default() }
    }

    fn ends_command(&self) -> bool {
        self.end.is_some_and(|end| SEPARATORS.contains(end))
    }

    /// The command that it names, also one that it gives to a variable: `e=eval`.
    fn name(&self) -> &str {
        self.text.rsplit('=').next().unwrap_or_default()
    }

    fn is_shell(&self) -> bool {
        let name = self.name();
        SHELLS.contains(&name.rsplit('/').next().unwrap_or_default())
            || ["$SHELL", "${SHELL}", "$BASH", "${BASH}"].contains(&name)
    }
}

/// The files that a command writes: by redirection, or as `tee` does.
fn written(command: &[Word]) -> impl Iterator<Item = &str> {
    let tee = command.iter().position(|word| word.text == "tee").unwrap_or(command.len());
    let is_written =
        move |(at, word): &(usize, &Word)| word.redirects.starts_with('>') || *at > tee;
    command.iter().enumerate().filter(is_written).map(|(_, word)| path(word))
}

/// The same for both names of a file in the working folder.
fn path(word: &Word) -> &str {
    word.text.trim_start_matches("./")
}

/// A line in words.
pub(super) struct ShellWords(Vec<Word>);

impl ShellWords {
    fn commands(&self) -> impl Iterator<Item = &[Word]> {
        self.0.split_inclusive(Word::ends_command)
    }

    /// The word that takes code from the line, if values may be in that code.
    pub(super) fn takes_values_as_code(&self) -> Option<&str> {
        let written: Vec<&str> = self.commands().flat_map(written).collect();
        let is_written = |file: &Word| {
            let is_file =
                !file.text.is_empty() && file.text != "-" && !file.text.starts_with("/dev/");
            file.is_filled || !is_file || file.redirects == "<<" || written.contains(&path(file))
        };
        for command in self.commands() {
            for (at, word) in command.iter().enumerate() {
                let (before, arguments) = (&command[..at], &command[at + 1..]);
                let is_variable = word.text.contains('=');
                let takes = if word.is_shell() {
                    is_variable || replaces(before) || shell_reads_values(arguments, &is_written)
                } else if SOURCES.contains(&word.text.as_str()) {
                    let is_first =
                        before.iter().all(|word| word.text.is_empty() || word.text.contains('='));
                    is_first && arguments.first().is_none_or(is_written)
                } else {
                    TAKE_CODE.contains(&word.name())
                        && (is_variable || arguments.iter().any(|word| word.is_filled))
                };
                if takes {
                    return Some(&word.text);
                }
            }
        }
        None
    }

    /// The signal for which a `trap` takes the place of gridmpi's own, which look at pipes.
    pub(super) fn traps(&self) -> Option<&str> {
        for command in self.commands() {
            let Some(at) = command.iter().position(|word| word.text == "trap") else { continue };
            let (action, signals) = match &command[at + 1..] {
                [action, signals @ ..] if signals.iter().any(|word| !word.text.is_empty()) => {
                    (action.text.as_str(), signals)
                }
                signals => ("-", signals),
            };
            let is_taken = |word: &&Word| {
                let signal = word.text.to_uppercase();
                let signal = signal.trim_start_matches("SIG");
                // What runs at the end, if anything does, is looked at like any command.
                let ends = ["", "-"].contains(&action) && ["EXIT", "0"].contains(&signal);
                ends || ["DEBUG", "RETURN", "USR1"].contains(&signal)
            };
            if let Some(signal) = signals.iter().find(is_taken) {
                return Some(&signal.text);
            }
        }
        None
    }
}

/// The word of a command, which starts without a shell, that takes code in which values may be.
pub(super) fn in_command(arguments: &[Template]) -> Option<String> {
    let words: Vec<Word> = arguments.iter().map(Word::of).collect();
    let program = words.first()?.name();
    let starts = STARTERS.contains(&program.rsplit('/').next().unwrap_or_default());
    let last = if starts { words.len() } else { 1 };
    let shell = words[..last].iter().position(Word::is_shell)?;
    let takes = shell_reads_values(&words[shell + 1..], &|file| file.is_filled);
    takes.then(|| words[shell].text.clone())
}

/// Whether a word of a command is the name of a shell.
pub(super) fn is_shell(word: &Template) -> bool {
    Word::of(word).is_shell()
}

/// Whether a value is code to no shell.
pub(super) fn is_harmless(value: &str) -> bool {
    value.chars().all(|letter| letter.is_alphanumeric() || "_-+./:=@%,".contains(letter))
}

/// Whether a command puts what it reads into the arguments of another one.
fn replaces(before: &[Word]) -> bool {
    before.iter().any(|word| word.text == "xargs")
        && before.iter().any(|word| {
            ["-I", "-i", "--replace"].iter().any(|option| word.text.starts_with(option))
        })
}

/// Whether a shell with these arguments reads code in which values may be.
fn shell_reads_values(arguments: &[Word], is_written: &impl Fn(&Word) -> bool) -> bool {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let text = argument.text.as_str();
        let is_option = text.len() > 1 && text.starts_with(['-', '+']);
        match text {
            "-o" | "+o" | "-O" | "+O" | "--rcfile" | "--init-file" => drop(arguments.next()),
            "-s" => return true,
            _ if is_option && !text.starts_with("--") && text.contains('c') => {
                return arguments.next().is_some_and(|code| code.is_filled);
            }
            _ if is_option => {}
            _ => return is_written(argument),
        }
    }
    true // it reads its standard input
}

/// The words of a line, split at blanks and at the shell's operators.
pub(super) fn words(units: &[Unit]) -> ShellWords {
    let mut words = vec![Word::default()];
    let (mut quote, mut is_begun) = (None, false);
    let mut units = units.iter();
    while let Some(unit) = units.next() {
        let word = words.last_mut().expect("never empty");
        let letter = match unit {
            Unit::Place(_) => {
                (word.is_filled, is_begun) = (true, true);
                continue;
            }
            Unit::Letter(letter) => *letter,
        };
        match (letter, quote) {
            ('\\', None | Some('"')) => {
                if let Some(Unit::Letter(escaped)) = units.next() {
                    word.text.push(*escaped);
                }
                is_begun = true;
            }
            ('\'' | '"', None) => (quote, is_begun) = (Some(letter), true),
            (closing, Some(open)) if closing == open => quote = None,
            ('<' | '>', None) if !is_begun => word.redirects.push(letter),
            (blank, None)
                if blank.is_whitespace() || SEPARATORS.contains(blank) || "<>`".contains(blank) =>
            {
                if is_begun || SEPARATORS.contains(blank) {
                    word.end = Some(blank);
                    let redirects = match (blank, is_begun) {
                        ('<' | '>', _) => blank.to_string(),
                        (_, true) => String::new(),
                        (_, false) => word.redirects.clone(), // `>|` and `>(`
                    };
                    words.push(Word { redirects, ..Word::default() });
                    is_begun = false;
                }
            }
            (other, _) => {
                word.is_filled |= matches!(other, '$' | '`') && quote != Some('\'');
                word.text.push(other);
                is_begun = true;
            }
        }
    }
    ShellWords(words)
}
