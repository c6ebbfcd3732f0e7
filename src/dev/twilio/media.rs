//! The files of messages: the API says where each is, to who has its credentials; there, nobody is asked for any.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    routing::get,
};
use futures_util::stream;
use serde_json::json;

use super::{
    answers,
    api::Shared,
    ledger::now,
    samples::{self, Sample},
};

/// Where the files are, on the same listener. Twilio's are on another host.
const FILES: &str = "/simulated/media";

/// Part of an account's routes.
pub(super) fn of_account() -> Router<Shared> {
    Router::new().route(
        "/Messages/{message}/Media/{file}",
        get(locate).delete(delete),
    )
}

/// Outside of any account.
pub(super) fn files() -> Router<Shared> {
    Router::new().route(&format!("{FILES}/{{sid}}"), get(file))
}

/// The file's sample, while the file is there.
fn find(api: &Shared, sid: &str) -> Option<&'static Sample> {
    let deleted = api.ledger.look(|state| state.media.deleted.contains(sid));
    samples::of(sid).filter(|_| !deleted)
}

/// Sends to the file, or with `.json` tells of it.
async fn locate(
    State(api): State<Shared>,
    Path((_, message, name)): Path<(String, String, String)>,
) -> Response<Body> {
    let early = api.ledger.change(|state| {
        state.requests.media += 1;
        state.media.is_early(&name)
    });
    let sid = name.strip_suffix(".json").unwrap_or(&name);
    let Some(sample) = find(&api, sid).filter(|_| !early) else {
        return answers::error(404, 20404);
    };
    if sid != name {
        let account = api.account.sid.as_str();
        let date = now().to_rfc2822();
        return answers::json(
            200,
            &json!({
                "account_sid": account,
                "content_type": sample.content_type,
                "date_created": date,
                "date_updated": date,
                "parent_sid": message,
                "sid": sid,
                "uri": format!("/2010-04-01/Accounts/{account}/Messages/{message}/Media/{name}"),
            }),
        );
    }
    let mut answer = answers::text(307, "text/plain", String::new());
    let location = format!("http://{}{FILES}/{sid}", api.addr);
    if let Ok(location) = HeaderValue::try_from(location) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

/// The file itself. Whoever comes with credentials has sent them where they do not belong.
async fn file(
    State(api): State<Shared>,
    Path(sid): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    if headers.contains_key(header::AUTHORIZATION) {
        return answers::text(400, "text/plain", "no credentials are wanted here\n".into());
    }
    let Some(sample) = find(&api, &sid) else {
        return answers::text(404, "text/plain", "there is no such file\n".into());
    };
    let bytes = sample.bytes();
    let body = if sample.announces_its_length() {
        Body::from(bytes)
    } else {
        in_pieces(bytes)
    };
    let mut answer = Response::new(body);
    let content_type = HeaderValue::from_static(sample.content_type);
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    answer
}

fn in_pieces(bytes: Bytes) -> Body {
    const PIECE: usize = 16 * 1024;
    let starts = (0..bytes.len()).step_by(PIECE);
    let pieces = starts.map(move |start| {
        let end = bytes.len().min(start + PIECE);
        Ok::<_, std::convert::Infallible>(bytes.slice(start..end))
    });
    Body::from_stream(stream::iter(pieces))
}

async fn delete(
    State(api): State<Shared>,
    Path((_, _, name)): Path<(String, String, String)>,
) -> Response<Body> {
    let sid = name.strip_suffix(".json").unwrap_or(&name);
    let there = samples::of(sid).is_some();
    let deleted = api
        .ledger
        .change(|state| there && state.media.deleted.insert(sid.to_owned()));
    if !deleted {
        return answers::error(404, 20404);
    }
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}
