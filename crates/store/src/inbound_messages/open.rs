//! Opens messages for processing, many in one statement.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{MessageState, StoredMessage, TABLE, open_fields};
use crate::clock::seconds;
use crate::user_phone_numbers::forms;
use crate::{E164, Keyring, StoreError};

/// The messages with these SIDs, opened, in the order of the list; `None` for one that is not there. An error in place of
/// one whose fields do not open: it spoils no other.
#[expect(clippy::type_complexity, reason = "a list of optional results")]
pub async fn load_all(
    conn: &mut PgConnection,
    keyring: &Keyring,
    message_sids: &[String],
) -> Result<Vec<Option<Result<StoredMessage, StoreError>>>, StoreError> {
    let rows = sqlx::query!(
        r#"select message_sid as "message_sid!", account_sid as "account_sid!", received_at as "received_at!",
               state as "state!", sealed, slot_in
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
                    slot_in: row.slot_in.map(seconds),
                })
            });
            (row.message_sid, message)
        })
        .collect();
    Ok(message_sids.iter().map(|sid| found.remove(sid)).collect())
}

/// The users for whom these numbers are verified, in the order of the list; the newest, should there be several.
pub async fn owners(
    conn: &mut PgConnection,
    keyring: &Keyring,
    numbers: &[E164],
) -> Result<Vec<Option<Uuid>>, StoreError> {
    let all_forms: Vec<Vec<String>> = numbers
        .iter()
        .map(|number| forms(keyring, number.as_str()))
        .collect();
    let flat: Vec<String> = all_forms.iter().flatten().cloned().collect();
    let rows = sqlx::query!(
        r#"select phone_number as "phone_number!", user_id as "user_id!" from pigeonhole.owners($1)"#,
        &flat,
    )
    .fetch_all(conn)
    .await?;
    let owner = |forms: &Vec<String>| {
        let row = rows.iter().find(|row| forms.contains(&row.phone_number));
        row.map(|row| row.user_id)
    };
    Ok(all_forms.iter().map(owner).collect())
}

/// Keeps the slots that messages were given. An error, with which the slots must be given up, if one of the messages has
/// a slot already or has ended: then another claim of its job came in between, and nothing may be charged twice.
pub async fn keep_slots(
    conn: &mut PgConnection,
    slots: &[(String, DateTime<Utc>)],
) -> Result<(), StoreError> {
    // The order in which rows are locked.
    let mut slots = slots.to_vec();
    slots.sort_unstable();
    let expected = slots.len();
    let (sids, slots): (Vec<String>, Vec<DateTime<Utc>>) = slots.into_iter().unzip();
    let kept = sqlx::query_scalar!(
        r#"select pigeonhole.keep_slots($1, $2) as "kept!""#,
        &sids,
        &slots,
    )
    .fetch_one(conn)
    .await?;
    if usize::try_from(kept).ok() == Some(expected) {
        return Ok(());
    }
    Err(StoreError::NotOneRow {
        table: TABLE,
        id: format!("the slots of {expected} messages"),
        found: kept.unsigned_abs(),
    })
}
