//! Numbers as people write them, which no program reads: `1,234.5`, `1.234,5`, `1 234`, `(12)`, a typeset minus sign,
//! and Fortran's `0.5D+03`; and numbers with the sign of a unit, such as `5%`. A column of them is not to become text
//! without a word.

/// What stands between thousands.
const SEPARATORS: [char; 9] =
    [',', '.', ' ', '\'', '_', '\u{a0}', '\u{202f}', '\u{2009}', '\u{2019}'];

/// Signs of units and currencies.
const UNITS: [char; 9] = ['$', '€', '£', '¥', '₹', '¢', '%', '‰', '°'];

/// A number as it should be written, if a cell has it in another way. `decimal` is the decimal sign, if it is known.
pub(super) fn plainly(text: &str, decimal: Option<char>) -> Option<String> {
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    let bare = inner.unwrap_or(text).trim();
    let unsigned = bare.strip_prefix(['+', '-', '\u{2212}', '\u{2013}']).unwrap_or(bare);
    let is_negative = inner.is_some() || bare.len() > unsigned.len() && !bare.starts_with('+');
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E', 'd', 'D']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let power = exponent.map_or("0", |text| text.strip_prefix(['+', '-']).unwrap_or(text));
    let decimal = decimal.or_else(|| decimal_of(mantissa));
    let (whole, fraction) = match decimal.and_then(|sign| mantissa.split_once(sign)) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let is_grouped = is_grouped(whole, fraction.is_some());
    if !are_digits(power) || !fraction.unwrap_or("0").bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if !is_grouped && !are_digits(whole) {
        return None;
    }
    let is_typeset = bare.starts_with(['\u{2212}', '\u{2013}']);
    let is_fortran = unsigned.contains(['d', 'D']);
    if !(is_grouped || is_typeset || is_fortran || inner.is_some()) {
        return None;
    }
    let mut plain = String::from(if is_negative { "-" } else { "" });
    plain.extend(whole.chars().filter(char::is_ascii_digit));
    plain.extend(fraction.iter().flat_map(|fraction| [".", fraction]));
    plain.extend(exponent.iter().flat_map(|exponent| ["e", exponent]));
    Some(plain)
}

/// Whether a cell has the sign of a unit or a currency, and the rest of it.
pub(super) fn without_unit(text: &str) -> Option<&str> {
    let minus = text.strip_prefix('-').unwrap_or(text); // -$5
    let bare = minus.trim_matches(|letter| UNITS.contains(&letter)).trim();
    (bare.len() < minus.len() && !bare.is_empty()).then_some(bare)
}

fn first(text: &str) -> Option<char> {
    text.chars().next()
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The decimal sign: the one of `.` and `,` that stands once, behind the other.
fn decimal_of(mantissa: &str) -> Option<char> {
    let last = mantissa.rfind(['.', ','])?;
    let sign = first(&mantissa[last..])?;
    let is_alone = mantissa.matches(sign).count() == 1;
    let is_behind = mantissa[..last].contains(SEPARATORS) || sign == '.';
    (is_alone && is_behind).then_some(sign)
}

/// Whether thousands are separated, by the same sign everywhere: `1,234,567`, in India `12,34,567`.
fn is_grouped(whole: &str, has_fraction: bool) -> bool {
    let Some(separator) = whole.chars().find(|letter| SEPARATORS.contains(letter)) else {
        return false;
    };
    let groups: Vec<&str> = whole.split(separator).collect();
    let (head, tail) = (groups[0], &groups[1..]);
    // The address of a host has four such parts.
    let is_address = separator == '.' && groups.len() == 4 && !has_fraction;
    let is_short = |group: &&str| separator == ',' && group.len() == 2;
    let (last, middle) = tail.split_last().expect("there is a separator");
    groups.iter().all(|group| are_digits(group))
        && head.len() <= 3
        && !head.starts_with('0')
        && middle.iter().all(|group| group.len() == 3 || is_short(group))
        && last.len() == 3
        && !is_address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_people_write_have_a_plain_form() {
        for (text, plain) in [
            ("1,234.5", "1234.5"),
            ("-1,234,567.", "-1234567."),
            ("1.234,5", "1234.5"),
            ("1.234.567", "1234567"),
            ("1 234", "1234"),
            ("1\u{202f}234,5", "1234.5"),
            ("12'345.50", "12345.50"),
            ("1_000", "1000"),
            ("12,34,567.8", "1234567.8"),
            ("(1,234)", "-1234"),
            ("(12.5)", "-12.5"),
            ("\u{2212}5", "-5"),
            ("\u{2212}1.5e3", "-1.5e3"),
            ("0.48D+02", "0.48e+02"),
            ("1,234.5e-3", "1234.5e-3"),
        ] {
            assert_eq!(plainly(text, None).as_deref(), Some(plain), "{text}");
        }
        assert_eq!(plainly("1,234", Some('.')).as_deref(), Some("1234"));
        assert_eq!(plainly("1.234.567,5", Some(',')).as_deref(), Some("1234567.5"));
        for text in [
            "",
            "-",
            "()",
            "1.5",
            "12",
            "1e5",
            "1.2.3",
            "192.168.100.200",
            "2024.01.05",
            "12 34",
            "555 1234",
            "0 123",
            "1,2,3",
            "a 123",
            "D5",
            "1D",
            "1-2",
            "(a)",
            "1,234.567.8",
            "1,23.4",
            "2024-01-05",
        ] {
            assert_eq!(plainly(text, None), None, "{text}");
        }
    }

    #[test]
    fn a_unit_is_told_from_a_number() {
        for (text, bare) in [("5%", "5"), ("$1,234.5", "1,234.5"), ("-€ 5", "5"), ("12 °", "12")]
        {
            assert_eq!(without_unit(text), Some(bare), "{text}");
        }
        for text in ["5", "%", "$", "", "-"] {
            assert_eq!(without_unit(text), None, "{text}");
        }
    }
}
