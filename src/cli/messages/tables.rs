//! The texts that the `messages` commands print.

use chrono::{DateTime, Utc};
use store::inbound_messages::message_history::MessageHistory;

use crate::{
    cli::output::TextTable,
    presentation::{
        messages::{MessageDetails, message_details, reply, state},
        text::{duration, one_line, relative},
    },
};

pub(super) fn list(messages: &[MessageHistory], now: DateTime<Utc>) -> String {
    if messages.is_empty() {
        return "No message matches.".to_owned();
    }
    let mut table = TextTable::new(&[
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

pub(super) fn show(details: &MessageDetails) -> String {
    let line = |(name, value): &(&str, String)| format!("{name:<12} {}\n", one_line(value));
    message_details(details).iter().map(line).collect()
}
