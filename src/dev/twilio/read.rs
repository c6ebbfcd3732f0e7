//! The list of messages, single messages, and deleting them.

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::{Response, StatusCode},
};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use serde_json::json;
use twilio::form;
use url::form_urlencoded;

use super::{
    answers,
    api::Shared,
    ledger::{AcceptedMessage, Deleted},
};

/// Twilio's own, without `PageSize`.
const PAGE_SIZE: usize = 50;

/// Twilio's own.
const MAX_PAGE_SIZE: usize = 1000;

/// What of the list is asked for.
#[derive(Debug, Default)]
struct Filter {
    to: Option<String>,
    from: Option<String>,
    /// Sent at or after this.
    sent_from: Option<DateTime<Utc>>,
    /// Sent before this.
    sent_before: Option<DateTime<Utc>>,
    page_size: usize,
    page: usize,
    /// The last message of the page before, which keeps its place when new messages arrive.
    after: Option<String>,
}

impl Filter {
    fn read(query: &[(String, String)]) -> Option<Self> {
        let mut filter = Self {
            page_size: PAGE_SIZE,
            ..Self::default()
        };
        for (name, value) in query {
            match name.as_str() {
                "To" => filter.to = Some(value.clone()),
                "From" => filter.from = Some(value.clone()),
                "DateSent>" => filter.sent_from = Some(time(value)?.0),
                "DateSent<" => filter.sent_before = Some(time(value)?.1),
                "DateSent" => {
                    let (start, end) = time(value)?;
                    (filter.sent_from, filter.sent_before) = (Some(start), Some(end));
                }
                "PageSize" => filter.page_size = value.parse().ok()?,
                "Page" => filter.page = value.parse().ok()?,
                "PageToken" => filter.after = Some(value.strip_prefix("PA")?.to_owned()),
                _ => {}
            }
        }
        filter.page_size = filter.page_size.clamp(1, MAX_PAGE_SIZE);
        Some(filter)
    }

    /// What has not been sent yet has no date that could be asked for.
    fn lets_through(&self, message: &AcceptedMessage) -> bool {
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

    /// The page, newest first, and one message more if there are any.
    fn page(&self, messages: &[AcceptedMessage]) -> Vec<AcceptedMessage> {
        let end = self
            .after
            .as_ref()
            .and_then(|sid| messages.iter().position(|m| m.sid == *sid));
        let older = &messages[..end.unwrap_or(messages.len())];
        let wanted = older
            .iter()
            .rev()
            .filter(|message| self.lets_through(message));
        wanted.take(self.page_size + 1).cloned().collect()
    }

    /// The query of another page of the same list.
    fn query(&self, given: &[(String, String)], page: usize, after: Option<&str>) -> String {
        let about_pages = |name: &str| matches!(name, "Page" | "PageSize" | "PageToken");
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .extend_pairs(given.iter().filter(|(name, _)| !about_pages(name)))
            .append_pair("PageSize", &self.page_size.to_string())
            .append_pair("Page", &page.to_string());
        if let Some(sid) = after {
            query.append_pair("PageToken", &format!("PA{sid}"));
        }
        query.finish()
    }
}

/// A day or a moment: when it starts, and when it is over.
fn time(text: &str) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some((moment.to_utc(), moment.to_utc()));
    }
    let day: NaiveDate = text.parse().ok()?;
    let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    Some((midnight(day), midnight(day.checked_add_days(Days::new(1))?)))
}

/// Newest first, a page at a time.
pub(super) async fn list(State(api): State<Shared>, RawQuery(query): RawQuery) -> Response<Body> {
    api.ledger.change(|state| state.requests.list += 1);
    let Ok(query) = form::parse(query.unwrap_or_default().as_bytes(), 200) else {
        return answers::error(400, 20001);
    };
    let Some(filter) = Filter::read(&query) else {
        return answers::error(400, 20001);
    };
    let mut page = api.ledger.look(|state| filter.page(&state.messages));
    let more = page.len() > filter.page_size;
    page.truncate(filter.page_size);

    let path = format!("/2010-04-01/Accounts/{}/Messages.json", api.account.sid);
    let uri = |page: usize, after: Option<&str>| {
        let query = filter.query(&query, page, after);
        format!("{path}?{query}")
    };
    let start = filter.page * filter.page_size;
    let last = page.last().filter(|_| more).map(|m| m.sid.as_str());
    let messages = page.iter().map(|m| answers::message(&api.account.sid, m));
    let body = json!({
        "end": start + page.len().saturating_sub(1),
        "first_page_uri": uri(0, None),
        "messages": messages.collect::<Vec<_>>(),
        "next_page_uri": last.map(|sid| uri(filter.page + 1, Some(sid))),
        "page": filter.page,
        "page_size": filter.page_size,
        "previous_page_uri": null,
        "start": start,
        "uri": uri(filter.page, filter.after.as_deref()),
    });
    answers::json(200, &body)
}

pub(super) async fn fetch(
    State(api): State<Shared>,
    Path((_, file)): Path<(String, String)>,
) -> Response<Body> {
    api.ledger.change(|state| state.requests.fetch += 1);
    let sid = file.strip_suffix(".json").unwrap_or(&file);
    let found = api.ledger.look(|state| {
        let message = state.message(sid).filter(|message| !message.deleted)?;
        Some(answers::message(&api.account.sid, message))
    });
    match found {
        Some(message) => answers::json(200, &message),
        None => answers::error(404, 20404),
    }
}

pub(super) async fn delete(
    State(api): State<Shared>,
    Path((_, file)): Path<(String, String)>,
) -> Response<Body> {
    api.ledger.change(|state| state.requests.delete += 1);
    let sid = file.strip_suffix(".json").unwrap_or(&file);
    match api.ledger.delete(sid) {
        Deleted::Done => {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            answer
        }
        Deleted::StillOnItsWay => answers::error(409, 20009),
        Deleted::NotThere => answers::error(404, 20404),
    }
}
