//! What somebody may have meant: the known name that is nearest to an unknown one.

/// The known name most like `name`, if one is at all like it.
pub(crate) fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    known
        .iter()
        .map(|known| (strsim::osa_distance(name, known), *known))
        .filter(|(distance, known)| *distance <= 2.max(known.len() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Whether a name is likely to be one of the known ones, with a slip in it.
#[cfg(feature = "cli")]
pub(crate) fn is_slip_of(name: &str, known: &[&str]) -> bool {
    let length = name.chars().count();
    known.iter().any(|known| 3 * strsim::osa_distance(name, known) <= length)
}
