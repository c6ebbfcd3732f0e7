//! The operation that sends a message: checks the request as Twilio does, then answers as
//! configured.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::Response,
};
use twilio::form;
use url::Url;

use crate::{
    account::MAGIC_NUMBER,
    behaviour::{Behaviour, SendAnswer},
    callbacks,
    context::{ApiContext, SharedContext},
    ids::{is_phone_number, now, random_hex},
    responses,
    send_state::AcceptedMessage,
};

/// The longest request body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// The longest text, in characters.
const MAX_TEXT: usize = 1600;

/// Sends a message. As at Twilio, the work goes on if the client disconnects.
pub(crate) async fn create(State(api): State<SharedContext>, request: Request) -> Response<Body> {
    let stop = api.stop.clone();
    let work = tokio::spawn(async move {
        tokio::select! {
            answer = answer(api, request) => answer,
            () = stop.cancelled() => responses::drop_connection(),
        }
    });
    work.await.unwrap_or_else(|_| responses::error(500, 20500))
}

async fn answer(api: SharedContext, request: Request) -> Response<Body> {
    api.state.update(|state| state.requests.create += 1);
    let Ok(body) = to_bytes(request.into_body(), MAX_BODY).await else {
        return responses::error(400, 20001);
    };
    let Ok(fields) = form::parse(&body, 200) else {
        return responses::error(400, 20001);
    };
    let message = match check(&api, &fields) {
        Ok(message) => message,
        Err(code) => return responses::error(400, code),
    };
    let behaviour = api.state.count_post(&message.to);
    match behaviour.answer {
        SendAnswer::Refuse { status, code } => responses::error(status, code),
        SendAnswer::BadCredentials => responses::unauthorized(),
        SendAnswer::Throttle { times, retry_after } if times > 0 => {
            responses::throttled(retry_after)
        }
        SendAnswer::Accept | SendAnswer::Throttle { .. } => accept(&api, message, &behaviour).await,
        SendAnswer::ServerError { accept: accepted } => {
            if accepted {
                accept(&api, message, &behaviour).await;
            }
            responses::error(500, 20500)
        }
        SendAnswer::Slow {
            before_accepting,
            after,
        } => {
            tokio::time::sleep(Duration::from_millis(before_accepting)).await;
            let answer = accept(&api, message, &behaviour).await;
            tokio::time::sleep(Duration::from_millis(after)).await;
            answer
        }
        SendAnswer::CutBefore => responses::drop_connection(),
        SendAnswer::CutAfter => {
            accept(&api, message, &behaviour).await;
            responses::drop_connection()
        }
        SendAnswer::Garbage => {
            accept(&api, message, &behaviour).await;
            responses::text(201, "text/html", "<html>Created</html>".to_owned())
        }
        SendAnswer::Never => std::future::pending().await,
    }
}

async fn accept(
    api: &SharedContext,
    message: AcceptedMessage,
    behaviour: &Behaviour,
) -> Response<Body> {
    let answer = responses::json(201, &responses::message(&api.account.sid, &message));
    api.state.accept(message.clone());
    let reporting =
        callbacks::report_statuses(Arc::clone(api), message, behaviour.callbacks.clone());
    if behaviour.callbacks.before_answer() {
        reporting.await;
    } else {
        tokio::spawn(reporting);
    }
    answer
}

/// Returns the requested message, or the error code if Twilio would refuse it.
fn check(api: &ApiContext, fields: &[(String, String)]) -> Result<AcceptedMessage, u32> {
    let field = |name: &str| {
        let found = fields.iter().find(|(n, _)| n == name);
        found
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    };
    let to = field("To").ok_or(21604_u32)?;
    if !is_phone_number(&to) {
        return Err(21211);
    }
    let (from, messaging_service) = (field("From"), field("MessagingServiceSid"));
    match (from.as_deref(), messaging_service.as_deref()) {
        (None, None) => return Err(21603),
        (_, Some(service)) => check_service(service)?,
        (Some(from), None) => check_sender(from, &api.account.number)?,
    }
    let body = field("Body").ok_or(21602_u32)?;
    if body.chars().count() > MAX_TEXT {
        return Err(21617);
    }
    let status_callback = field("StatusCallback");
    if status_callback
        .as_deref()
        .is_some_and(|url| !is_callback(url))
    {
        return Err(21609);
    }
    let validity = match field("ValidityPeriod").map(|text| text.parse()) {
        None => None,
        Some(Ok(seconds @ 1..=36_000)) => Some(seconds),
        Some(_) => return Err(20001),
    };
    let status = if messaging_service.is_some() {
        "accepted"
    } else {
        "queued"
    };
    Ok(AcceptedMessage {
        sid: format!("SM{}", random_hex()),
        to,
        from: from.filter(|_| messaging_service.is_none()),
        messaging_service,
        body,
        status_callback,
        validity,
        status: status.to_owned(),
        error_code: None,
        at: now(),
        sent: None,
        deleted: false,
    })
}

fn check_service(sid: &str) -> Result<(), u32> {
    let known = sid
        .strip_prefix("MG")
        .is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    if known { Ok(()) } else { Err(21701) }
}

/// The account's number and the magic number may send; other magic numbers have their own errors.
fn check_sender(from: &str, own: &str) -> Result<(), u32> {
    match from {
        _ if from == own => Ok(()),
        MAGIC_NUMBER => Ok(()),
        "+15005550008" => Err(21611),
        _ if !is_phone_number(from) || from == "+15005550001" => Err(21212),
        _ => Err(21606),
    }
}

/// Whether Twilio accepts the URL for callbacks. It refuses hosts with an underscore.
fn is_callback(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        let host = url.host_str().unwrap_or_default();
        matches!(url.scheme(), "http" | "https") && !host.is_empty() && !host.contains('_')
    })
}
