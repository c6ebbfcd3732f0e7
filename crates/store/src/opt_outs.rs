//! `pigeonhole.opt_outs`: the recipients who want no SMS from us.

use std::fmt;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::StoreError;
use crate::keyring::Keyring;

/// A sender opts out or in again.
#[derive(Clone)]
pub struct OptOutChange {
    /// The sender's address, in clear. Only its blind index is stored.
    pub address: String,
    /// True to opt out, false to opt in again.
    pub opted_out: bool,
    /// When the message arrived.
    pub at: DateTime<Utc>,
}

impl fmt::Debug for OptOutChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OptOutChange({}, [sealed])", self.opted_out)
    }
}

/// Records changes that keywords asked for. The latest message of an address decides, in whatever
/// order the changes are recorded.
pub async fn record(
    conn: &mut PgConnection,
    keyring: &Keyring,
    changes: &[OptOutChange],
) -> Result<(), StoreError> {
    let indexes: Vec<String> = changes
        .iter()
        .map(|change| keyring.blind_index(&change.address).as_str().to_owned())
        .collect();
    let opted_out: Vec<bool> = changes.iter().map(|change| change.opted_out).collect();
    let at: Vec<DateTime<Utc>> = changes.iter().map(|change| change.at).collect();
    // In an order, so that two batches never deadlock. Of two changes at one time, the STOP counts.
    sqlx::query!(
        "insert into pigeonhole.opt_outs as o (number_index, opted_out, since, source)
         select distinct on (number_index) number_index, opted_out, at, 'keyword'
         from unnest($1::text[], $2::bool[], $3::timestamptz[])
             as change (number_index, opted_out, at)
         order by number_index, at desc, opted_out desc
         on conflict (number_index) do update
             set opted_out = excluded.opted_out, since = excluded.since, source = excluded.source
             where (excluded.since, excluded.opted_out) > (o.since, o.opted_out)",
        &indexes,
        &opted_out,
        &at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records that Twilio refused this send because its recipient has opted out. Twilio knows of every
/// STOP, also of one whose webhook never reached us.
pub async fn record_twilio_refusal(conn: &mut PgConnection, send: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into pigeonhole.opt_outs as o (number_index, opted_out, since, source)
         select recipient_index, true, clock_timestamp(), 'twilio' from pigeonhole.sends where id = $1
         on conflict (number_index) do update
             set opted_out = true, since = excluded.since, source = excluded.source
             where not o.opted_out",
        send,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns whether this address has opted out and not opted in again.
pub async fn is_opted_out(
    conn: &mut PgConnection,
    keyring: &Keyring,
    address: &str,
) -> Result<bool, StoreError> {
    let last = sqlx::query_scalar!(
        "select opted_out from pigeonhole.opt_outs where number_index = any($1)
         order by since desc, opted_out desc limit 1",
        &keyring.blind_indexes(address),
    )
    .fetch_optional(conn)
    .await?;
    Ok(last.unwrap_or(false))
}
