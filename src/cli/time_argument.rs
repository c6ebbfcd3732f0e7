//! A time as an argument: a whole number with its unit.

use std::time::Duration;

/// Parses a whole number with its unit.
pub(super) fn time_argument(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    units
        .iter()
        .find_map(|(unit, seconds)| {
            let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
            Some(Duration::from_secs(u64::from(number) * seconds))
        })
        .filter(|time| *time <= Duration::from_hours(24 * 3650))
        .ok_or_else(|| "write a time such as 90s, 30m, 24h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_whole_number_with_its_unit() {
        assert_eq!(time_argument("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time_argument("7d"), Ok(Duration::from_hours(7 * 24)));
        for wrong in ["", "24", "h", "-1h", "1.5h", "1w", "99999999999d", "4000d"] {
            assert!(time_argument(wrong).is_err(), "{wrong}");
        }
    }
}
