//! Runs a stored message again, on an operator's word: what do today's rules make of it?
//!
//! What its user has accepted, rejected or applied stays as it is. Nobody is told: there is no reply, and it is not
//! counted in any limit.

mod plan;

use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use store::{
    E164, Keyring, StoreError,
    enrichment_items::{self, NewItem, Reviewed},
    inbound_messages::{self, MessageState},
    media, user_phone_numbers,
};
use twilio::{InboundWebhook, PayloadError};
use uuid::Uuid;

use self::plan::{Plan, Shape, plan};
use crate::{
    MediaStore, StepError,
    extract::{ExtractError, Extracted, Extraction, Message, WithFallback},
    process_message::{attachments, origin},
};

/// What became of a message that was run again, or would become of it. It tells nothing of what the message says.
#[derive(Debug, Serialize)]
pub struct Replayed {
    /// The message.
    pub message_sid: String,
    /// Whose it is.
    pub user_id: Uuid,
    /// What was found with: rules, or the name of a model.
    pub extracted_by: String,
    /// Items that their user has seen to, and that stay.
    pub reviewed: usize,
    /// Pending items that are found again as they are.
    pub unchanged: usize,
    /// What differs.
    pub changes: Vec<Change>,
}

/// An item that is not what it was.
#[derive(Debug, Serialize)]
pub struct Change {
    /// In what it differs.
    pub what: What,
    /// The item that goes.
    pub old: Option<Uuid>,
    /// The item that comes. Its id is new, so that nobody accepts what they have not seen.
    pub new: Option<Uuid>,
    /// `field` or `tag`.
    pub item_type: String,
    /// The field's name.
    pub field_name: Option<String>,
    /// How many characters the value had.
    pub length_before: Option<usize>,
    /// How many it has now.
    pub length_now: Option<usize>,
}

/// In what an item differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It was not there.
    Added,
    /// Another value takes its place.
    Changed,
    /// It is not found any more.
    Removed,
}

/// Why a message cannot be run again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No such message is stored.
    #[error("there is no such message")]
    NoSuchMessage,
    /// Retention has erased what it says.
    #[error("what it said has been erased: MESSAGE_RETENTION_DAYS is how long messages are kept")]
    Erased,
    /// Its job has not ended.
    #[error("it has not been processed yet: its job will do that")]
    NotEnded,
    /// It is STOP, START or HELP.
    #[error("it is a keyword, from which nothing is extracted")]
    Keyword,
    /// Its number was nobody's.
    #[error(
        "it is nobody's: its number was not linked when it came in; whoever has it now may send it again"
    )]
    Unlinked,
    /// Its number was unlinked since.
    #[error("its number is not its user's any more")]
    NotTheirs,
    /// The stored fields are no message.
    #[error("the stored message cannot be read: {0}")]
    Unreadable(#[from] PayloadError),
    /// Its files could not be looked up.
    #[error(transparent)]
    Files(#[from] StepError),
    /// The model did not answer.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// The tables could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ReplayError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What running messages again needs.
#[derive(Debug, Clone, Copy)]
pub struct ReplayDeps<'a> {
    /// The database.
    pub pool: &'a PgPool,
    /// The keys that open and seal personal data.
    pub keyring: &'a Keyring,
    /// Where the files of messages are.
    pub store: &'a MediaStore,
    /// Finds what a message says.
    pub extractor: &'a WithFallback,
}

/// Runs the message again, with those of its files that are still there. A `dry_run` does all of it and takes it back.
pub async fn replay(
    deps: ReplayDeps<'_>,
    message_sid: &str,
    dry_run: bool,
) -> Result<Replayed, ReplayError> {
    let ReplayDeps { pool, keyring, .. } = deps;
    let (webhook, number) = open(pool, keyring, message_sid).await?;
    // Outside the transaction: a model may take its time.
    let extraction = look(deps, &webhook).await?;
    let (found, by) = (extraction.items, extraction.by.label());
    let mut tx = pool.begin().await?;
    let user_id = whose(&mut tx, keyring, message_sid, &number).await?;
    // Anybody who is at work on it comes first.
    let (state, user) = inbound_messages::hold(&mut tx, message_sid)
        .await?
        .ok_or(ReplayError::NoSuchMessage)?;
    has_ended(state)?;
    if user != Some(user_id) {
        return Err(ReplayError::NotTheirs);
    }
    let old = enrichment_items::hold_of_message(&mut tx, message_sid, user_id).await?;
    let plan = compare(&old, &found);
    let changes = changes(&plan, &old, &found);
    let gone: Vec<Uuid> = changes.iter().filter_map(|change| change.old).collect();
    enrichment_items::withdraw(&mut tx, user_id, &gone).await?;
    let items = new_items(&plan, &changes, &found);
    let origin = origin(&webhook, user_id);
    enrichment_items::insert(&mut tx, keyring, &origin, &items).await?;
    inbound_messages::replayed(&mut tx, message_sid, user_id, by, found.len()).await?;
    if dry_run {
        tx.rollback().await?;
    } else {
        tx.commit().await?;
    }
    Ok(Replayed {
        message_sid: message_sid.to_owned(),
        user_id,
        extracted_by: by.to_owned(),
        reviewed: plan.reviewed,
        unchanged: plan.unchanged,
        changes,
    })
}

/// What today's rules or model make of it. Nobody falls back: an operator may try again.
async fn look(deps: ReplayDeps<'_>, webhook: &InboundWebhook) -> Result<Extraction, ReplayError> {
    let files = {
        let mut conn = deps.pool.acquire().await?;
        media::of_message(&mut conn, webhook.message_sid().as_str()).await?
    };
    let files = attachments(deps.store, deps.keyring, &files)?;
    let message = Message {
        text: webhook.body(),
        location: webhook.location(),
        media: &files,
    };
    Ok(deps.extractor.extract(&message, false).await?)
}

/// The message, and the number that it came from.
async fn open(
    pool: &PgPool,
    keyring: &Keyring,
    message_sid: &str,
) -> Result<(InboundWebhook, E164), ReplayError> {
    let mut conn = pool.acquire().await?;
    let stored = inbound_messages::load(&mut conn, keyring, message_sid)
        .await?
        .ok_or(ReplayError::NoSuchMessage)?;
    has_ended(stored.state)?;
    let webhook = InboundWebhook::from_fields(stored.fields.ok_or(ReplayError::Erased)?)?;
    let number = webhook
        .from()
        .phone()
        .and_then(|text| E164::parse(text).ok());
    Ok((webhook, number.ok_or(ReplayError::Unlinked)?))
}

fn has_ended(state: MessageState) -> Result<(), ReplayError> {
    match state {
        MessageState::Received => Err(ReplayError::NotEnded),
        MessageState::KeywordStop | MessageState::KeywordStart | MessageState::KeywordHelp => {
            Err(ReplayError::Keyword)
        }
        MessageState::Processed
        | MessageState::Failed
        | MessageState::RateLimited
        | MessageState::IgnoredUnlinked
        | MessageState::IgnoredDisabled => Ok(()),
    }
}

/// Whose message it is. Its number is theirs, and stays so to the end of the transaction.
async fn whose(
    conn: &mut PgConnection,
    keyring: &Keyring,
    message_sid: &str,
    number: &E164,
) -> Result<Uuid, ReplayError> {
    // Whoever has a number now that was nobody's then need not be who sent the message.
    let user_id = inbound_messages::user_of(conn, message_sid)
        .await?
        .ok_or(ReplayError::Unlinked)?;
    if user_phone_numbers::hold_owner(conn, keyring, user_id, number).await? {
        Ok(user_id)
    } else {
        Err(ReplayError::NotTheirs)
    }
}

fn compare(old: &[Reviewed], new: &[Extracted]) -> Plan {
    let old: Vec<(Shape<'_>, bool)> = old
        .iter()
        .map(|old| {
            let shape = Shape {
                item_type: &old.item.item_type,
                field_name: old.item.field_name.as_deref(),
                value: &old.item.value,
            };
            (shape, old.pending)
        })
        .collect();
    let new: Vec<Shape<'_>> = new
        .iter()
        .map(|new| Shape {
            item_type: new.item_type.as_str(),
            field_name: new.field_name,
            value: &new.value,
        })
        .collect();
    plan(&old, &new)
}

fn changes(plan: &Plan, old: &[Reviewed], new: &[Extracted]) -> Vec<Change> {
    let change = |what: What, was: Option<&Reviewed>, is: Option<&Extracted>| Change {
        what,
        old: was.map(|was| was.item.id),
        new: is.map(|_| Uuid::new_v4()),
        item_type: was
            .map(|was| was.item.item_type.clone())
            .or_else(|| is.map(|is| is.item_type.as_str().to_owned()))
            .unwrap_or_default(),
        field_name: was
            .map(|was| was.item.field_name.clone())
            .or_else(|| is.map(|is| is.field_name.map(str::to_owned)))
            .flatten(),
        length_before: was.map(|was| was.item.value.chars().count()),
        length_now: is.map(|is| is.value.chars().count()),
    };
    let changed = plan
        .changed
        .iter()
        .map(|(was, is)| change(What::Changed, old.get(*was), new.get(*is)));
    let removed = plan
        .removed
        .iter()
        .map(|was| change(What::Removed, old.get(*was), None));
    let added = plan
        .added
        .iter()
        .map(|is| change(What::Added, None, new.get(*is)));
    changed.chain(removed).chain(added).collect()
}

/// The items that come: those of `changed`, then those of `added`, as in [`changes`].
fn new_items(plan: &Plan, changes: &[Change], found: &[Extracted]) -> Vec<NewItem> {
    let places = plan.changed.iter().map(|(_, is)| is).chain(&plan.added);
    let ids = changes.iter().filter_map(|change| change.new);
    ids.zip(places.filter_map(|place| found.get(*place)))
        .map(|(id, item)| NewItem {
            id,
            item_type: item.item_type,
            field_name: item.field_name.map(str::to_owned),
            value: item.value.clone(),
        })
        .collect()
}
