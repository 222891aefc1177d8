//! Formats text for users: counts, shortened strings, suggestions for misspelled names.

/// A number with commas between thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let from_right = |(i, digit): (usize, char)| {
        let comma = i > 0 && (digits.len() - i).is_multiple_of(3);
        [comma.then_some(','), Some(digit)].into_iter().flatten()
    };
    digits.chars().enumerate().flat_map(from_right).collect()
}

/// The first `widest` characters of a string, and "..." if it is longer.
pub(crate) fn beginning(text: &str, widest: usize) -> String {
    match text.char_indices().nth(widest) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
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
#[cfg(feature = "cli")]
pub(crate) fn is_slip_of(name: &str, known: &[impl AsRef<str>]) -> bool {
    let length = name.chars().count();
    known.iter().any(|known| 3 * strsim::osa_distance(name, known.as_ref()) <= length)
}
