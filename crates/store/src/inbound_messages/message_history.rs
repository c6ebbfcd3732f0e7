//! What happened to messages, for operators: no text, no number.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::state::MessageState;
use crate::error::StoreError;

/// Which messages to list.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// Only this one.
    pub message_sid: Option<String>,
    /// Only those in this state.
    pub state: Option<MessageState>,
    /// Only this user's.
    pub user_id: Option<Uuid>,
    /// Only those that came in within this time.
    pub since: Option<Duration>,
    /// At most this many, the newest.
    pub limit: u16,
}

/// What happened to a message, step by step, with the times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageHistory {
    /// Twilio's id of the message.
    pub message_sid: String,
    /// Its state.
    pub state: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// The user whose message it is, once that is known.
    pub user_id: Option<Uuid>,
    /// How it came: `webhook`, `list` or `alert`.
    pub source: String,
    /// When Twilio received it, if no webhook brought it.
    pub sent_at: Option<DateTime<Utc>>,
    /// When it was stored.
    pub received_at: DateTime<Utc>,
    /// When a worker first opened it.
    pub opened_at: Option<DateTime<Utc>>,
    /// Its reservation in its user's rate limit.
    pub reserved_for: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The extractor that found its items: rules, or the name of a model.
    pub extracted_by: Option<String>,
    /// How many items were found.
    pub items: Option<i32>,
    /// When an operator last replayed it.
    pub replayed_at: Option<DateTime<Utc>>,
    /// Whether the cleanup has erased what it says.
    pub erased: bool,
    /// The reply to it.
    pub reply: Option<ReplyHistory>,
}

/// What happened to the reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplyHistory {
    /// Its id.
    pub send: Uuid,
    /// Which text it has; none once its row was deleted.
    pub kind: Option<String>,
    /// Its state.
    pub state: Option<String>,
    /// Why it was not sent, or did not arrive.
    pub reason: Option<String>,
    /// Twilio's error code.
    pub error_code: Option<i32>,
    /// Since when it has this state.
    pub updated_at: Option<DateTime<Utc>>,
}

/// How many of the last day's messages are in each state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageCounts {
    /// Each state that occurs, with the number of its messages, in order of its name.
    pub states: Vec<(String, i64)>,
    /// Only the newest [`COUNTED`] messages were counted: there are more.
    pub partial: bool,
}

/// The most messages that are counted.
pub const COUNTED: i64 = 10_000;

/// Counts the last day's messages by their state.
pub async fn count_by_state(conn: &mut PgConnection) -> Result<MessageCounts, StoreError> {
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
    Ok(MessageCounts {
        partial: states.iter().map(|(_, count)| count).sum::<i64>() > COUNTED,
        states,
    })
}

/// Lists messages, the newest first. Returns the database's time with them.
pub async fn list(
    conn: &mut PgConnection,
    filter: &MessageFilter,
) -> Result<(DateTime<Utc>, Vec<MessageHistory>), StoreError> {
    let now = crate::clock::now(conn).await?;
    let rows = sqlx::query!(
        r#"select message_sid, m.state, m.reason, m.user_id, m.source, sent_at, received_at, opened_at,
               reserved_for, finished_at, extracted_by, items, replayed_at, m.sealed is null as "erased!", reply,
               s.reply_kind as "reply_kind?", s.state as "reply_state?",
               s.reason as reply_reason, s.error_code, s.updated_at as "reply_updated_at?"
           from pigeonhole.inbound_messages m left join pigeonhole.sends s on s.id = m.reply
           where ($1::text is null or message_sid = $1) and ($2::text is null or m.state = $2)
               and ($3::uuid is null or m.user_id = $3)
               and ($4::float8 is null
                   or received_at > statement_timestamp() - make_interval(secs => $4))
           order by received_at desc, message_sid limit $5"#,
        filter.message_sid,
        filter.state.map(MessageState::as_str),
        filter.user_id,
        filter.since.map(|since| since.as_secs_f64()),
        i64::from(filter.limit),
    )
    .fetch_all(conn)
    .await?;
    let entries = rows.into_iter().map(|row| MessageHistory {
        message_sid: row.message_sid,
        state: row.state,
        reason: row.reason,
        user_id: row.user_id,
        source: row.source,
        sent_at: row.sent_at,
        received_at: row.received_at,
        opened_at: row.opened_at,
        reserved_for: row.reserved_for,
        finished_at: row.finished_at,
        extracted_by: row.extracted_by,
        items: row.items,
        replayed_at: row.replayed_at,
        erased: row.erased,
        reply: row.reply.map(|send| ReplyHistory {
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
