//! Numbers formatted for people.

pub(crate) use crate::util::text::{count, runs_of, things};

/// A duration: `45 ms`, `3.2 s`, `12 min 3 s`, `2 h 5 min`.
pub(crate) fn seconds(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        s if !s.is_finite() => "an unknown time".to_string(),
        s if s > 0.0 && s < 1e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 10.0 => format!("{s:.2} s"),
        s if s < 100.0 => format!("{s:.1} s"),
        _ if whole < 3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ if whole < 86_400 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3600 % 24),
    }
}

/// A fraction as a percentage; 100% or 0% only if exact.
pub(crate) fn percent(part: f64) -> String {
    match part * 100.0 {
        p if p > 99.9 && p < 100.0 => "over 99.9%".to_string(),
        p if p > 0.0 && p < 0.1 => "under 0.1%".to_string(),
        p if p == 100.0 || p == 0.0 => format!("{p}%"),
        p => format!("{p:.1}%"),
    }
}

/// A size: `812 bytes`, `3.4 kB`, `12.0 GB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let (mut number, mut unit) = (bytes as f64 / 1000.0, 0);
    while number >= 999.95 && unit + 1 < units.len() {
        (number, unit) = (number / 1000.0, unit + 1);
    }
    match bytes {
        0..1000 => things(bytes, "byte"),
        _ => format!("{number:.1} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_words() {
        for (number, text) in [
            (0.0, "0 µs"),
            (1.4e-7, "140 ns"),
            (0.00042, "420 µs"),
            (0.0123, "12.3 ms"),
            (0.5, "500 ms"),
            (4.0, "4.00 s"),
            (59.96, "60.0 s"),
            (723.0, "12 min 3 s"),
            (7500.0, "2 h 5 min"),
            (90_000.0, "1 d 1 h"),
            (f64::NAN, "an unknown time"),
        ] {
            assert_eq!(seconds(number), text);
        }
    }

    #[test]
    fn sizes_in_words() {
        let sizes = [1, 999, 3_400, 999_990, 12_000_000_000].map(size);
        assert_eq!(sizes, ["1 byte", "999 bytes", "3.4 kB", "1.0 MB", "12.0 GB"]);
    }

    #[test]
    fn counts_and_parts_in_words() {
        assert_eq!([0, 999, 1000, 1234567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([1.0, 0.9999, 0.978, 0.0].map(percent), ["100%", "over 99.9%", "97.8%", "0%"]);
        assert_eq!([1, 2000].map(|n| things(n, "run")), ["1 run", "2,000 runs"]);
    }
}
