//! Ends messages, many in one statement: see `pigeonhole.finish` in the migrations.

use serde_json::{Value, json};
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
    /// Somebody is changing its user or their number at this moment: nothing was changed.
    Busy,
}

/// Ends messages with their items and their jobs, each as a whole or not at all, in one statement. The answers are in the
/// order of the list. Waits for nobody who is changing a user or their numbers.
pub async fn finish_all(
    conn: &mut PgConnection,
    keyring: &Keyring,
    finishes: &[Finish],
) -> Result<Vec<Finished>, StoreError> {
    // The order in which rows are locked.
    let mut sorted: Vec<(usize, &Finish)> = finishes.iter().enumerate().collect();
    sorted.sort_unstable_by_key(|(_, finish)| (&finish.message_sid, finish.job));
    let mut rows = Rows::default();
    for (_, finish) in &sorted {
        rows.push(finish, keyring)?;
    }
    let answers = sqlx::query!(
        r#"select n as "n!", state from pigeonhole.finish($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
        &rows.jobs,
        &rows.claims,
        &rows.sids,
        &rows.states,
        &rows.users as &[Option<Uuid>],
        &rows.number_forms as &[Option<String>],
        &rows.extractors as &[Option<String>],
        &rows.reasons as &[Option<String>],
        &rows.items as &[Option<Value>],
    )
    .fetch_all(conn)
    .await
    .map_err(StoreError::writing_for_user(TABLE))?;
    let mut came_of_it = vec![Finished::LeaseLost; finishes.len()];
    for answer in answers {
        let place = usize::try_from(answer.n - 1).unwrap_or(usize::MAX);
        let Some(came) = sorted
            .get(place)
            .and_then(|(at, _)| came_of_it.get_mut(*at))
        else {
            continue; // cannot happen: the places are those of the list
        };
        match answer.state.as_deref() {
            Some("busy") => *came = Finished::Busy,
            Some(state) => *came = Finished::As(MessageState::parse(state)?),
            // Its job has ended; in another row it may say how the message did.
            None if *came == Finished::LeaseLost => *came = Finished::Before,
            None => {}
        }
    }
    Ok(came_of_it)
}

/// The list, column by column.
#[derive(Default)]
struct Rows {
    jobs: Vec<i64>,
    claims: Vec<i32>,
    sids: Vec<String>,
    states: Vec<String>,
    users: Vec<Option<Uuid>>,
    number_forms: Vec<Option<String>>,
    extractors: Vec<Option<String>>,
    reasons: Vec<Option<String>>,
    items: Vec<Option<Value>>,
}

impl Rows {
    fn push(&mut self, finish: &Finish, keyring: &Keyring) -> Result<(), StoreError> {
        let (user, number_forms) = match &finish.owner {
            Some((user, number)) => (Some(*user), Some(forms(keyring, number.as_str()).join(" "))),
            None => (None, None),
        };
        let found = finish.items.as_ref();
        self.jobs.push(finish.job.0);
        self.claims.push(finish.job.1);
        self.sids.push(finish.message_sid.clone());
        self.states
            .push(MessageState::from(finish.state).as_str().to_owned());
        self.users.push(user);
        self.number_forms.push(number_forms);
        self.extractors
            .push(found.map(|found| found.extracted_by.clone()));
        self.reasons.push(finish.reason.map(str::to_owned));
        self.items
            .push(found.map(|found| found.rows(keyring)).transpose()?);
        Ok(())
    }
}

impl Found {
    /// The items as `pigeonhole.finish` takes them.
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
