//! Routes that the real Twilio does not have: they set how numbers behave, and list what was sent.
//!
//! They ask for no credentials and show verification codes, so the simulator must listen on
//! loopback only.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, RawQuery, Request, State},
    http::Response,
    routing::{get, put},
};
use serde_json::json;
use twilio::form;

use crate::{
    behaviour::Behaviour, console_settings::ConsoleSettings, context::SharedContext,
    ids::is_phone_number, responses,
};

/// The longest request body, in bytes.
const MAX_BODY: usize = 16 * 1024;

pub(crate) fn routes() -> Router<SharedContext> {
    let number = put(set_behaviour)
        .get(show_behaviour)
        .delete(reset_behaviour);
    Router::new()
        .route("/simulated/numbers/{number}", number)
        .route("/simulated/messages", get(list_messages))
        .route("/simulated/console", get(show_console).put(set_console))
}

async fn show_console(State(api): State<SharedContext>) -> Response<Body> {
    let console = api.state.read(|state| json!(state.console));
    responses::json(200, &console)
}

async fn set_console(State(api): State<SharedContext>, request: Request) -> Response<Body> {
    let Ok(body) = to_bytes(request.into_body(), MAX_BODY).await else {
        return bad_request("the body is too long");
    };
    match serde_json::from_slice::<ConsoleSettings>(&body) {
        Ok(console) => {
            api.state.update(|state| state.console = console);
            responses::no_content()
        }
        Err(error) => bad_request(&format!("not a console: {error}")),
    }
}

async fn set_behaviour(
    State(api): State<SharedContext>,
    Path(number): Path<String>,
    request: Request,
) -> Response<Body> {
    if !is_phone_number(&number) {
        return bad_request("the number must be in E.164: + and digits");
    }
    let Ok(body) = to_bytes(request.into_body(), MAX_BODY).await else {
        return bad_request("the body is too long");
    };
    match serde_json::from_slice::<Behaviour>(&body) {
        Ok(behaviour) => {
            api.state.behave(&number, Some(behaviour));
            responses::no_content()
        }
        Err(error) => bad_request(&format!("not a behaviour: {error}")),
    }
}

async fn show_behaviour(
    State(api): State<SharedContext>,
    Path(number): Path<String>,
) -> Response<Body> {
    let behaviour = api.state.read(|state| state.behaviour(&number));
    responses::json(200, &json!(behaviour))
}

async fn reset_behaviour(
    State(api): State<SharedContext>,
    Path(number): Path<String>,
) -> Response<Body> {
    api.state.behave(&number, None);
    responses::no_content()
}

/// Lists all accepted messages, or with `?to=` those to one number.
async fn list_messages(
    State(api): State<SharedContext>,
    RawQuery(query): RawQuery,
) -> Response<Body> {
    let query = form::parse(query.unwrap_or_default().as_bytes(), 20).unwrap_or_default();
    let to = query
        .iter()
        .find(|(name, _)| name == "to")
        .map(|(_, number)| number);
    let messages = api.state.read(|state| match to {
        // An unescaped `+` decodes to a space.
        Some(number) => json!(state.to(&number.replace(' ', "+")).collect::<Vec<_>>()),
        None => json!(state.messages),
    });
    responses::json(200, &messages)
}

fn bad_request(reason: &str) -> Response<Body> {
    responses::text(400, "text/plain", format!("{reason}\n"))
}
