//! The operations that list, show, redact and delete messages, of both directions.

use std::iter;

use axum::{
    body::{Body, to_bytes},
    extract::{Path, RawQuery, Request, State},
    http::Response,
};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use serde_json::{Value, json};
use twilio::{AccountSid, form};

use crate::{
    context::SharedContext,
    ids::now,
    inbound_text::parameter,
    paging::PageQuery,
    received::ReceivedText,
    responses,
    send_state::{AcceptedMessage, DeleteResult, SimulatorState},
};

/// The longest request body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// A message of the list.
#[derive(Clone, Copy)]
enum ListedMessage<'a> {
    Sent(&'a AcceptedMessage),
    Received(&'a ReceivedText),
}

impl<'a> ListedMessage<'a> {
    fn sid(self) -> &'a str {
        match self {
            Self::Sent(message) => &message.sid,
            Self::Received(text) => &text.sid,
        }
    }

    fn to(self) -> &'a str {
        match self {
            Self::Sent(message) => &message.to,
            Self::Received(text) => text.parameter("To"),
        }
    }

    fn from(self) -> Option<&'a str> {
        match self {
            Self::Sent(message) => message.from.as_deref(),
            Self::Received(text) => Some(text.parameter("From")),
        }
    }

    /// A message that was not sent has no date.
    fn sent(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Sent(message) => message.sent,
            Self::Received(text) => Some(text.at),
        }
    }

    fn is_listed(self, now: DateTime<Utc>) -> bool {
        match self {
            Self::Sent(message) => !message.deleted,
            Self::Received(text) => !text.deleted && text.listed_from <= now,
        }
    }

    fn json(self, account: &AccountSid) -> Value {
        match self {
            Self::Sent(message) => responses::message(account, message),
            Self::Received(text) => responses::received(account, text),
        }
    }
}

/// All messages, newest first; those to one number without a look at each of the others.
fn newest_first<'a>(
    state: &'a SimulatorState,
    to: Option<&str>,
) -> impl Iterator<Item = ListedMessage<'a>> {
    let (of_number, all) = match to {
        Some(number) => (Some(state.to(number)), None),
        None => (None, Some(state.messages.iter())),
    };
    let sent = of_number.into_iter().flatten().rev();
    let mut sent = sent.chain(all.into_iter().flatten().rev()).peekable();
    let is_recipient = to.is_none_or(|number| state.received.is_recipient(number));
    let received = is_recipient.then(|| state.received.newest_first());
    let mut received = received.into_iter().flatten().peekable();
    iter::from_fn(move || match (sent.peek(), received.peek()) {
        (Some(message), Some(text)) if message.at >= text.at => {
            sent.next().map(ListedMessage::Sent)
        }
        (_, Some(_)) => received.next().map(ListedMessage::Received),
        (_, None) => sent.next().map(ListedMessage::Sent),
    })
}

/// The filter of a list request.
#[derive(Debug, Default)]
struct MessageFilter {
    to: Option<String>,
    from: Option<String>,
    /// Messages sent at or after this time.
    sent_from: Option<DateTime<Utc>>,
    /// Messages sent before this time.
    sent_before: Option<DateTime<Utc>>,
}

impl MessageFilter {
    fn read(filter: &[(String, String)]) -> Option<Self> {
        let mut wanted = Self::default();
        for (name, value) in filter {
            match name.as_str() {
                "To" => wanted.to = Some(value.clone()),
                "From" => wanted.from = Some(value.clone()),
                "DateSent>" => wanted.sent_from = Some(time(value)?.0),
                "DateSent<" => wanted.sent_before = Some(time(value)?.1),
                "DateSent" => {
                    let (start, end) = time(value)?;
                    (wanted.sent_from, wanted.sent_before) = (Some(start), Some(end));
                }
                _ => {}
            }
        }
        Some(wanted)
    }

    fn matches(&self, message: ListedMessage<'_>, now: DateTime<Utc>) -> bool {
        let same =
            |wanted: &Option<String>, is: Option<&str>| wanted.is_none() || wanted.as_deref() == is;
        let sent = message.sent();
        message.is_listed(now)
            && same(&self.to, Some(message.to()))
            && same(&self.from, message.from())
            && self
                .sent_from
                .is_none_or(|from| sent.is_some_and(|at| at >= from))
            && self
                .sent_before
                .is_none_or(|end| sent.is_some_and(|at| at < end))
    }
}

/// Parses a day or a moment into its start and its end.
fn time(text: &str) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some((moment.to_utc(), moment.to_utc()));
    }
    let day: NaiveDate = text.parse().ok()?;
    let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    Some((midnight(day), midnight(day.checked_add_days(Days::new(1))?)))
}

/// Lists messages, newest first, one page at a time.
pub(crate) async fn list(
    State(api): State<SharedContext>,
    RawQuery(query): RawQuery,
) -> Response<Body> {
    api.state.update(|state| state.requests.list += 1);
    let Some(wanted) = PageQuery::parse(query.as_deref()) else {
        return responses::error(400, 20001);
    };
    let Some(filter) = MessageFilter::read(&wanted.filter) else {
        return responses::error(400, 20001);
    };
    let (now, account) = (now(), &api.account.sid);
    let (messages, last) = api.state.read(|state| {
        let all = newest_first(state, filter.to.as_deref()).map(|message| (message.sid(), message));
        let (page, last) = wanted.take(all, |message| filter.matches(*message, now));
        let page: Vec<_> = page.into_iter().map(|m| m.json(account)).collect();
        (page, last)
    });
    let path = format!("/2010-04-01/Accounts/{account}/Messages.json");
    let uri = |page: usize, after: Option<&str>| {
        let query = wanted.query(page, after);
        format!("{path}?{query}")
    };
    let start = wanted.page * wanted.size;
    let body = json!({
        "end": start + messages.len().saturating_sub(1),
        "first_page_uri": uri(0, None),
        "messages": messages,
        "next_page_uri": last.map(|sid| uri(wanted.page + 1, Some(&sid))),
        "page": wanted.page,
        "page_size": wanted.size,
        "previous_page_uri": null,
        "start": start,
        "uri": uri(wanted.page, wanted.after.as_deref()),
    });
    responses::json(200, &body)
}

pub(crate) async fn fetch(
    State(api): State<SharedContext>,
    Path((_, file)): Path<(String, String)>,
) -> Response<Body> {
    api.state.update(|state| state.requests.fetch += 1);
    let sid = file.strip_suffix(".json").unwrap_or(&file);
    let found = api.state.read(|state| {
        let sent = state.message(sid).map(ListedMessage::Sent);
        let message = sent.or_else(|| state.received.get(sid).map(ListedMessage::Received))?;
        message
            .is_listed(now())
            .then(|| message.json(&api.account.sid))
    });
    match found {
        Some(message) => responses::json(200, &message),
        None => responses::error(404, 20404),
    }
}

/// Removes the text of a message: Twilio allows no other change.
pub(crate) async fn redact(
    State(api): State<SharedContext>,
    Path((_, file)): Path<(String, String)>,
    request: Request,
) -> Response<Body> {
    api.state.update(|state| state.requests.redact += 1);
    let body = to_bytes(request.into_body(), MAX_BODY).await;
    let fields = body.ok().and_then(|body| form::parse(&body, 200).ok());
    let empties_it = |fields: Vec<(String, String)>| {
        fields.iter().any(|(name, _)| name == "Body") && parameter(&fields, "Body").is_empty()
    };
    if !fields.is_some_and(empties_it) {
        return responses::error(400, 20001);
    }
    let sid = file.strip_suffix(".json").unwrap_or(&file).to_owned();
    if !api.state.redact(&sid) {
        return responses::error(404, 20404);
    }
    fetch(State(api), Path((String::new(), sid))).await
}

pub(crate) async fn delete(
    State(api): State<SharedContext>,
    Path((_, file)): Path<(String, String)>,
) -> Response<Body> {
    api.state.update(|state| state.requests.delete += 1);
    let sid = file.strip_suffix(".json").unwrap_or(&file);
    match api.state.delete(sid) {
        DeleteResult::Deleted => responses::no_content(),
        DeleteResult::InProgress => responses::error(409, 20009),
        DeleteResult::NotFound => responses::error(404, 20404),
    }
}
