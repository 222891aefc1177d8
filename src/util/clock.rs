//! The time by the wall clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The current time, in seconds since 1970.
pub(crate) fn since_1970() -> f64 {
    seconds(SystemTime::now())
}

/// A time in seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> f64 {
    since(time).as_secs_f64()
}

/// A unique string for this process and the current time.
pub(crate) fn process_stamp() -> String {
    format!("{}-{}", std::process::id(), since(SystemTime::now()).as_nanos())
}

/// A time in nanoseconds since 1970 as UTC: `2026-11-27 16:20:05.250`. The date is computed as in Howard
/// Hinnant's "chrono-Compatible Low-Level Date Algorithms".
pub(crate) fn utc(nanoseconds: i64) -> String {
    let milliseconds = nanoseconds.div_euclid(1_000_000);
    let (days, rest) = (milliseconds.div_euclid(86_400_000), milliseconds.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, milliseconds) = (rest / 1000 % 60, rest % 1000);
    format!("{year}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}")
}

fn since(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(utc(0), "1970-01-01 00:00:00.000");
        assert_eq!(utc(951_827_696_250_000_000), "2000-02-29 12:34:56.250");
        assert_eq!(utc(1_798_761_599_000_000_000), "2026-12-31 23:59:59.000");
    }
}
