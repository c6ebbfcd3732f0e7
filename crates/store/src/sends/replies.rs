//! Replies to messages.

use std::{fmt, time::Duration};

use sqlx::PgConnection;
use uuid::Uuid;

use super::{TABLE, sealed_column};
use crate::e164::E164;
use crate::error::StoreError;
use crate::keyring::Keyring;

/// What a reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplyKind {
    /// The message was processed.
    Processed,
    /// The number is nobody's.
    NotLinked,
    /// Its user has sent too many.
    RateLimited,
    /// It could not be processed.
    Failed,
    /// What was attached is too large.
    MediaTooLarge,
    /// What was attached is of a type that is not taken.
    MediaUnsupported,
}

impl ReplyKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Processed,
        Self::NotLinked,
        Self::RateLimited,
        Self::Failed,
        Self::MediaTooLarge,
        Self::MediaUnsupported,
    ];

    /// The text that stands in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::NotLinked => "not_linked",
            Self::RateLimited => "rate_limited",
            Self::Failed => "failed",
            Self::MediaTooLarge => "media_too_large",
            Self::MediaUnsupported => "media_unsupported",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(StoreError::UnknownValue {
                table: TABLE,
                column: "reply_kind",
            })
    }
}

/// A reply to be sent. `Debug` hides to whom, and what it says.
#[derive(Clone)]
pub struct NewReply {
    /// The message that it answers.
    pub message_sid: String,
    /// Whose message that is, if anybody's.
    pub user_id: Option<Uuid>,
    /// What it says.
    pub kind: ReplyKind,
    /// To whom.
    pub to: E164,
    /// The text.
    pub body: String,
}

impl fmt::Debug for NewReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "NewReply({}, {:?}, [sealed])",
            self.message_sid, self.kind
        )
    }
}

/// Stores replies, pending, and names each in the row of its message. Answers their ids, in no order; one to a message
/// that came in longer than `life` ago is left out.
///
/// Fails with [`StoreError::UserGone`] if one of the users is not there.
pub async fn insert_replies(
    conn: &mut PgConnection,
    keyring: &Keyring,
    replies: &[NewReply],
    life: Duration,
) -> Result<Vec<Uuid>, StoreError> {
    let ids: Vec<Uuid> = replies.iter().map(|_| Uuid::new_v4()).collect();
    let sids: Vec<String> = replies.iter().map(|r| r.message_sid.clone()).collect();
    let users: Vec<Option<Uuid>> = replies.iter().map(|r| r.user_id).collect();
    let kinds: Vec<String> = replies.iter().map(|r| r.kind.as_str().to_owned()).collect();
    let indexes: Vec<String> = replies
        .iter()
        .map(|reply| keyring.blind_index(reply.to.as_str()).as_str().to_owned())
        .collect();
    let sealed: Vec<Vec<u8>> = ids
        .iter()
        .zip(replies)
        .map(|(id, reply)| {
            let message = serde_json::json!([reply.to.as_str(), reply.body]).to_string();
            keyring.seal(&sealed_column(*id), message.as_bytes())
        })
        .collect::<Result<_, _>>()?;
    // Each message by its key, whatever the planner thinks of the table: `limit`, and `= any`, leave it no other way.
    let rows = sqlx::query_scalar!(
        r#"with given as (
               select given.*, received_at + make_interval(secs => $7) as expires_at
               from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::bytea[])
                   as given(id, sid, user_id, kind, recipient, sealed)
               cross join lateral (
                   select received_at from pigeonhole.inbound_messages where message_sid = given.sid limit 1
               ) message
           ),
           new as (
               insert into pigeonhole.sends (id, user_id, purpose, reply_kind, recipient_index, sealed, expires_at)
               select id, user_id, 'reply', kind, recipient, sealed, expires_at
               from given where expires_at > clock_timestamp()
               returning id
           )
           update pigeonhole.inbound_messages set reply = given.id
           from given join new using (id) where message_sid = any(array[given.sid])
           returning given.id as "id!""#,
        &ids,
        &sids,
        &users as &[Option<Uuid>],
        &kinds,
        &indexes,
        &sealed,
        life.as_secs_f64(),
    )
    .fetch_all(conn)
    .await
    .map_err(StoreError::writing_for_user(TABLE))?;
    Ok(rows)
}
