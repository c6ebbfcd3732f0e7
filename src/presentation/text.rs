//! Texts and times for people.

use chrono::{DateTime, TimeDelta, Utc};

/// The text on one line, without control characters: an error can hold text from outside, and a
/// terminal would obey its escape sequences.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The text, cut to at most `length` characters.
pub(crate) fn clipped(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let mut text: String = text.chars().take(length - 1).collect();
    text.push('…');
    text
}

/// A duration in its two largest units, such as `3m 20s`.
pub(crate) fn duration(length: TimeDelta) -> String {
    let seconds = length.num_seconds().max(0);
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        (_, _, _) => format!("{days}d {hours}h"),
    }
}

/// A time relative to `now`, such as `3m 20s ago` or `in 5s`.
pub(crate) fn relative(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if time > now {
        format!("in {}", duration(time - now))
    } else {
        format!("{} ago", duration(now - time))
    }
}

/// A time by the clock and relative to `now`.
pub(crate) fn time(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!(
        "{} ({})",
        time.format("%Y-%m-%d %H:%M:%S UTC"),
        relative(time, now)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_shows_its_two_largest_units() {
        let text = |seconds| duration(TimeDelta::seconds(seconds));
        assert_eq!(text(-3), "0s");
        assert_eq!(text(59), "59s");
        assert_eq!(text(200), "3m 20s");
        assert_eq!(text(3600), "1h 0m");
        assert_eq!(text(7 * 86_400 + 3 * 3600), "7d 3h");
    }

    #[test]
    fn a_long_text_is_clipped_by_characters() {
        assert_eq!(clipped("größer", 6), "größer");
        assert_eq!(clipped("größer", 5), "größ…");
    }
}
