//! Replays a stored message for an operator: extracts its items again, with today's rules or model.
//!
//! Items that the user has accepted, rejected or applied stay as they are. A replay sends no reply
//! and counts in no limit.

mod plan;

use queue::Pool;
use serde::Serialize;
use sqlx::PgConnection;
use store::{
    E164, Keyring, StoreError,
    enrichment_items::{self, NewItem, ReviewedItem},
    inbound_messages::{self, MessageState},
    media, user_phone_numbers,
};
use twilio::{InboundWebhook, PayloadError};
use uuid::Uuid;

use self::plan::{ItemContent, ReplayPlan, plan};
use crate::{
    MediaStore, StepError,
    extract::{ExtractError, Extracted, Extraction, MessageContent, WithFallback},
    process_message::{attachments, finish::origin},
};

/// The result of a replay, or of a dry run. It holds nothing that the message says.
#[derive(Debug, Serialize)]
pub struct Replayed {
    /// The message.
    pub message_sid: String,
    /// The user who sent it.
    pub user_id: Uuid,
    /// What extracted the items: rules, or the name of a model.
    pub extracted_by: String,
    /// How many items the user has reviewed. They stay.
    pub reviewed: usize,
    /// How many pending items were extracted again, unchanged.
    pub unchanged: usize,
    /// The items that differ.
    pub changes: Vec<ItemChange>,
}

/// An item that differs from before.
#[derive(Debug, Serialize)]
pub struct ItemChange {
    /// How it differs.
    pub what: ItemChangeKind,
    /// The item that is removed.
    pub old: Option<Uuid>,
    /// The item that is added. It has a new id, so that no user accepts a value that they have not
    /// seen.
    pub new: Option<Uuid>,
    /// `field` or `tag`.
    pub item_type: String,
    /// The field's name.
    pub field_name: Option<String>,
    /// How many characters the old value has.
    pub length_before: Option<usize>,
    /// How many characters the new value has.
    pub length_now: Option<usize>,
}

/// How an item differs from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemChangeKind {
    /// The item is new.
    Added,
    /// The item has another value.
    Changed,
    /// The item was not extracted again.
    Removed,
}

/// Why a message cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No such message is stored.
    #[error("there is no such message")]
    NoSuchMessage,
    /// The text of the message has been erased.
    #[error("its text has been erased: MESSAGE_RETENTION_DAYS says how long messages are kept")]
    Erased,
    /// Its job has not ended.
    #[error("it has not been processed yet: its job will do that")]
    NotEnded,
    /// The message is STOP, START or HELP.
    #[error("it is a keyword, from which nothing is extracted")]
    Keyword,
    /// No user had linked its number.
    #[error(
        "no user had linked its number when it arrived; a user who has linked the number since may send the message again"
    )]
    Unlinked,
    /// Its number has been unlinked since.
    #[error("its number is not its user's any more")]
    NotTheirs,
    /// The stored fields are not a message.
    #[error("the stored message cannot be read: {0}")]
    Unreadable(#[from] PayloadError),
    /// Its files could not be read.
    #[error(transparent)]
    Files(#[from] StepError),
    /// The extractor failed.
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

/// What replays work with.
#[derive(Debug, Clone, Copy)]
pub struct ReplayDeps<'a> {
    /// The database.
    pub pool: &'a Pool,
    /// The keys that open and seal personal data.
    pub keyring: &'a Keyring,
    /// Where the files of messages are.
    pub store: &'a MediaStore,
    /// Finds what a message says.
    pub extractor: &'a WithFallback,
}

/// Replays the message, with those of its files that are still stored. A `dry_run` rolls everything
/// back.
pub async fn replay(
    deps: ReplayDeps<'_>,
    message_sid: &str,
    dry_run: bool,
) -> Result<Replayed, ReplayError> {
    let ReplayDeps { pool, keyring, .. } = deps;
    let (webhook, number) = open(pool, keyring, message_sid).await?;
    // Outside the transaction, as a model may take long.
    let extraction = extract(deps, &webhook).await?;
    let (found, by) = (extraction.items, extraction.by.label());
    let mut tx = pool.begin().await?;
    let user_id = hold_user(&mut tx, keyring, message_sid, &number).await?;
    // This waits for a worker that processes the message.
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

/// Extracts the items again. There is no fallback, as the operator may try again.
async fn extract(
    deps: ReplayDeps<'_>,
    webhook: &InboundWebhook,
) -> Result<Extraction, ReplayError> {
    let files = {
        let mut conn = deps.pool.acquire().await?;
        media::of_message(&mut conn, webhook.message_sid().as_str()).await?
    };
    let files = attachments(deps.store, deps.keyring, &files)?;
    let content = MessageContent {
        text: webhook.body(),
        location: webhook.location(),
        media: &files,
    };
    Ok(deps.extractor.extract(&content, false).await?)
}

/// Reads the message, and the number that it came from.
async fn open(
    pool: &Pool,
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

/// The user who sent the message. Keeps the number linked to them until the end of the transaction.
async fn hold_user(
    conn: &mut PgConnection,
    keyring: &Keyring,
    message_sid: &str,
    number: &E164,
) -> Result<Uuid, ReplayError> {
    // If the number was not linked when the message arrived, its present user may be another
    // person.
    let user_id = inbound_messages::user_of(conn, message_sid)
        .await?
        .ok_or(ReplayError::Unlinked)?;
    if user_phone_numbers::hold_verified(conn, keyring, user_id, number).await? {
        Ok(user_id)
    } else {
        Err(ReplayError::NotTheirs)
    }
}

fn compare(old: &[ReviewedItem], new: &[Extracted]) -> ReplayPlan {
    let old: Vec<(ItemContent<'_>, bool)> = old
        .iter()
        .map(|old| {
            let shape = ItemContent {
                item_type: &old.item.item_type,
                field_name: old.item.field_name.as_deref(),
                value: &old.item.value,
            };
            (shape, old.pending)
        })
        .collect();
    let new: Vec<ItemContent<'_>> = new
        .iter()
        .map(|new| ItemContent {
            item_type: new.item_type.as_str(),
            field_name: new.field_name,
            value: &new.value,
        })
        .collect();
    plan(&old, &new)
}

fn changes(plan: &ReplayPlan, old: &[ReviewedItem], new: &[Extracted]) -> Vec<ItemChange> {
    let change =
        |what: ItemChangeKind, was: Option<&ReviewedItem>, is: Option<&Extracted>| ItemChange {
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
        .map(|(was, is)| change(ItemChangeKind::Changed, old.get(*was), new.get(*is)));
    let removed = plan
        .removed
        .iter()
        .map(|was| change(ItemChangeKind::Removed, old.get(*was), None));
    let added = plan
        .added
        .iter()
        .map(|is| change(ItemChangeKind::Added, None, new.get(*is)));
    changed.chain(removed).chain(added).collect()
}

/// The items to insert: those of `changed`, then those of `added`, in the order of [`changes`].
fn new_items(plan: &ReplayPlan, changes: &[ItemChange], found: &[Extracted]) -> Vec<NewItem> {
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
