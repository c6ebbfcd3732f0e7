//! Reads Twilio's list of messages to a number, and drops what we have.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use store::recovery;
use twilio::rest::{InboundRecord, ListError};

use crate::{RecoveryDeps, StepError};

/// How much the clocks of Twilio's lists and of the database may differ.
pub(super) const CLOCK_MARGIN: TimeDelta = TimeDelta::minutes(1);

/// The webhook of a younger message is probably on its way: it is not missing yet.
const IN_FLIGHT: TimeDelta = TimeDelta::seconds(5);

/// How many messages one statement compares.
const BATCH: usize = 1000;

/// A list that is too long is read in parts, and none is shorter than this.
const SHORTEST: TimeDelta = TimeDelta::minutes(1);

/// The messages of a time that we do not have.
pub(super) struct MissingMessages {
    /// Oldest first.
    pub(super) missing: Vec<InboundRecord>,
    /// How many messages the list has.
    pub(super) listed: usize,
    /// The end of the time.
    pub(super) until: DateTime<Utc>,
    /// There are messages that we do not have and whose webhook Twilio may still be trying.
    pub(super) is_unsettled: bool,
}

/// Returns the messages to this number from `from` until `settled` that we do not have. If Twilio
/// lists too many, until an earlier time.
pub(super) async fn missing_messages(
    deps: &RecoveryDeps,
    number: &str,
    from: DateTime<Utc>,
    settled: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<MissingMessages, StepError> {
    let mut until = settled;
    let mut list_until = now + CLOCK_MARGIN;
    let mut records = loop {
        let listed = deps.twilio.inbound_messages(number, from, list_until);
        match listed.await {
            Err(ListError::TooLong) if until - from > SHORTEST => {
                until = from + (until - from) / 2;
                list_until = until;
            }
            listed => break listed?,
        }
    };
    let listed = records.len();
    let unknown = unknown(deps, &records).await?;
    records.retain(|record| unknown.contains(record.sid.as_str()));
    let unsettled = |record: &InboundRecord| record.sent >= settled;
    let is_unsettled = records
        .iter()
        .any(|record| unsettled(record) && record.sent <= now - IN_FLIGHT);
    records.retain(|record| !unsettled(record));
    records.sort_by(|a, b| (a.sent, &a.sid).cmp(&(b.sent, &b.sid)));
    records.dedup_by(|a, b| a.sid == b.sid);
    Ok(MissingMessages {
        missing: records,
        listed,
        until,
        is_unsettled,
    })
}

async fn unknown(
    deps: &RecoveryDeps,
    records: &[InboundRecord],
) -> Result<HashSet<String>, StepError> {
    let mut unknown = HashSet::new();
    for records in records.chunks(BATCH) {
        let sids: Vec<String> = records.iter().map(|r| r.sid.to_string()).collect();
        let mut conn = deps.pool.acquire().await?;
        unknown.extend(recovery::unknown(&mut conn, &sids).await?);
    }
    Ok(unknown)
}
