//! What became of messages, as text.

use chrono::{DateTime, Utc};
use store::inbound_messages::ledger::{Entry, Reply};

use super::{File, Review, Shown};
use crate::cli::output::{Table, duration, plain, relative, time};

pub(super) fn list(messages: &[Entry], now: DateTime<Utc>) -> String {
    if messages.is_empty() {
        return "No such message here.".to_owned();
    }
    let mut table = Table::new(&[
        "MESSAGE",
        ">RECEIVED",
        "STATE",
        ">TOOK",
        ">ITEMS",
        "REPLY",
        "USER",
    ]);
    for message in messages {
        let took = message
            .finished_at
            .map(|at| duration(at - message.received_at));
        let items = message.items.map(|items| items.to_string());
        table.row([
            message.message_sid.clone(),
            relative(message.received_at, now),
            state(message),
            took.unwrap_or_else(dash),
            items.unwrap_or_else(dash),
            message.reply.as_ref().map_or_else(dash, reply),
            message.user_id.map_or_else(dash, |user| user.to_string()),
        ]);
    }
    table.text()
}

fn dash() -> String {
    "-".to_owned()
}

/// How far it has come, and why no further.
pub(crate) fn state(message: &Entry) -> String {
    match &message.reason {
        Some(reason) => format!("{}: {reason}", message.state),
        None => message.state.clone(),
    }
}

/// What became of the reply.
pub(crate) fn reply(reply: &Reply) -> String {
    let Some(state) = &reply.state else {
        return "forgotten".to_owned();
    };
    let kind = reply.kind.as_deref().unwrap_or("-");
    let reason = reply.reason.as_ref();
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let code = reply.error_code;
    let code = code.map_or_else(String::new, |code| format!(" (Twilio's code {code})"));
    format!("{kind}, {state}{reason}{code}")
}

pub(super) fn show(shown: &Shown) -> String {
    let line = |(name, value): &(&str, String)| format!("{name:<12} {}\n", plain(value));
    lines(shown).iter().map(line).collect()
}

/// Step by step, in the order in which they are made.
pub(crate) fn lines(shown: &Shown) -> Vec<(&'static str, String)> {
    let Shown {
        at: now,
        message,
        media,
        review,
    } = shown;
    let at = |at: DateTime<Utc>| time(at, *now);
    let ended = message.finished_at;
    let not_yet = |time: Option<DateTime<Utc>>| match (time, ended) {
        (Some(time), _) => at(time),
        (None, Some(_)) => "-".to_owned(),
        (None, None) => "not yet".to_owned(),
    };
    // A slot that begins after the message was first opened is one to wait for.
    let waits = |slot: DateTime<Utc>| message.claimed_at.is_some_and(|claimed| slot > claimed);
    let limited = match message.slot_at {
        Some(slot) if waits(slot) && slot > *now => format!("waits for its slot, {}", at(slot)),
        Some(slot) if waits(slot) => format!("waited for its slot, {}", at(slot)),
        Some(_) => "not held up".to_owned(),
        None if message.state == "rate_limited" => "refused".to_owned(),
        None if ended.is_some() => "not counted".to_owned(),
        None => "not yet".to_owned(),
    };
    let extraction = match (&message.extracted_by, ended) {
        (Some(by), Some(_)) => format!("by {by}"),
        (Some(_) | None, None) => "not yet".to_owned(),
        (None, Some(_)) => "none".to_owned(),
    };
    let items = match message.items {
        Some(items) => format!("{items} found{}", reviewed(review.as_ref())),
        None if ended.is_some() => "none".to_owned(),
        None => "not yet".to_owned(),
    };
    let replied = match &message.reply {
        Some(it) => {
            let since = it.updated_at.map(|at| relative(at, *now));
            let since = since.map_or_else(String::new, |since| format!(", {since}"));
            format!("{}{since}  [send {}]", reply(it), it.send)
        }
        None if ended.is_some() => "none".to_owned(),
        None => "not yet".to_owned(),
    };
    let mut lines = vec![
        ("message", message.message_sid.clone()),
        ("state", state(message)),
        ("received", at(message.received_at)),
        ("claimed", not_yet(message.claimed_at)),
        ("limited", limited),
    ];
    lines.extend(media.iter().map(|media| ("media", file(media, *now))));
    if media.is_empty() {
        let none = if ended.is_some() { "none" } else { "not yet" };
        lines.push(("media", none.to_owned()));
    }
    lines.extend([
        ("extraction", extraction),
        ("items", items),
        ("ended", not_yet(ended)),
        ("reply", replied),
    ]);
    let user = message.user_id.map(|user| user.to_string());
    lines.push(("user", user.unwrap_or_else(|| "nobody's".to_owned())));
    lines.extend(message.replayed_at.map(|time| ("replayed", at(time))));
    let text = if message.erased {
        "what it said has been erased"
    } else {
        "sealed"
    };
    lines.push(("text", text.to_owned()));
    lines
}

fn file(media: &File, now: DateTime<Utc>) -> String {
    let what = media.content_type.as_deref().unwrap_or("a file");
    let bytes = media.bytes;
    let bytes = bytes.map_or_else(String::new, |bytes| format!(", {bytes} bytes"));
    let since = media.erased_at.or(media.stored_at);
    let since = relative(since.unwrap_or(media.begun_at), now);
    let gone = media.deleted_at_twilio;
    let gone = gone.map_or_else(String::new, |at| {
        format!("; deleted at Twilio {}", relative(at, now))
    });
    format!(
        "{}: {what}{bytes}, {} {since}{gone}",
        media.position, media.state
    )
}

fn reviewed(review: Option<&Review>) -> String {
    review.map_or_else(String::new, |review| {
        format!(
            "; now {} pending, {} accepted, {} rejected",
            review.pending, review.accepted, review.rejected
        )
    })
}
