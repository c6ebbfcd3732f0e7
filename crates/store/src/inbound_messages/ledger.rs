//! What became of messages, for people to read: no text, no number.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::MessageState;
use crate::StoreError;

/// Which messages to look at.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this one.
    pub message_sid: Option<String>,
    /// Only those that have come so far.
    pub state: Option<MessageState>,
    /// Only this user's.
    pub user_id: Option<Uuid>,
    /// Only those that came in within this time.
    pub since: Option<Duration>,
    /// At most so many, the newest.
    pub limit: u16,
}

/// What became of a message, step by step, with the times at which it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Twilio's id of the message.
    pub message_sid: String,
    /// How far it has come.
    pub state: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// Whose it is, once that is known.
    pub user_id: Option<Uuid>,
    /// When the receiver stored it.
    pub received_at: DateTime<Utc>,
    /// When a worker first opened it.
    pub claimed_at: Option<DateTime<Utc>>,
    /// Its place within its user's rate limit.
    pub slot_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// What found its items: rules, or the name of a model.
    pub extracted_by: Option<String>,
    /// How many items were found.
    pub items: Option<i32>,
    /// When an operator last ran it again.
    pub replayed_at: Option<DateTime<Utc>>,
    /// Has what it says been erased?
    pub erased: bool,
    /// The reply to it.
    pub reply: Option<Reply>,
}

/// What became of the reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reply {
    /// Its id.
    pub send: Uuid,
    /// What it says; none once its row has been forgotten.
    pub kind: Option<String>,
    /// How far it has come.
    pub state: Option<String>,
    /// Why it was not sent, or did not arrive.
    pub reason: Option<String>,
    /// Twilio's error code.
    pub error_code: Option<i32>,
    /// Since when it is so.
    pub updated_at: Option<DateTime<Utc>>,
}

/// How many of the last day's messages have come how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct States {
    /// Each state that there is, with its messages, in order of its name.
    pub states: Vec<(String, i64)>,
    /// Only the newest [`COUNTED`] were looked at: there are more.
    pub partial: bool,
}

/// The most messages that are counted.
pub const COUNTED: i64 = 10_000;

/// Counts the last day's messages by their state.
pub async fn states(conn: &mut PgConnection) -> Result<States, StoreError> {
    let rows = sqlx::query!(
        r#"select state, count(*) as "count!"
           from (select state from pigeonhole.inbound_messages
                 where received_at > statement_timestamp() - interval '1 day'
                 order by received_at desc limit $1) as recent
           group by state order by state"#,
        COUNTED + 1,
    )
    .fetch_all(conn)
    .await?;
    let states: Vec<_> = rows.into_iter().map(|row| (row.state, row.count)).collect();
    Ok(States {
        partial: states.iter().map(|(_, count)| count).sum::<i64>() > COUNTED,
        states,
    })
}

/// Looks at messages, the newest first, and tells the time that it is.
pub async fn look(
    conn: &mut PgConnection,
    filter: &Filter,
) -> Result<(DateTime<Utc>, Vec<Entry>), StoreError> {
    let now = crate::now(conn).await?;
    let rows = sqlx::query!(
        r#"select message_sid, m.state, m.reason, m.user_id, received_at, claimed_at, slot_at, finished_at,
               extracted_by, items, replayed_at, m.sealed is null as "erased!", reply,
               s.reply_kind as "reply_kind?", s.state as "reply_state?", s.reason as reply_reason, s.error_code,
               s.updated_at as "reply_updated_at?"
           from pigeonhole.inbound_messages m left join pigeonhole.sends s on s.id = m.reply
           where ($1::text is null or message_sid = $1) and ($2::text is null or m.state = $2)
               and ($3::uuid is null or m.user_id = $3)
               and ($4::float8 is null or received_at > statement_timestamp() - make_interval(secs => $4))
           order by received_at desc, message_sid limit $5"#,
        filter.message_sid,
        filter.state.map(MessageState::as_str),
        filter.user_id,
        filter.since.map(|since| since.as_secs_f64()),
        i64::from(filter.limit),
    )
    .fetch_all(conn)
    .await?;
    let entries = rows.into_iter().map(|row| Entry {
        message_sid: row.message_sid,
        state: row.state,
        reason: row.reason,
        user_id: row.user_id,
        received_at: row.received_at,
        claimed_at: row.claimed_at,
        slot_at: row.slot_at,
        finished_at: row.finished_at,
        extracted_by: row.extracted_by,
        items: row.items,
        replayed_at: row.replayed_at,
        erased: row.erased,
        reply: row.reply.map(|send| Reply {
            send,
            kind: row.reply_kind,
            state: row.reply_state,
            reason: row.reply_reason,
            error_code: row.error_code,
            updated_at: row.reply_updated_at,
        }),
    });
    Ok((now, entries.collect()))
}
