//! What became of a message, as text. No text shows a sender or the contents of a message.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use store::{
    StoreError, enrichment_items,
    inbound_messages::message_history::{self, MessageFilter, MessageHistory, ReplyHistory},
    media::{self, Media},
};
use twilio::MessageSid;
use uuid::Uuid;

use super::text::{relative, time};

/// A message with its files and the review of its items, as they were at one time.
#[derive(Serialize)]
pub(crate) struct MessageDetails {
    pub(crate) at: DateTime<Utc>,
    #[serde(flatten)]
    message: MessageHistory,
    media: Vec<MessageFile>,
    review: Option<ItemReview>,
}

/// A file that came with the message.
#[derive(Debug, Serialize)]
struct MessageFile {
    position: u8,
    /// The state of the file, or why it is not kept.
    state: &'static str,
    content_type: Option<String>,
    bytes: Option<u64>,
    begun_at: DateTime<Utc>,
    stored_at: Option<DateTime<Utc>>,
    erased_at: Option<DateTime<Utc>>,
    deleted_at_twilio: Option<DateTime<Utc>>,
}

impl From<Media> for MessageFile {
    fn from(media: Media) -> Self {
        Self {
            position: media.position,
            state: media.state.label(),
            content_type: media.content_type,
            bytes: media.bytes,
            begun_at: media.created_at,
            stored_at: media.stored_at,
            erased_at: media.erased_at,
            deleted_at_twilio: media.deleted_at_twilio,
        }
    }
}

/// How many of the message's items the user has accepted or rejected.
#[derive(Debug, Default, Serialize)]
struct ItemReview {
    pending: usize,
    accepted: usize,
    rejected: usize,
}

/// The error text for a message that does not exist.
pub(crate) fn no_such_message(sid: &MessageSid) -> String {
    format!("there is no message {sid}: it never reached the receiver, or its user was deleted")
}

/// Reads a message and all that belongs to it.
pub(crate) async fn load(
    conn: &mut PgConnection,
    sid: &MessageSid,
) -> Result<Option<MessageDetails>, StoreError> {
    let filter = MessageFilter {
        message_sid: Some(sid.to_string()),
        limit: 1,
        ..MessageFilter::default()
    };
    let (at, messages) = message_history::list(conn, &filter).await?;
    let Some(message) = messages.into_iter().next() else {
        return Ok(None);
    };
    let review = match (message.user_id, message.items) {
        (Some(user), Some(1..)) => Some(review(conn, sid, user).await?),
        (Some(_) | None, Some(_) | None) => None,
    };
    let files = media::of_message(conn, sid.as_str()).await?;
    Ok(Some(MessageDetails {
        at,
        message,
        media: files.into_iter().map(MessageFile::from).collect(),
        review,
    }))
}

async fn review(
    conn: &mut PgConnection,
    sid: &MessageSid,
    user: Uuid,
) -> Result<ItemReview, StoreError> {
    let items = enrichment_items::of_message_and_user(conn, sid.as_str(), user).await?;
    let count =
        |of: fn(&enrichment_items::ReviewedItem) -> bool| items.iter().filter(|i| of(i)).count();
    Ok(ItemReview {
        pending: count(|item| item.pending),
        accepted: count(|item| item.accepted),
        rejected: count(|item| !item.pending && !item.accepted),
    })
}

/// The state of a message, with the reason if it failed.
pub(crate) fn state(message: &MessageHistory) -> String {
    match &message.reason {
        Some(reason) => format!("{}: {reason}", message.state),
        None => message.state.clone(),
    }
}

/// The kind and the state of a reply.
pub(crate) fn reply(reply: &ReplyHistory) -> String {
    let Some(state) = &reply.state else {
        return "deleted by retention".to_owned();
    };
    let kind = reply.kind.as_deref().unwrap_or("-");
    let reason = reply.reason.as_ref();
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let code = reply.error_code;
    let code = code.map_or_else(String::new, |code| format!(" (Twilio's code {code})"));
    format!("{kind}, {state}{reason}{code}")
}

/// The steps of a message in their order, as pairs of name and value.
pub(crate) fn message_details(details: &MessageDetails) -> Vec<(&'static str, String)> {
    let MessageDetails {
        at: now,
        message,
        media,
        review,
    } = details;
    let at = |at: DateTime<Utc>| time(at, *now);
    let finished = message.finished_at;
    let not_yet = |time: Option<DateTime<Utc>>| match (time, finished) {
        (Some(time), _) => at(time),
        (None, Some(_)) => "-".to_owned(),
        (None, None) => "not yet".to_owned(),
    };
    let mut lines = vec![
        ("message", message.message_sid.clone()),
        ("state", state(message)),
        ("source", source(message, *now)),
        ("received", at(message.received_at)),
        ("opened", not_yet(message.opened_at)),
        ("rate limit", rate_limit(message, *now)),
    ];
    lines.extend(media.iter().map(|media| ("media", file(media, *now))));
    if media.is_empty() {
        lines.push(("media", none_or_not_yet(message)));
    }
    let extraction = match (&message.extracted_by, finished) {
        (Some(by), Some(_)) => format!("by {by}"),
        (Some(_) | None, None) => "not yet".to_owned(),
        (None, Some(_)) => "none".to_owned(),
    };
    let items = match message.items {
        Some(items) => format!("{items} found{}", reviewed(review.as_ref())),
        None => none_or_not_yet(message),
    };
    let replied = match &message.reply {
        Some(it) => {
            let since = it.updated_at.map(|at| relative(at, *now));
            let since = since.map_or_else(String::new, |since| format!(", {since}"));
            format!("{}{since}  [send {}]", reply(it), it.send)
        }
        None => none_or_not_yet(message),
    };
    lines.extend([
        ("extraction", extraction),
        ("items", items),
        ("finished", not_yet(finished)),
        ("reply", replied),
    ]);
    let user = message.user_id.map(|user| user.to_string());
    lines.push(("user", user.unwrap_or_else(|| "none".to_owned())));
    lines.extend(message.replayed_at.map(|time| ("replayed", at(time))));
    let text = if message.erased { "erased" } else { "sealed" };
    lines.push(("text", text.to_owned()));
    lines
}

/// How the message came, and when it was sent if no webhook brought it.
fn source(message: &MessageHistory, now: DateTime<Utc>) -> String {
    match message.sent_at {
        Some(sent) => format!("{}, sent {}", message.source, time(sent, now)),
        None => message.source.clone(),
    }
}

/// For a step that left nothing behind.
fn none_or_not_yet(message: &MessageHistory) -> String {
    let finished = message.finished_at.is_some();
    if finished { "none" } else { "not yet" }.to_owned()
}

/// Whether the user's rate limit delayed or rejected the message.
fn rate_limit(message: &MessageHistory, now: DateTime<Utc>) -> String {
    // A reservation delays the message if it begins after a worker first opened the message.
    let is_delayed = |start: DateTime<Utc>| message.opened_at.is_some_and(|at| start > at);
    match message.reserved_for {
        Some(start) if is_delayed(start) && start > now => {
            format!("delayed until {}", time(start, now))
        }
        Some(start) if is_delayed(start) => format!("was delayed until {}", time(start, now)),
        Some(_) => "not delayed".to_owned(),
        None if message.state == "rate_limited" => "rejected".to_owned(),
        None if message.finished_at.is_some() => "not counted".to_owned(),
        None => "not yet".to_owned(),
    }
}

fn file(media: &MessageFile, now: DateTime<Utc>) -> String {
    let content_type = media.content_type.as_deref().unwrap_or("a file");
    let bytes = media.bytes;
    let bytes = bytes.map_or_else(String::new, |bytes| format!(", {bytes} bytes"));
    let since = media.erased_at.or(media.stored_at);
    let since = relative(since.unwrap_or(media.begun_at), now);
    let deleted = media.deleted_at_twilio;
    let deleted = deleted.map_or_else(String::new, |at| {
        format!("; deleted at Twilio {}", relative(at, now))
    });
    format!(
        "{}: {content_type}{bytes}, {} {since}{deleted}",
        media.position, media.state
    )
}

fn reviewed(review: Option<&ItemReview>) -> String {
    review.map_or_else(String::new, |review| {
        format!(
            "; now {} pending, {} accepted, {} rejected",
            review.pending, review.accepted, review.rejected
        )
    })
}
