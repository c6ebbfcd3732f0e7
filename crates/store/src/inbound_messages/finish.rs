//! Ends messages, many in one statement.

use std::borrow::Borrow;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{FinalState, MessageState, TABLE};
use crate::enrichment_items::{NewItem, Origin};
use crate::user_phone_numbers::forms;
use crate::{E164, Keyring, StoreError};

/// How a message is to end.
#[derive(Debug)]
pub struct Finish {
    /// Twilio's id of the message.
    pub message_sid: String,
    /// The job that it ends together with, and the claim under which this is done.
    pub job: (i64, i32),
    /// The state to end in.
    pub state: FinalState,
    /// Whose message it is, and by which number: if that is not verified for them any more, the message ends as
    /// [`FinalState::IgnoredUnlinked`] instead.
    pub owner: Option<(Uuid, E164)>,
    /// What it says, and who found it.
    pub items: Option<Found>,
    /// Why it failed: a word from a closed set.
    pub reason: Option<&'static str>,
}

/// What was found in a message.
#[derive(Debug)]
pub struct Found {
    /// `rules`, or the name of a model.
    pub extracted_by: String,
    /// Where the items come from.
    pub origin: Origin,
    /// The items.
    pub items: Vec<NewItem>,
}

/// What came of a [`Finish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// It has ended so, and its job with it.
    As(MessageState),
    /// It had ended before; its job has ended now.
    Before,
    /// Another claim has the job: nothing was changed.
    LeaseLost,
}

#[derive(Default)]
struct Items {
    messages: Vec<i32>,
    ids: Vec<Uuid>,
    types: Vec<String>,
    fields: Vec<Option<String>>,
    values: Vec<String>,
    sources: Vec<String>,
    metadata: Vec<serde_json::Value>,
}

impl Items {
    fn push(&mut self, message: i32, found: &Found, keyring: &Keyring) -> Result<(), StoreError> {
        for item in &found.items {
            self.messages.push(message);
            self.ids.push(item.id);
            self.types.push(item.item_type.as_str().to_owned());
            self.fields.push(item.field_name.clone());
            self.values.push(item.value.clone());
            self.sources.push(found.origin.source.as_str().to_owned());
            self.metadata.push(found.origin.metadata(keyring, item.id)?);
        }
        Ok(())
    }
}

/// Ends messages with their items and their jobs, each as a whole or not at all, in one statement. The answers are in the
/// order of the list. Fails as a whole with [`StoreError::UserGone`] if one of the users is deleted at this moment.
pub async fn finish_all(
    conn: &mut PgConnection,
    keyring: &Keyring,
    finishes: &[impl Borrow<Finish>],
) -> Result<Vec<Finished>, StoreError> {
    let finishes: Vec<&Finish> = finishes.iter().map(Borrow::borrow).collect();
    let mut items = Items::default();
    for (n, finish) in (1..).zip(&finishes) {
        if let Some(found) = &finish.items {
            items.push(n, found, keyring)?;
        }
    }
    let (jobs, claims): (Vec<i64>, Vec<i32>) = finishes.iter().map(|finish| finish.job).unzip();
    let sids: Vec<String> = finishes.iter().map(|f| f.message_sid.clone()).collect();
    let states: Vec<String> = finishes
        .iter()
        .map(|f| MessageState::from(f.state).as_str().to_owned())
        .collect();
    let users: Vec<Option<Uuid>> = finishes
        .iter()
        .map(|f| f.owner.as_ref().map(|(user, _)| *user))
        .collect();
    let number_forms: Vec<Option<String>> = finishes
        .iter()
        .map(|f| f.owner.as_ref())
        .map(|owner| owner.map(|(_, number)| forms(keyring, number.as_str()).join(" ")))
        .collect();
    let extractors: Vec<Option<String>> = finishes
        .iter()
        .map(|f| f.items.as_ref().map(|found| found.extracted_by.clone()))
        .collect();
    let reasons: Vec<Option<String>> = finishes
        .iter()
        .map(|f| f.reason.map(str::to_owned))
        .collect();
    let rows = sqlx::query!(
        r#"select n as "n!", state from pigeonhole.finish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"#,
        &jobs,
        &claims,
        &sids,
        &states,
        &users as &[Option<Uuid>],
        &number_forms as &[Option<String>],
        &extractors as &[Option<String>],
        &reasons as &[Option<String>],
        &items.messages,
        &items.ids,
        &items.types,
        &items.fields as &[Option<String>],
        &items.values,
        &items.sources,
        &items.metadata,
    )
    .fetch_all(conn)
    .await
    .map_err(StoreError::writing_for_user(TABLE))?;
    let mut finished = vec![Finished::LeaseLost; finishes.len()];
    for row in rows {
        let state = row.state.map(|state| MessageState::parse(&state)).transpose()?;
        let place = usize::try_from(row.n - 1).unwrap_or(usize::MAX);
        if let Some(slot) = finished.get_mut(place) {
            *slot = state.map_or(Finished::Before, Finished::As);
        }
    }
    Ok(finished)
}
