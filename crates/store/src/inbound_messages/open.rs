//! Opens messages for processing, many in one statement.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{MessageState, StoredMessage, open_fields};
use crate::clock::seconds;
use crate::user_phone_numbers::forms;
use crate::{E164, Keyring, StoreError};

/// The messages with these SIDs, opened, in the order of the list; `None` for one that is not there. An error in place of
/// one whose fields do not open: it spoils no other.
pub async fn load_all(
    conn: &mut PgConnection,
    keyring: &Keyring,
    message_sids: &[String],
) -> Result<Vec<Option<Result<StoredMessage, StoreError>>>, StoreError> {
    let rows = sqlx::query!(
        r#"select message_sid as "message_sid!", account_sid as "account_sid!", received_at as "received_at!",
               state as "state!", sealed, slot_in,
               extract(epoch from clock_timestamp() - received_at)::float8 as "age!"
           from pigeonhole.open($1)"#,
        message_sids,
    )
    .fetch_all(conn)
    .await?;
    let mut found: HashMap<String, Result<StoredMessage, StoreError>> = rows
        .into_iter()
        .map(|row| {
            let open = |sealed: Vec<u8>| open_fields(keyring, &row.message_sid, &sealed);
            let message = row.sealed.map(open).transpose().and_then(|fields| {
                Ok(StoredMessage {
                    state: MessageState::parse(&row.state)?,
                    fields,
                    message_sid: row.message_sid.clone(),
                    account_sid: row.account_sid,
                    received_at: row.received_at,
                    age: seconds(row.age),
                    slot_in: row.slot_in.map(seconds),
                })
            });
            (row.message_sid, message)
        })
        .collect();
    Ok(message_sids.iter().map(|sid| found.remove(sid)).collect())
}

/// Whose messages they are that came from these numbers at these times, in the order of the list: each number is verified
/// for them, and was theirs by then. Whoever has linked it since gets nothing that its former user has sent.
pub async fn senders(
    conn: &mut PgConnection,
    keyring: &Keyring,
    sent: &[(E164, DateTime<Utc>)],
) -> Result<Vec<Option<Uuid>>, StoreError> {
    let all_forms: Vec<Vec<String>> = sent
        .iter()
        .map(|(number, _)| forms(keyring, number.as_str()))
        .collect();
    let flat: Vec<String> = all_forms.iter().flatten().cloned().collect();
    let rows = sqlx::query!(
        r#"select phone_number as "phone_number!", user_id as "user_id!", since from pigeonhole.owners($1)"#,
        &flat,
    )
    .fetch_all(conn)
    .await?;
    let sender = |(forms, (_, at)): (&Vec<String>, &(E164, DateTime<Utc>))| {
        let row = rows.iter().find(|row| {
            forms.contains(&row.phone_number) && row.since.is_none_or(|since| since <= *at)
        });
        row.map(|row| row.user_id)
    };
    Ok(all_forms.iter().zip(sent).map(sender).collect())
}

/// A message's place within a rate limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// Twilio's id of the message.
    pub message_sid: String,
    /// When it may be processed.
    pub at: DateTime<Utc>,
    /// The key of the limit.
    pub key: String,
}

/// How far keys were used up, and are to be: see `queue.take` in the migrations.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// The keys.
    pub keys: Vec<String>,
    /// Their numbers as they were read.
    pub before: Vec<i64>,
    /// Their numbers as they are to be.
    pub after: Vec<i64>,
}

/// A key that somebody else has changed since it was read, as it is now.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The key.
    pub key: String,
    /// Its number.
    pub number: i64,
    /// The time, by the database's clock.
    pub now: DateTime<Utc>,
}

/// Gives messages their slots, and takes these from their limits, together. Answers the keys for which it could not: their
/// messages have none yet. An error, and nothing is taken, if one of the messages has a slot already or has ended: then
/// another claim of its job came in between.
pub async fn keep_slots(
    conn: &mut PgConnection,
    slots: &[Slot],
    taken: &Taken,
) -> Result<Vec<Changed>, StoreError> {
    // The order in which rows are locked.
    let mut slots: Vec<&Slot> = slots.iter().collect();
    slots.sort_unstable();
    let sids: Vec<String> = slots.iter().map(|slot| slot.message_sid.clone()).collect();
    let times: Vec<DateTime<Utc>> = slots.iter().map(|slot| slot.at).collect();
    let limited_by: Vec<String> = slots.iter().map(|slot| slot.key.clone()).collect();
    let rows = sqlx::query!(
        r#"select key as "key!", tat_ns as "tat_ns!", now as "now!"
           from pigeonhole.keep_slots($1, $2, $3, $4, $5, $6)"#,
        &sids,
        &times,
        &limited_by,
        &taken.keys,
        &taken.before,
        &taken.after,
    )
    .fetch_all(conn)
    .await?;
    let changed = rows.into_iter().map(|row| Changed {
        key: row.key,
        number: row.tat_ns,
        now: row.now,
    });
    Ok(changed.collect())
}
