//! `pigeonhole.opt_outs`: who wants no SMS of ours.

use std::fmt;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Keyring, StoreError};

/// What the sender of a message wants from now on.
#[derive(Clone)]
pub struct Wish {
    /// The address it came from, in clear. Only its blind index is stored.
    pub address: String,
    /// No more SMS, or SMS again.
    pub opted_out: bool,
    /// When the message came in.
    pub at: DateTime<Utc>,
}

impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wish({}, [sealed])", self.opted_out)
    }
}

/// Writes down what keywords asked for. The latest message of an address counts, in whatever order they come here.
pub async fn record(
    conn: &mut PgConnection,
    keyring: &Keyring,
    wishes: &[Wish],
) -> Result<(), StoreError> {
    let indexes: Vec<String> = wishes
        .iter()
        .map(|wish| keyring.blind_index(&wish.address).as_str().to_owned())
        .collect();
    let opted_out: Vec<bool> = wishes.iter().map(|wish| wish.opted_out).collect();
    let at: Vec<DateTime<Utc>> = wishes.iter().map(|wish| wish.at).collect();
    // In an order, so that two batches never wait for each other. Of two at one time, the STOP counts.
    sqlx::query!(
        "insert into pigeonhole.opt_outs as o (number_index, opted_out, since, source)
         select distinct on (number_index) number_index, opted_out, at, 'keyword'
         from unnest($1::text[], $2::bool[], $3::timestamptz[]) as wish(number_index, opted_out, at)
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

/// Writes down that Twilio refused this send because its recipient has told our number to stop. Twilio knows of every
/// STOP, also of one whose webhook never reached us.
pub async fn learn(conn: &mut PgConnection, send: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into pigeonhole.opt_outs as o (number_index, opted_out, since, source)
         select recipient_index, true, clock_timestamp(), 'twilio' from pigeonhole.sends where id = $1
         on conflict (number_index) do update
             set opted_out = true, since = excluded.since, source = excluded.source where not o.opted_out",
        send,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has this address told us to stop, and not taken it back?
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
