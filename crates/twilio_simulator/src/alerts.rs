//! Monitor's alerts: a webhook that failed makes one.

use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::Response,
    routing::get,
};
use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::{
    context::{ApiContext, SharedContext},
    ids::now,
    paging::PageQuery,
    received::MonitorAlert,
    responses,
};

/// The most alerts that Twilio lists.
const MAX_ALERTS: usize = 10_000;

/// The routes that Twilio has on `monitor.twilio.com`.
pub(crate) fn routes() -> Router<SharedContext> {
    Router::new()
        .route("/v1/Alerts", get(list))
        .route("/v1/Alerts/{sid}", get(fetch))
}

/// The filter of a list request.
#[derive(Default)]
struct AlertFilter {
    level: Option<String>,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
}

impl AlertFilter {
    fn read(filter: &[(String, String)]) -> Option<Self> {
        let mut wanted = Self::default();
        for (name, value) in filter {
            match name.as_str() {
                "LogLevel" => wanted.level = Some(value.clone()),
                "StartDate" => wanted.from = Some(time(value)?),
                "EndDate" => wanted.until = Some(time(value)?),
                _ => {}
            }
        }
        Some(wanted)
    }

    fn matches(&self, alert: &MonitorAlert, now: DateTime<Utc>) -> bool {
        // All alerts here are errors.
        self.level.as_deref().is_none_or(|level| level == "error")
            && alert.listed_from <= now
            && self.from.is_none_or(|from| alert.generated >= from)
            && self.until.is_none_or(|until| alert.generated <= until)
    }
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment.to_utc());
    }
    let day: NaiveDate = text.parse().ok()?;
    Some(day.and_time(NaiveTime::MIN).and_utc())
}

/// Lists alerts, newest first, without their requests.
async fn list(State(api): State<SharedContext>, RawQuery(query): RawQuery) -> Response<Body> {
    api.state.update(|state| state.requests.alerts += 1);
    let Some(wanted) = PageQuery::parse(query.as_deref()) else {
        return responses::error(400, 20001);
    };
    let Some(filter) = AlertFilter::read(&wanted.filter) else {
        return responses::error(400, 20001);
    };
    let now = now();
    let (alerts, last) = api.state.read(|state| {
        let alerts = state.received.alerts.iter().rev().take(MAX_ALERTS);
        let entries = alerts.map(|alert| (alert.sid.as_str(), alert));
        let (page, last) = wanted.take(entries, |alert| filter.matches(alert, now));
        let page: Vec<_> = page.into_iter().map(|alert| of(&api, alert)).collect();
        (page, last)
    });
    let url = |page: usize, after: Option<&str>| {
        let query = wanted.query(page, after);
        format!("{}/v1/Alerts?{query}", api.base_url())
    };
    let body = json!({
        "alerts": alerts,
        "meta": {
            "first_page_url": url(0, None),
            "key": "alerts",
            "next_page_url": last.map(|sid| url(wanted.page + 1, Some(&sid))),
            "page": wanted.page,
            "page_size": wanted.size,
            "previous_page_url": null,
            "url": url(wanted.page, wanted.after.as_deref()),
        },
    });
    responses::json(200, &body)
}

/// Returns an alert with the request that failed.
async fn fetch(State(api): State<SharedContext>, Path(sid): Path<String>) -> Response<Body> {
    let now = now();
    let found = api.state.update(|state| {
        state.requests.alert += 1;
        let mut alerts = state.received.alerts.iter();
        alerts
            .find(|alert| alert.sid == sid && alert.listed_from <= now)
            .cloned()
    });
    let Some(alert) = found else {
        return responses::error(404, 20404);
    };
    let variables = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&alert.parameters)
        .finish();
    let mut body = of(&api, &alert);
    body["request_variables"] = json!(variables);
    body["request_headers"] = Value::Null;
    body["response_body"] = json!("");
    body["response_headers"] = json!("");
    responses::json(200, &body)
}

/// The JSON of an alert in a list.
fn of(api: &ApiContext, alert: &MonitorAlert) -> Value {
    let date = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let code = alert.error_code.to_string();
    json!({
        "account_sid": api.account.sid.as_str(),
        "alert_text": format!("sourceComponent=14100&ErrorCode={code}&LogLevel=ERROR"),
        "api_version": "2010-04-01",
        "date_created": date(alert.listed_from),
        "date_generated": date(alert.generated),
        "date_updated": date(alert.listed_from),
        "error_code": code,
        "log_level": "error",
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "request_method": "POST",
        "request_url": api.account.webhook_url(),
        "resource_sid": alert.message_sid,
        "service_sid": null,
        "sid": alert.sid,
        "url": format!("{}/v1/Alerts/{}", api.base_url(), alert.sid),
    })
}
