//! Error messages in one line, and which of them are of one kind.

/// The most of a message that is compared. (characters)
const LONGEST: usize = 400;

const TRACEBACK: &str = "Traceback (most recent call last):";

/// Folders in which names of files differ from task to task.
const TEMPORARY: [&str; 4] = ["/tmp/", "/var/tmp/", "/dev/shm/", "/scratch/"];

/// An error in one line: of a Python traceback, the line that names the exception; for a program, how it ended and
/// that line or the last one that it wrote.
pub(crate) fn error_line(error: &str) -> String {
    let lines: Vec<&str> = error.lines().filter(|line| !line.trim().is_empty()).collect();
    let first = lines.first().copied().unwrap_or_default().trim();
    // Of several, the last one is not handled.
    let traceback = lines.iter().rposition(|line| line.trim_start() == TRACEBACK);
    let raised = traceback.and_then(|at| {
        let indent = lines[at].len() - lines[at].trim_start().len();
        lines[at + 1..].iter().find(|line| !line[..].starts_with(&" ".repeat(indent + 1)))
    });
    let last = raised.or(lines.last()).copied().unwrap_or_default().trim();
    if first == TRACEBACK || first == last {
        return last.to_string();
    }
    format!("{}: {last}", first.trim_end_matches(':'))
}

/// What messages of one kind have in common: the same message without the names of the task's points, without
/// paths of temporary files and without numbers. `temporary` is this host's folder for them.
pub(crate) fn error_kind(message: &str, points: &[String], temporary: &str) -> String {
    let mut kind: String = message.chars().take(LONGEST).collect();
    for point in points.iter().filter(|point| point.chars().any(char::is_alphabetic)) {
        kind = without_word(&kind, point);
    }
    without_numbers(&without_temporary_paths(&kind, temporary))
}

/// The text without a word, wherever it stands alone.
fn without_word(text: &str, word: &str) -> String {
    let is_inside = |letter: char| letter.is_alphanumeric() || letter == '_';
    let (mut rest, mut kept) = (text, String::new());
    while let Some(at) = rest.find(word) {
        let (before, behind) = (&rest[..at], &rest[at + word.len()..]);
        let last = before.chars().next_back().or(kept.chars().next_back());
        let stands_alone = !last.is_some_and(is_inside) && !behind.starts_with(is_inside);
        kept += before;
        kept += if stands_alone { "*" } else { word };
        rest = behind;
    }
    kept + rest
}

fn without_temporary_paths(text: &str, own: &str) -> String {
    let own = (own.len() > 1).then(|| format!("{}/", own.trim_end_matches('/')));
    let folders: Vec<&str> = TEMPORARY.into_iter().chain(own.as_deref()).collect();
    let (mut rest, mut kept) = (text, String::new());
    while let Some(at) = folders.iter().filter_map(|folder| rest.find(folder)).min() {
        kept += &rest[..at];
        kept += "*";
        let is_end = |c: char| c.is_whitespace() || "'\":;,)]}>".contains(c);
        let end = rest[at..].find(is_end).map_or(rest.len(), |end| at + end);
        rest = &rest[end..];
    }
    kept + rest
}

/// The text with one mark for every number, whatever its sign, digits or exponent; also for words such as `0x7f`.
fn without_numbers(text: &str) -> String {
    let mut kept = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let is_digit = letter.is_ascii_digit();
        if !is_digit {
            kept.push(letter);
            continue;
        }
        let mut last = letter;
        while let Some(next) = letters.next_if(|next| {
            next.is_ascii_alphanumeric() || *next == '.' || ("+-".contains(*next) && last == 'e')
        }) {
            last = next;
        }
        let sign = kept.trim_end_matches(['-', '+']).len();
        kept.truncate(sign);
        kept.push('#');
        if last == '.' {
            kept.push('.'); // the end of a sentence
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_in_one_line() {
        for (error, line) in [
            ("timed out: it took more than 1 s", "timed out: it took more than 1 s"),
            (
                "Traceback (most recent call last):\n  File \"f.py\", line 3, in f\n    y\nNameError: name 'y' is not defined",
                "NameError: name 'y' is not defined",
            ),
            (
                "Traceback (most recent call last):\n  File x\nValueError: one\ntwo\n  three",
                "ValueError: one",
            ),
            (
                "Traceback (most recent call last):\n  File x\nKeyError: 1\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File y\nRuntimeError: two\n",
                "RuntimeError: two",
            ),
            (
                "./fit: exit status: 1\nTraceback (most recent call last):\n  File x\nValueError: no\nbye",
                "./fit: exit status: 1: ValueError: no",
            ),
            (
                "./fit: exit status: 3\nreading\n  no such file\n\n",
                "./fit: exit status: 3: no such file",
            ),
            (
                "the child ended; the last it printed:\na\nb",
                "the child ended; the last it printed: b",
            ),
            ("", ""),
        ] {
            assert_eq!(error_line(error), line);
        }
    }

    #[test]
    fn messages_of_one_kind() {
        let kind = |message: &str, points: &[&str]| {
            error_kind(
                message,
                &points.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "/home/me/tmp",
            )
        };
        let same = [
            ("row 12 is empty", &["a"][..], "row 7 is empty", &["b"][..]),
            ("x is -1.5e-3.", &[], "x is 20.", &[]),
            ("at 0x7f3ab2", &[], "at 0x55e0", &[]),
            ("no /tmp/ab_x1/r.csv: gone", &[], "no /tmp/zz/k/r2.csv: gone", &[]),
            ("no '/home/me/tmp/a'", &[], "no '/home/me/tmp/b/c'", &[]),
            ("KeyError: 'setosa'", &["setosa"], "KeyError: 'virginica'", &["virginica"]),
            ("no data/a.csv", &["data/a.csv"], "no data/b-c.csv", &["data/b-c.csv"]),
        ];
        for (one, of_one, other, of_other) in same {
            assert_eq!(kind(one, of_one), kind(other, of_other), "{one}");
        }
        let differ = [
            ("NameError: name 'x' is not defined", "NameError: name 'y' is not defined"),
            ("exit status: 3: no memory", "exit status: 3: no file"),
        ];
        for (one, other) in differ {
            assert_ne!(kind(one, &["a"]), kind(other, &["b"]), "{one}");
        }
        assert_eq!(
            kind("name 'x1' in maximum, a cat", &["max", "a"]),
            "name 'x#' in maximum, * cat"
        );
    }
}
