//! Parses and prints durations, in Slurm's notation and in words.

use std::time::Duration;

/// Parses `minutes`, `minutes:seconds`, `hours:minutes:seconds`, `days-hours`, `days-hours:minutes` and
/// `days-hours:minutes:seconds`, as sbatch takes them; nothing for UNLIMITED or anything else. squeue
/// prints the same form, but never omits the seconds.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let number = |text: &str| text.parse::<u64>().ok();
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(number(days)?), rest),
        None => (None, text),
    };
    let parts = rest.split(':').map(number).collect::<Option<Vec<u64>>>()?;
    let (hours, minutes, seconds) = match (days, &parts[..]) {
        (None, [minutes]) => (0, *minutes, 0),
        (None, [minutes, seconds]) => (0, *minutes, *seconds),
        (Some(_), [hours]) => (*hours, 0, 0),
        (Some(_), [hours, minutes]) => (*hours, *minutes, 0),
        (_, [hours, minutes, seconds]) => (*hours, *minutes, *seconds),
        _ => return None,
    };
    let hours = days.unwrap_or(0).checked_mul(24)?.checked_add(hours)?;
    let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
    Some(Duration::from_secs(minutes.checked_mul(60)?.checked_add(seconds)?))
}

/// A time limit for sbatch, rounded up to minutes: `02:30:00`, `1-00:00:00`.
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) fn limit(length: Duration) -> String {
    let minutes = length.as_secs().div_ceil(60).max(1);
    let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    match days {
        0 => format!("{hours:02}:{minutes:02}:00"),
        _ => format!("{days}-{hours:02}:{minutes:02}:00"),
    }
}

/// The two largest units, in words: `2 d 3 h`, `1 min 30 s`, `12 s`.
pub(crate) fn in_words(length: Duration) -> String {
    let seconds = length.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let first = units.iter().position(|(_, size)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, size) in units.iter().skip(first).take(2) {
        if rest / size > 0 || parts.is_empty() {
            parts.push(format!("{} {unit}", rest / size));
        }
        rest %= size;
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slurms_durations_are_read() {
        for (text, seconds) in [
            ("1", 60),
            ("1:30", 90),
            ("00:01:00", 60),
            ("2-01", 2 * 86_400 + 3_600),
            ("2-01:10", 2 * 86_400 + 4_200),
            ("1-00:00:05", 86_405),
        ] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "UNLIMITED", "INVALID", "NOT_SET", "1:2:3:4", "-1", "1h"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn people_read_two_units() {
        for (seconds, words) in [
            (0, "0 s"),
            (12, "12 s"),
            (60, "1 min"),
            (90, "1 min 30 s"),
            (3_605, "1 h"),
            (200_000, "2 d 7 h"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }

    #[cfg(all(feature = "cli", feature = "jobs"))]
    #[test]
    fn limits_are_whole_minutes() {
        let limit = |seconds| limit(Duration::from_secs(seconds));
        assert_eq!(limit(1), "00:01:00");
        assert_eq!(limit(3_601), "01:01:00");
        assert_eq!(limit(86_400), "1-00:00:00");
    }
}
