//! Formats text for users: counts, shortened strings, suggestions for misspelled names, and text that is safe
//! to show on a terminal.

/// A number with commas between thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let from_right = |(i, digit): (usize, char)| {
        let comma = i > 0 && (digits.len() - i).is_multiple_of(3);
        [comma.then_some(','), Some(digit)].into_iter().flatten()
    };
    digits.chars().enumerate().flat_map(from_right).collect()
}

/// A count with its noun: `1 run`, `2 runs`.
pub(crate) fn things(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// How many runs of a job are there: `40 of 144 runs`, or `93 runs, 51 skipped of 144`.
pub(crate) fn runs_of(done: u64, skipped: u64, tasks: u64) -> String {
    match skipped {
        0 => format!("{} of {}", count(done), things(tasks, "run")),
        skipped => {
            format!("{}, {} skipped of {}", things(done, "run"), count(skipped), count(tasks))
        }
    }
}

/// Ascending numbers, consecutive ones as a range: `1-4, 7`.
pub(crate) fn number_list(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let words = runs.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The first `widest` characters of a string, and "..." if it is longer.
pub(crate) fn beginning(text: &str, widest: usize) -> String {
    match text.char_indices().nth(widest) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

/// The most informative line of an error: of a Python traceback, the last one.
pub(crate) fn in_a_line(error: &str) -> &str {
    let mut lines = error.lines();
    let line = if error.starts_with("Traceback") { lines.next_back() } else { lines.next() };
    line.unwrap_or_default()
}

/// A string on one line, for a terminal: what would move the cursor, change its state or reorder the line is
/// spelled as JSON spells it (`\n`, `\u001b`).
pub(crate) fn visible(text: &str) -> String {
    spelled(text, |_| false)
}

/// The same for a text of several lines: line breaks and tabs stay.
pub(crate) fn visible_lines(text: &str) -> String {
    spelled(text, |letter| matches!(letter, '\n' | '\t'))
}

fn spelled(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            letter if stays(letter) || !is_control(letter) => shown.push(letter),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            letter => shown.push_str(&format!("\\u{:04x}", u32::from(letter))),
        }
    }
    shown
}

/// Whether a terminal acts on a character instead of showing it: the C0 and C1 controls, Unicode's line and
/// paragraph separators, and the marks that change the direction of what follows.
fn is_control(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A word for a shell, in single quotes if it needs any; with control characters, for bash, which spells them as a
/// terminal shows them.
#[cfg(feature = "cli")]
pub(crate) fn shell_word(word: &str) -> String {
    if visible(word) != word {
        return format!("$'{}'", visible(&word.replace('\\', "\\\\").replace('\'', "\\'")));
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-+./=:,@%".contains(letter);
    match word.chars().all(plain) && !word.is_empty() {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// The known name most similar to `name`, if one is similar enough.
#[cfg(any(feature = "cli", feature = "jobs"))]
pub(crate) fn nearest<'n>(name: &str, known: &'n [impl AsRef<str>]) -> Option<&'n str> {
    let off = |known: &&'n str| strsim::osa_distance(name, known);
    let known = known.iter().map(AsRef::as_ref);
    known.filter(|known| off(known) <= 2.max(known.len() / 3)).min_by_key(off)
}

/// Suggests the known name most similar to `name`, in these quotes: `; did you mean 'alpha'?`; empty if
/// none is similar.
#[cfg(any(feature = "cli", feature = "jobs"))]
pub(crate) fn did_you_mean(name: &str, known: &[impl AsRef<str>], quote: &str) -> String {
    let near = nearest(name, known);
    near.map_or(String::new(), |near| format!("; did you mean {quote}{near}{quote}?"))
}

/// Whether a name is likely to be a misspelled known one.
#[cfg(any(feature = "cli", feature = "jobs"))]
pub(crate) fn is_slip_of(name: &str, known: &[impl AsRef<str>]) -> bool {
    let length = name.chars().count();
    known.iter().any(|known| 3 * strsim::osa_distance(name, known.as_ref()) <= length)
}

/// A name or a string in SQL.
pub(crate) fn quoted(text: &str, quote: char) -> String {
    let doubled = text.replace(quote, &format!("{quote}{quote}"));
    format!("{quote}{doubled}{quote}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_spelled_out() {
        assert_eq!(visible("é\ta\r\n\u{1b}[31mb\u{7f}"), r"é\ta\r\n\u001b[31mb\u007f");
        assert_eq!(
            visible("\u{9b}2J\u{202e}x\u{2066}y\u{200f}\u{2028}"),
            r"\u009b2J\u202ex\u2066y\u200f\u2028"
        );
        assert_eq!(
            visible("日本語 \u{1f469}\u{200d}\u{1f52c} a\u{301}"),
            "日本語 \u{1f469}\u{200d}\u{1f52c} a\u{301}"
        );
    }

    #[test]
    fn consecutive_numbers_are_a_range() {
        assert_eq!(number_list(&[1, 2, 3, 5, 8, 9]), "1-3, 5, 8-9");
        assert_eq!(number_list(&[]), "");
    }

    #[test]
    fn a_text_keeps_its_lines() {
        assert_eq!(visible_lines("a\n\tb\r\n\u{1b}c"), "a\n\tb\\r\n\\u001bc");
    }
}
