//! Ends messages, many in one statement: see `pigeonhole.finish_messages` in the migrations.

use std::borrow::Borrow;

use chrono::{DateTime, Utc};
use queue::{Fence, rate_limit::RateLimit};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::columns::TABLE;
use super::state::MessageState;
use crate::e164::E164;
use crate::enrichment_items::{NewItem, Origin};
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::number_variants::stored_number_variants;

/// What `queue.within_rate_limit` raises.
const RATE_LIMIT_USED_UP: &str = "PH001";

/// How a message ends.
#[derive(Debug)]
pub struct MessageEnd {
    /// Twilio's id of the message.
    pub message_sid: String,
    /// The claim of the job that ends together with the message.
    pub fence: Fence,
    /// The state to end in.
    pub state: MessageState,
    /// Who sent the message.
    pub sender: MessageSender,
    /// The key of the rate limit that is charged if the message ends as processed. `None` if it
    /// was processed with a reservation, or is not counted.
    pub rate_key: Option<String>,
    /// The items that were extracted from the message.
    pub items: Option<MessageItems>,
    /// Why it failed: a word from a closed set.
    pub reason: Option<&'static str>,
}

/// Who sent a message, as its job has read it.
#[derive(Debug)]
pub enum MessageSender {
    /// A user, from this number. If the number is not verified for the user any more, the message
    /// ends as [`MessageState::IgnoredUnlinked`] instead.
    User(Uuid, E164),
    /// A number that was no user's at this time, when the message was sent. If it was, the message
    /// does not end: the job has read it on a standby that lags, or just before a link was
    /// committed.
    Unlinked(E164, DateTime<Utc>),
    /// Not a phone number.
    NoNumber,
}

/// The items of a message.
#[derive(Debug)]
pub struct MessageItems {
    /// `rules`, or the name of a model.
    pub extracted_by: String,
    /// Where the items come from.
    pub origin: Origin,
    /// The items.
    pub items: Vec<NewItem>,
}

/// The outcome of a [`MessageEnd`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOutcome {
    /// The message has ended in this state, and its job with it.
    Ended(MessageState),
    /// The message had ended before; its job has ended now.
    EndedBefore,
    /// Another claim has the job: nothing was changed.
    LeaseLost,
    /// Another transaction is changing the user or their number, or the number is a user's although
    /// none was found: nothing was changed, and the message is to be opened again.
    Busy,
}

/// Ends messages with their items and their jobs, each as a whole or not at all, in one statement.
/// Returns the outcomes in the order of the list. It does not wait for a transaction that changes a
/// user or a number.
///
/// Fails with [`StoreError::RateLimitUsedUp`], and nothing is written, if a key cannot be charged
/// any more.
pub async fn finish_all(
    conn: &mut PgConnection,
    keyring: &Keyring,
    limit: &RateLimit,
    ends: &[impl Borrow<MessageEnd>],
) -> Result<Vec<EndOutcome>, StoreError> {
    // The order in which rows are locked.
    let mut sorted: Vec<(usize, &MessageEnd)> =
        ends.iter().map(Borrow::borrow).enumerate().collect();
    sorted.sort_unstable_by_key(|(_, end)| (&end.message_sid, end.fence.job, end.fence.claim));
    let mut columns = EndColumns::default();
    for (_, end) in &sorted {
        columns.push(end, keyring)?;
    }
    let rows = sqlx::query!(
        r#"select n as "n!", state
           from pigeonhole.finish_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"#,
        &columns.jobs,
        &columns.claims,
        &columns.sids,
        &columns.states,
        &columns.users as &[Option<Uuid>],
        &columns.number_variants as &[Option<String>],
        &columns.extractors as &[Option<String>],
        &columns.reasons as &[Option<String>],
        &columns.items as &[Option<Value>],
        &columns.unlinked_at as &[Option<DateTime<Utc>>],
        &columns.rate_keys as &[Option<String>],
        limit.period_ns(),
        limit.burst_ns(),
    )
    .fetch_all(conn)
    .await
    .map_err(|error| match error.as_database_error() {
        Some(refusal) if refusal.code().is_some_and(|code| code == RATE_LIMIT_USED_UP) => {
            StoreError::RateLimitUsedUp
        }
        _ => StoreError::writing_for_user(TABLE)(error),
    })?;
    let mut outcomes = vec![EndOutcome::LeaseLost; sorted.len()];
    for row in rows {
        let index = usize::try_from(row.n - 1).unwrap_or(usize::MAX);
        let Some(outcome) = sorted.get(index).and_then(|(at, _)| outcomes.get_mut(*at)) else {
            tracing::error!(
                position = row.n,
                "finish_messages named no message of its list"
            );
            continue;
        };
        match row.state.as_deref() {
            Some("busy") => *outcome = EndOutcome::Busy,
            Some(state) => *outcome = EndOutcome::Ended(MessageState::parse(state)?),
            // The job has ended. Another row says whether the message has ended now.
            None if *outcome == EndOutcome::LeaseLost => *outcome = EndOutcome::EndedBefore,
            None => {}
        }
    }
    Ok(outcomes)
}

/// The list, column by column.
#[derive(Default)]
struct EndColumns {
    jobs: Vec<i64>,
    claims: Vec<i32>,
    sids: Vec<String>,
    states: Vec<String>,
    users: Vec<Option<Uuid>>,
    number_variants: Vec<Option<String>>,
    extractors: Vec<Option<String>>,
    reasons: Vec<Option<String>>,
    items: Vec<Option<Value>>,
    unlinked_at: Vec<Option<DateTime<Utc>>>,
    rate_keys: Vec<Option<String>>,
}

impl EndColumns {
    fn push(&mut self, end: &MessageEnd, keyring: &Keyring) -> Result<(), StoreError> {
        debug_assert!(end.state.is_final(), "{:?} is no end", end.state);
        let (user, number, unlinked_at) = match &end.sender {
            MessageSender::User(user, number) => (Some(*user), Some(number), None),
            MessageSender::Unlinked(number, at) => (None, Some(number), Some(*at)),
            MessageSender::NoNumber => (None, None, None),
        };
        let number_variants =
            number.map(|number| stored_number_variants(keyring, number.as_str()).join(" "));
        let items = end.items.as_ref();
        self.jobs.push(end.fence.job);
        self.claims.push(end.fence.claim);
        self.sids.push(end.message_sid.clone());
        self.states.push(end.state.as_str().to_owned());
        self.users.push(user);
        self.number_variants.push(number_variants);
        self.unlinked_at.push(unlinked_at);
        self.rate_keys.push(end.rate_key.clone());
        self.extractors
            .push(items.map(|items| items.extracted_by.clone()));
        self.reasons.push(end.reason.map(str::to_owned));
        self.items
            .push(items.map(|items| items.rows(keyring)).transpose()?);
        Ok(())
    }
}

impl MessageItems {
    /// The items as `pigeonhole.finish_messages` takes them.
    fn rows(&self, keyring: &Keyring) -> Result<Value, StoreError> {
        let row = |item: &NewItem| {
            Ok(json!({
                "id": item.id,
                "item_type": item.item_type.as_str(),
                "field_name": item.field_name,
                "value": item.value,
                "source": self.origin.source.as_str(),
                "source_metadata": self.origin.metadata(keyring, item.id)?,
            }))
        };
        self.items.iter().map(row).collect()
    }
}
