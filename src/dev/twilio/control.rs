//! What Twilio does not have: how numbers behave, and what was sent, for people and scripts.
//!
//! It asks for no credentials and shows codes in clear, so the simulated Twilio is to listen on loopback only.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, RawQuery, Request, State},
    http::{Response, StatusCode},
    routing::{get, put},
};
use serde_json::json;
use twilio::form;

use super::{answers, api::Shared, behaviour::Behaviour, console::Console, create::is_number};

/// Of a behaviour as JSON, in bytes.
const MAX_BODY: usize = 16 * 1024;

pub(super) fn router() -> Router<Shared> {
    let number = put(behave).get(behaviour).delete(forget);
    Router::new()
        .route("/simulated/numbers/{number}", number)
        .route("/simulated/messages", get(messages))
        .route("/simulated/console", get(console).put(set_console))
}

async fn console(State(api): State<Shared>) -> Response<Body> {
    let console = api.ledger.look(|state| json!(state.console));
    answers::json(200, &console)
}

async fn set_console(State(api): State<Shared>, request: Request) -> Response<Body> {
    let Ok(body) = to_bytes(request.into_body(), MAX_BODY).await else {
        return refusal("the body is too long");
    };
    match serde_json::from_slice::<Console>(&body) {
        Ok(console) => {
            api.ledger.change(|state| state.console = console);
            done()
        }
        Err(error) => refusal(&format!("no console: {error}")),
    }
}

async fn behave(
    State(api): State<Shared>,
    Path(number): Path<String>,
    request: Request,
) -> Response<Body> {
    if !is_number(&number) {
        return refusal("the number must be in E.164: + and digits");
    }
    let Ok(body) = to_bytes(request.into_body(), MAX_BODY).await else {
        return refusal("the body is too long");
    };
    match serde_json::from_slice::<Behaviour>(&body) {
        Ok(behaviour) => {
            api.ledger.behave(&number, Some(behaviour));
            done()
        }
        Err(error) => refusal(&format!("no behaviour: {error}")),
    }
}

async fn behaviour(State(api): State<Shared>, Path(number): Path<String>) -> Response<Body> {
    let behaviour = api.ledger.look(|state| state.behaviour(&number));
    answers::json(200, &json!(behaviour))
}

async fn forget(State(api): State<Shared>, Path(number): Path<String>) -> Response<Body> {
    api.ledger.behave(&number, None);
    done()
}

/// Every message that was taken; with `?to=`, those to one number.
async fn messages(State(api): State<Shared>, RawQuery(query): RawQuery) -> Response<Body> {
    let query = form::parse(query.unwrap_or_default().as_bytes(), 20).unwrap_or_default();
    let to = query
        .iter()
        .find(|(name, _)| name == "to")
        .map(|(_, number)| number);
    let messages = api.ledger.look(|state| match to {
        // Whoever writes `+` into a URL means a plus.
        Some(number) => json!(state.to(&number.replace(' ', "+")).collect::<Vec<_>>()),
        None => json!(state.messages),
    });
    answers::json(200, &messages)
}

fn done() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

fn refusal(why: &str) -> Response<Body> {
    answers::text(400, "text/plain", format!("{why}\n"))
}
