//! Messages: how many came how far, which ones, and what became of one. Never who sent it, nor what it says.

use std::time::Duration;

use axum::extract::{RawQuery, State};
use maud::{Markup, html};
use queue::admin;
use store::inbound_messages::{
    MessageState,
    ledger::{self, COUNTED, Entry, Filter, States},
};
use twilio::MessageSid;

use super::{
    Answer, Fields, PageError, Shared, answer,
    layout::{ago, cell, frame, link, list, maybe, table},
};
use crate::cli::{
    messages::{self as ledger_of, report},
    output::{duration, plain},
};

/// The most messages on a page.
const LIMIT: u16 = 100;

/// Messages of this time are listed, as by `pigeonhole messages list`.
const DAY: Duration = Duration::from_hours(24);

pub(super) async fn messages(State(page): Shared, query: RawQuery) -> Answer {
    let fields = Fields::of(query);
    let mut conn = page.pool.acquire().await?;
    let mut tx = admin::begin(&mut conn).await?;
    if let Some(sid) = fields.get("sid") {
        let sid: MessageSid = sid.parse().map_err(|_| {
            PageError::Form("A message's SID is SM or MM and 32 hexadecimal digits.")
        })?;
        let shown = ledger_of::find(&mut tx, &sid).await?;
        let shown = shown.ok_or_else(|| PageError::NotFound(ledger_of::no_such_message(&sid)))?;
        let lines = report::lines(&shown).into_iter();
        let lines: Vec<_> = lines.map(|(name, value)| (name, plain(&value))).collect();
        let content = list(&lines);
        return Ok(answer(frame("Message", None, Some(shown.at), &content)));
    }
    let state = fields.get("state");
    let of = state.and_then(|state| MessageState::parse(state).ok());
    if state.is_some() && of.is_none() {
        return Err(PageError::NotFound("There is no such state.".to_owned()));
    }
    let filter = Filter {
        state: of,
        since: Some(DAY),
        limit: LIMIT,
        ..Filter::default()
    };
    let (at, listed) = ledger::look(&mut tx, &filter).await?;
    let counted = ledger::states(&mut tx).await?;
    let content = html! {
        (search())
        (states(&counted))
        @if let Some(state) = state {
            p { "Those that are " code { (state) } ". " a href="/messages" { "Show all" } }
        }
        @if listed.is_empty() { p { "None." } } @else { section { (table_of(&listed, at)) } }
    };
    Ok(answer(frame("Messages", None, Some(at), &content)))
}

/// A field for a SID.
pub(super) fn search() -> Markup {
    html! {
        form action="/messages" {
            label { "What became of a message? " input name="sid" required placeholder="its SID: SM… or MM…"; }
            button { "Show" }
        }
    }
}

/// How many messages came how far.
pub(super) fn states(counted: &States) -> Markup {
    html! {
        @if counted.states.is_empty() {
            p { "No message came in within a day." }
        } @else {
            ul.counts {
                @for (state, count) in &counted.states {
                    li { a href=(link("/messages", &[("state", state)])) { (state) } " " strong { (count) } }
                }
            }
        }
        @if counted.partial { p { "Of the newest " (COUNTED) " only: there were more." } }
    }
}

fn table_of(messages: &[Entry], now: chrono::DateTime<chrono::Utc>) -> Markup {
    let row = |message: &Entry| {
        let took = message
            .finished_at
            .map(|at| duration(at - message.received_at));
        let reply = message.reply.as_ref().map(report::reply);
        let sid = &message.message_sid;
        vec![
            html! { a href=(link("/messages", &[("sid", sid)])) { code { (sid) } } },
            ago(message.received_at, now),
            cell(report::state(message)),
            maybe(took),
            maybe(message.items),
            maybe(reply),
        ]
    };
    let headings = ["Message", "Received", "State", "Took", "Items", "Reply"];
    let rows: Vec<_> = messages.iter().map(row).collect();
    table("The newest messages of the last day", &headings, &rows)
}
