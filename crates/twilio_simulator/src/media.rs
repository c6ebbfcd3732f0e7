//! The files of inbound messages. The API asks for credentials and redirects to the file, which is
//! served without credentials.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Response, header},
    routing::get,
};
use futures_util::stream;
use serde_json::{Value, json};

use crate::{
    context::{ApiContext, SharedContext},
    ids::now,
    responses,
    samples::{self, SampleFile},
};

/// The path of the files, on the same listener. Twilio's files are on another host.
const FILES: &str = "/simulated/media";

/// The routes below the account's path.
pub(crate) fn account_routes() -> Router<SharedContext> {
    Router::new()
        .route("/Messages/{message}/Media.json", get(list))
        .route(
            "/Messages/{message}/Media/{file}",
            get(locate).delete(delete),
        )
}

/// The route of the files.
pub(crate) fn file_routes() -> Router<SharedContext> {
    Router::new().route(&format!("{FILES}/{{sid}}"), get(file))
}

/// Returns the file's sample, unless a request deleted the file.
fn find(api: &SharedContext, sid: &str) -> Option<&'static SampleFile> {
    let deleted = api.state.read(|state| state.media.deleted.contains(sid));
    samples::by_sid(sid).filter(|_| !deleted)
}

/// Lists the files of a message.
async fn list(
    State(api): State<SharedContext>,
    Path((_, message)): Path<(String, String)>,
) -> Response<Body> {
    let files = api.state.update(|state| {
        state.requests.media_list += 1;
        let is_sent = state.message(&message).is_some_and(|sent| !sent.deleted);
        let received = state.received.get(&message).filter(|text| !text.deleted);
        let received = received.map(|text| text.media.clone());
        let files = received.or_else(|| is_sent.then(Vec::new))?;
        let deleted = &state.media.deleted;
        let kept = files.into_iter().filter(|(sid, _)| !deleted.contains(sid));
        Some(kept.collect::<Vec<_>>())
    });
    let Some(files) = files else {
        return responses::error(404, 20404);
    };
    let list: Vec<_> = files
        .iter()
        .map(|(sid, content_type)| description(&api, &message, sid, content_type))
        .collect();
    let account = &api.account.sid;
    let uri = format!("/2010-04-01/Accounts/{account}/Messages/{message}/Media.json");
    let uri = format!("{uri}?PageSize=50&Page=0");
    responses::json(
        200,
        &json!({
            "end": list.len().saturating_sub(1),
            "first_page_uri": uri,
            "media_list": list,
            "next_page_uri": null,
            "page": 0,
            "page_size": 50,
            "previous_page_uri": null,
            "start": 0,
            "uri": uri,
        }),
    )
}

/// The JSON of a file.
fn description(api: &ApiContext, message: &str, sid: &str, content_type: &str) -> Value {
    let account = api.account.sid.as_str();
    let date = now().to_rfc2822();
    json!({
        "account_sid": account,
        "content_type": content_type,
        "date_created": date,
        "date_updated": date,
        "parent_sid": message,
        "sid": sid,
        "uri": format!("/2010-04-01/Accounts/{account}/Messages/{message}/Media/{sid}.json"),
    })
}

/// Redirects to the file, or with `.json` describes it.
async fn locate(
    State(api): State<SharedContext>,
    Path((_, message, name)): Path<(String, String, String)>,
) -> Response<Body> {
    let early = api.state.update(|state| {
        state.requests.media += 1;
        state.media.is_early(&name)
    });
    let sid = name.strip_suffix(".json").unwrap_or(&name);
    let Some(sample) = find(&api, sid).filter(|_| !early) else {
        return responses::error(404, 20404);
    };
    if sid != name {
        let description = description(&api, &message, sid, sample.content_type);
        return responses::json(200, &description);
    }
    let mut answer = responses::text(307, "text/plain", String::new());
    let location = format!("http://{}{FILES}/{sid}", api.addr);
    if let Ok(location) = HeaderValue::try_from(location) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

/// Returns the file itself. It refuses credentials, which a client must not send to another host.
async fn file(
    State(api): State<SharedContext>,
    Path(sid): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    if headers.contains_key(header::AUTHORIZATION) {
        return responses::text(400, "text/plain", "this host takes no credentials\n".into());
    }
    let Some(sample) = find(&api, &sid) else {
        return responses::text(404, "text/plain", "there is no such file\n".into());
    };
    let bytes = sample.bytes();
    let body = if sample.has_content_length() {
        Body::from(bytes)
    } else {
        chunked(bytes)
    };
    let mut answer = Response::new(body);
    let content_type = HeaderValue::from_static(sample.content_type);
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    answer
}

fn chunked(bytes: Bytes) -> Body {
    const CHUNK: usize = 16 * 1024;
    let starts = (0..bytes.len()).step_by(CHUNK);
    let chunks = starts.map(move |start| {
        let end = bytes.len().min(start + CHUNK);
        Ok::<_, std::convert::Infallible>(bytes.slice(start..end))
    });
    Body::from_stream(stream::iter(chunks))
}

async fn delete(
    State(api): State<SharedContext>,
    Path((_, _, name)): Path<(String, String, String)>,
) -> Response<Body> {
    let sid = name.strip_suffix(".json").unwrap_or(&name);
    let exists = samples::by_sid(sid).is_some();
    let deleted = api
        .state
        .update(|state| exists && state.media.deleted.insert(sid.to_owned()));
    if !deleted {
        return responses::error(404, 20404);
    }
    responses::no_content()
}
