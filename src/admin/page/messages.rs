//! The pages about messages: counts by state, a list, and the steps of one message. They show no
//! sender and no text.

use std::time::Duration;

use axum::extract::{RawQuery, State};
use maud::{Markup, html};
use queue::admin;
use store::inbound_messages::{
    MessageState,
    message_history::{self, COUNTED, MessageCounts, MessageFilter, MessageHistory},
};
use twilio::MessageSid;

use super::{
    error::{PageError, PageResult},
    fields::FormFields,
    layout::{self, ago, cell, link, list, maybe, table},
    state::PageState,
};
use crate::presentation::{
    messages::{self as message_texts, message_details},
    text::{duration, one_line},
};

/// The most messages on a page.
const LIMIT: u16 = 100;

/// The list reaches back this far, as that of `pigeonhole messages list` does.
const DAY: Duration = Duration::from_hours(24);

pub(super) async fn messages(State(deps): PageState, query: RawQuery) -> PageResult {
    let fields = FormFields::of_query(query);
    let mut conn = deps.pool.acquire().await?;
    let mut tx = admin::begin(&mut conn).await?;
    if let Some(sid) = fields.get("sid") {
        let sid: MessageSid = sid.parse().map_err(|_| {
            PageError::Form("A message's SID is SM or MM and 32 hexadecimal digits.")
        })?;
        let message = message_texts::load(&mut tx, &sid).await?;
        let message =
            message.ok_or_else(|| PageError::NotFound(message_texts::no_such_message(&sid)))?;
        let lines = message_details(&message).into_iter();
        let lines: Vec<_> = lines
            .map(|(name, value)| (name, one_line(&value)))
            .collect();
        let content = list(&lines);
        return Ok(layout::page("Message", None, Some(message.at), &content));
    }
    let state = fields.get("state");
    let of = state.and_then(|state| MessageState::parse(state).ok());
    if state.is_some() && of.is_none() {
        return Err(PageError::NotFound("There is no such state.".to_owned()));
    }
    let filter = MessageFilter {
        state: of,
        since: Some(DAY),
        limit: LIMIT,
        ..MessageFilter::default()
    };
    let (at, listed) = message_history::list(&mut tx, &filter).await?;
    let counted = message_history::count_by_state(&mut tx).await?;
    let content = html! {
        (search())
        (states(&counted))
        @if let Some(state) = state {
            p { "Only the state " code { (state) } ". " a href="/messages" { "Show all" } }
        }
        @if listed.is_empty() { p { "None." } } @else { section { (table_of(&listed, at)) } }
    };
    Ok(layout::page("Messages", None, Some(at), &content))
}

/// A form that finds a message by its SID.
pub(super) fn search() -> Markup {
    html! {
        form action="/messages" {
            label { "Find a message " input name="sid" required placeholder="by its SID: SM… or MM…"; }
            button { "Show" }
        }
    }
}

/// The count of messages in each state.
pub(super) fn states(counted: &MessageCounts) -> Markup {
    html! {
        @if counted.states.is_empty() {
            p { "No message came in within the last day." }
        } @else {
            ul.counts {
                @for (state, count) in &counted.states {
                    li { a href=(link("/messages", &[("state", state)])) { (state) } " " strong { (count) } }
                }
            }
        }
        @if counted.partial { p { "These are the newest " (COUNTED) " messages. There were more." } }
    }
}

fn table_of(messages: &[MessageHistory], now: chrono::DateTime<chrono::Utc>) -> Markup {
    let row = |message: &MessageHistory| {
        let took = message
            .finished_at
            .map(|at| duration(at - message.received_at));
        let reply = message.reply.as_ref().map(message_texts::reply);
        let sid = &message.message_sid;
        vec![
            html! { a href=(link("/messages", &[("sid", sid)])) { code { (sid) } } },
            ago(message.received_at, now),
            cell(message_texts::state(message)),
            maybe(took),
            maybe(message.items),
            maybe(reply),
        ]
    };
    let headings = ["Message", "Received", "State", "Took", "Items", "Reply"];
    let rows: Vec<_> = messages.iter().map(row).collect();
    table("The newest messages of the last day", &headings, &rows)
}
