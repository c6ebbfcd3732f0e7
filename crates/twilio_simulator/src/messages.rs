//! The operations that list, show and delete messages.

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::Response,
};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use serde_json::json;
use twilio::form;
use url::form_urlencoded;

use crate::{
    context::SharedContext,
    responses,
    send_state::{AcceptedMessage, DeleteResult},
};

/// Twilio's page size if the query has no `PageSize`.
const PAGE_SIZE: usize = 50;

/// Twilio's largest page size.
const MAX_PAGE_SIZE: usize = 1000;

/// The query of a list request.
#[derive(Debug, Default)]
struct MessageListQuery {
    to: Option<String>,
    from: Option<String>,
    /// Messages sent at or after this time.
    sent_from: Option<DateTime<Utc>>,
    /// Messages sent before this time.
    sent_before: Option<DateTime<Utc>>,
    page_size: usize,
    page: usize,
    /// The last message of the page before. It marks the place even if new messages arrive.
    after: Option<String>,
}

impl MessageListQuery {
    fn read(query: &[(String, String)]) -> Option<Self> {
        let mut wanted = Self {
            page_size: PAGE_SIZE,
            ..Self::default()
        };
        for (name, value) in query {
            match name.as_str() {
                "To" => wanted.to = Some(value.clone()),
                "From" => wanted.from = Some(value.clone()),
                "DateSent>" => wanted.sent_from = Some(time(value)?.0),
                "DateSent<" => wanted.sent_before = Some(time(value)?.1),
                "DateSent" => {
                    let (start, end) = time(value)?;
                    (wanted.sent_from, wanted.sent_before) = (Some(start), Some(end));
                }
                "PageSize" => wanted.page_size = value.parse().ok()?,
                "Page" => wanted.page = value.parse().ok()?,
                "PageToken" => wanted.after = Some(value.strip_prefix("PA")?.to_owned()),
                _ => {}
            }
        }
        wanted.page_size = wanted.page_size.clamp(1, MAX_PAGE_SIZE);
        Some(wanted)
    }

    /// Whether the message matches. A message that was not sent matches no date.
    fn matches(&self, message: &AcceptedMessage) -> bool {
        let same =
            |wanted: &Option<String>, is: Option<&str>| wanted.is_none() || wanted.as_deref() == is;
        !message.deleted
            && same(&self.to, Some(&message.to))
            && same(&self.from, message.from.as_deref())
            && self
                .sent_from
                .is_none_or(|from| message.sent.is_some_and(|at| at >= from))
            && self
                .sent_before
                .is_none_or(|end| message.sent.is_some_and(|at| at < end))
    }

    /// The messages of the page, newest first, and the first one of the next page.
    fn page(&self, messages: &[AcceptedMessage]) -> Vec<AcceptedMessage> {
        let end = self
            .after
            .as_ref()
            .and_then(|sid| messages.iter().position(|m| m.sid == *sid));
        let older = &messages[..end.unwrap_or(messages.len())];
        let wanted = older.iter().rev().filter(|message| self.matches(message));
        wanted.take(self.page_size + 1).cloned().collect()
    }

    /// The query of another page of the same list.
    fn query(&self, given: &[(String, String)], page: usize, after: Option<&str>) -> String {
        let is_paging = |name: &str| matches!(name, "Page" | "PageSize" | "PageToken");
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .extend_pairs(given.iter().filter(|(name, _)| !is_paging(name)))
            .append_pair("PageSize", &self.page_size.to_string())
            .append_pair("Page", &page.to_string());
        if let Some(sid) = after {
            query.append_pair("PageToken", &format!("PA{sid}"));
        }
        query.finish()
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
    let Ok(query) = form::parse(query.unwrap_or_default().as_bytes(), 200) else {
        return responses::error(400, 20001);
    };
    let Some(wanted) = MessageListQuery::read(&query) else {
        return responses::error(400, 20001);
    };
    let mut page = api.state.read(|state| wanted.page(&state.messages));
    let more = page.len() > wanted.page_size;
    page.truncate(wanted.page_size);

    let path = format!("/2010-04-01/Accounts/{}/Messages.json", api.account.sid);
    let uri = |page: usize, after: Option<&str>| {
        let query = wanted.query(&query, page, after);
        format!("{path}?{query}")
    };
    let start = wanted.page * wanted.page_size;
    let last = page.last().filter(|_| more).map(|m| m.sid.as_str());
    let messages = page.iter().map(|m| responses::message(&api.account.sid, m));
    let body = json!({
        "end": start + page.len().saturating_sub(1),
        "first_page_uri": uri(0, None),
        "messages": messages.collect::<Vec<_>>(),
        "next_page_uri": last.map(|sid| uri(wanted.page + 1, Some(sid))),
        "page": wanted.page,
        "page_size": wanted.page_size,
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
        let message = state.message(sid).filter(|message| !message.deleted)?;
        Some(responses::message(&api.account.sid, message))
    });
    match found {
        Some(message) => responses::json(200, &message),
        None => responses::error(404, 20404),
    }
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
