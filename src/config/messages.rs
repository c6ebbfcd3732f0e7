//! The settings of message processing: whether and how fast messages are processed.

use std::{num::NonZeroU32, time::Duration};

use jobs::{MessagePolicy, Replies};
use queue::rate_limit::RateLimit;

use super::{
    parse::{boolean, positive},
    reader::Reader,
};

const HOUR: Duration = Duration::from_hours(1);

/// `SMS_ENRICHMENT_ENABLED` and the `RATE_LIMIT_…` of each user.
pub(super) fn policy(r: &mut Reader<'_>, replies: Option<Replies>) -> Option<MessagePolicy> {
    let enrichment = r.required("SMS_ENRICHMENT_ENABLED", boolean);
    let per_hour = r.required("RATE_LIMIT_MESSAGES_PER_HOUR", positive);
    let burst = r.required("RATE_LIMIT_BURST", positive);
    let max_delay = r.required("RATE_LIMIT_MAX_DELAY", duration);
    let delays = r.required("RATE_LIMIT_ACTION", |text| match text {
        "delay" => Ok(true),
        "reject" => Ok(false),
        _ => Err("must be delay or reject".to_owned()),
    });
    let (max_delay, delays) = (max_delay?, delays?);
    Some(MessagePolicy {
        enrichment: enrichment?,
        limit: RateLimit {
            burst: burst?,
            period: per_hour.map(NonZeroU32::get).map(|n| HOUR / n)?,
            max_delay: if delays { max_delay } else { Duration::ZERO },
        },
        replies: replies?,
    })
}

/// A whole number with its unit, such as `24h`.
fn duration(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    units
        .iter()
        .find_map(|(unit, seconds)| {
            let number: u32 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            Some(Duration::from_secs(u64::from(number) * seconds))
        })
        .filter(|duration| *duration <= 8_760 * HOUR)
        .ok_or_else(|| "must be a time of at most a year, such as 90s, 30m, 24h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_numbers_with_a_unit() {
        let seconds = |text| duration(text).map(|d| d.as_secs()).ok();
        assert_eq!(seconds("0s"), Some(0));
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("30 m"), Some(1_800));
        assert_eq!(seconds("24h"), Some(86_400));
        assert_eq!(seconds("365d"), Some(31_536_000));
        for wrong in ["", "24", "h", "-1h", "1.5h", "366d", "99999999999d", "1w"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
