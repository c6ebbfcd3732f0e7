//! Sending a message: is the request one that Twilio would take, and what is it to get?

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::Response,
};
use twilio::form;
use url::Url;

use super::{
    answers,
    api::{Inner, Shared},
    behaviour::{Answer, Behaviour},
    callbacks, hex,
    ledger::{AcceptedMessage, now},
    server,
};

/// Of a request's body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Of a message's body, in characters.
const MAX_TEXT: usize = 1600;

/// Sends from any account, as in Twilio's test credentials.
const MAGIC_SENDER: &str = "+15005550006";

/// As Twilio would, goes on when the client has left.
pub(super) async fn create(State(api): State<Shared>, request: Request) -> Response<Body> {
    let stop = api.stop.clone();
    let work = tokio::spawn(async move {
        tokio::select! {
            answer = answer(api, request) => answer,
            () = stop.cancelled() => answers::cut(),
        }
    });
    work.await.unwrap_or_else(|_| answers::error(500, 20500))
}

async fn answer(api: Shared, request: Request) -> Response<Body> {
    api.ledger.change(|state| state.requests.create += 1);
    let Ok(body) = to_bytes(request.into_body(), MAX_BODY).await else {
        return answers::error(400, 20001);
    };
    let Ok(fields) = form::parse(&body, 200) else {
        return answers::error(400, 20001);
    };
    let message = match check(&api, &fields) {
        Ok(message) => message,
        Err(code) => return answers::error(400, code),
    };
    let behaviour = api.ledger.asked_to_send(&message.to);
    match behaviour.answer {
        Answer::Refuse { status, code } => answers::error(status, code),
        Answer::BadCredentials => server::unauthorized(),
        Answer::Throttle { times, retry_after } if times > 0 => {
            let mut answer = answers::error(429, 20429);
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert("retry-after", seconds.into());
            }
            answer
        }
        Answer::Accept | Answer::Throttle { .. } => accept(&api, message, &behaviour).await,
        Answer::ServerError { accept: taken } => {
            if taken {
                accept(&api, message, &behaviour).await;
            }
            answers::error(500, 20500)
        }
        Answer::Slow {
            before_accepting,
            after,
        } => {
            tokio::time::sleep(Duration::from_millis(before_accepting)).await;
            let answer = accept(&api, message, &behaviour).await;
            tokio::time::sleep(Duration::from_millis(after)).await;
            answer
        }
        Answer::CutBefore => answers::cut(),
        Answer::CutAfter => {
            accept(&api, message, &behaviour).await;
            answers::cut()
        }
        Answer::Garbage => {
            accept(&api, message, &behaviour).await;
            answers::text(201, "text/html", "<html>Created</html>".to_owned())
        }
        Answer::Never => std::future::pending().await,
    }
}

async fn accept(api: &Shared, message: AcceptedMessage, behaviour: &Behaviour) -> Response<Body> {
    let answer = answers::json(201, &answers::message(&api.account.sid, &message));
    api.ledger.accept(message.clone());
    let telling = callbacks::tell(Arc::clone(api), message, behaviour.callbacks.clone());
    if behaviour.callbacks.before_answer() {
        telling.await;
    } else {
        tokio::spawn(telling);
    }
    answer
}

/// The message that is asked for, or the code of what is wrong with it.
fn check(api: &Inner, fields: &[(String, String)]) -> Result<AcceptedMessage, u32> {
    let field = |name: &str| {
        let found = fields.iter().find(|(n, _)| n == name);
        found
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    };
    let to = field("To").ok_or(21604_u32)?;
    if !is_number(&to) {
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
        sid: format!("SM{}", hex()),
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

/// E.164, roughly.
pub(super) fn is_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (8..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

fn check_service(sid: &str) -> Result<(), u32> {
    let known = sid
        .strip_prefix("MG")
        .is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    if known { Ok(()) } else { Err(21701) }
}

/// Our own number may send, and Twilio's magic numbers do what they are for.
fn check_sender(from: &str, own: &str) -> Result<(), u32> {
    match from {
        _ if from == own => Ok(()),
        MAGIC_SENDER => Ok(()),
        "+15005550008" => Err(21611),
        _ if !is_number(from) || from == "+15005550001" => Err(21212),
        _ => Err(21606),
    }
}

/// Twilio takes no host with an underscore in it.
fn is_callback(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        let host = url.host_str().unwrap_or_default();
        matches!(url.scheme(), "http" | "https") && !host.is_empty() && !host.contains('_')
    })
}
