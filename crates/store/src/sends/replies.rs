//! Stores replies to messages, each together with its job.

use std::{fmt, time::Duration};

use queue::{EnqueueError, NewJob};
use sqlx::PgConnection;
use uuid::Uuid;

use super::columns::{TABLE, seal_message};
use super::reply_kind::ReplyKind;
use crate::e164::E164;
use crate::error::StoreError;
use crate::job_args::SendReply;
use crate::keyring::Keyring;

/// A reply to be sent. `Debug` hides recipient and text.
#[derive(Clone)]
pub struct NewReply {
    /// The message that it replies to.
    pub message_sid: String,
    /// The user whose message that is, if there is one.
    pub user_id: Option<Uuid>,
    /// Which text it has.
    pub kind: ReplyKind,
    /// The recipient.
    pub to: E164,
    /// The text.
    pub body: String,
    /// The trace context that its job continues.
    pub trace: Option<String>,
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

/// Stores replies, pending, names each in the row of its message, and enqueues their jobs. A reply
/// to a message that arrived longer than `life` ago is left out. Returns the ids of the others, in
/// no order.
///
/// Fails with [`StoreError::UserGone`] if one of the users does not exist.
pub async fn enqueue_replies(
    conn: &mut PgConnection,
    keyring: &Keyring,
    replies: &[NewReply],
    life: Duration,
) -> Result<Vec<Uuid>, StoreError> {
    if replies.is_empty() {
        return Ok(Vec::new());
    }
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
        .map(|(id, reply)| seal_message(keyring, *id, &reply.to, &reply.body))
        .collect::<Result<_, _>>()?;
    // `limit` and `= any` leave the planner no plan but to find each message by its key.
    let stored: Vec<Uuid> = sqlx::query_scalar!(
        r#"with given as (
               select given.*, sent + make_interval(secs => $7) as expires_at
               from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::bytea[])
                   as given(id, sid, user_id, kind, recipient, sealed)
               cross join lateral (
                   select coalesce(sent_at, received_at) as sent from pigeonhole.inbound_messages
                   where message_sid = given.sid limit 1
               ) message
           ),
           new as (
               insert into pigeonhole.sends
                   (id, user_id, purpose, reply_kind, recipient_index, sealed, expires_at)
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
    .fetch_all(&mut *conn)
    .await
    .map_err(StoreError::writing_for_user(TABLE))?;
    let jobs: Result<Vec<NewJob>, EnqueueError> = ids
        .into_iter()
        .zip(replies)
        .filter(|(id, _)| stored.contains(id))
        .map(|(send, reply)| Ok(NewJob::of(&SendReply { send })?.trace(reply.trace.clone())))
        .collect();
    queue::enqueue_all(conn, &jobs?).await?;
    Ok(stored)
}
