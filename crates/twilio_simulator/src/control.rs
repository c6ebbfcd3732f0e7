//! Routes that the real Twilio does not have: they set how numbers behave and what goes wrong, list
//! what was sent, and have the simulated Twilio take a text from a person.
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
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use twilio::form;

use crate::{
    behaviour::Behaviour,
    conditions::ApiConditions,
    console_settings::ConsoleSettings,
    context::SharedContext,
    ids::{is_phone_number, now},
    inbound_text::{InboundText, parameter},
    received::WebhookResult,
    responses,
    webhook_sender::WebhookSender,
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
        .route("/simulated/texts", get(list_texts).post(take_text))
        .route(
            "/simulated/conditions",
            get(show_conditions).put(set_conditions),
        )
        .route("/simulated/console", get(show_console).put(set_console))
}

async fn show_conditions(State(api): State<SharedContext>) -> Response<Body> {
    let conditions = api.state.read(|state| json!(state.conditions));
    responses::json(200, &conditions)
}

async fn set_conditions(State(api): State<SharedContext>, request: Request) -> Response<Body> {
    match read_json::<ApiConditions>(request).await {
        Ok(conditions) => {
            api.state.update(|state| state.conditions = conditions);
            responses::no_content()
        }
        Err(error) => bad_request(&format!("not conditions: {error}")),
    }
}

/// A text from a person.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextRequest {
    from: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    media: Vec<String>,
    #[serde(default)]
    fields: Vec<(String, String)>,
    /// Whether nothing is posted to the receiver.
    #[serde(default)]
    lost: bool,
}

/// Takes a text and, unless it is to be lost, delivers its webhook to the connected receiver.
async fn take_text(State(api): State<SharedContext>, request: Request) -> Response<Body> {
    let request = match read_json::<TextRequest>(request).await {
        Ok(request) => request,
        Err(error) => return bad_request(&format!("not a text: {error}")),
    };
    let text = InboundText {
        from: request.from,
        body: request.body,
        media: request.media,
        fields: request.fields,
    };
    let parameters = text.parameters(&api.account, &api.base_url());
    let sid = parameter(&parameters, "MessageSid").to_owned();
    let receiver = api.state.read(|state| state.receiver.clone());
    let receiver = receiver.filter(|_| !request.lost);
    api.state.update(|state| {
        let conditions = &state.conditions;
        state.received.take(&parameters, now(), conditions);
        if receiver.is_none() {
            let lost = WebhookResult::Failed { error_code: 11200 };
            state.received.end_webhook(&sid, 0, lost, conditions);
        }
    });
    if let Some(receiver) = receiver {
        let sender = WebhookSender::of_api(api.clone(), &receiver);
        let (sid, stop) = (sid.clone(), api.stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                sent = sender.deliver_taken(sid, &parameters) => drop(sent),
                () = stop.cancelled() => {}
            }
        });
    }
    responses::json(201, &json!({ "sid": sid }))
}

/// Lists all texts that were taken, oldest first.
async fn list_texts(State(api): State<SharedContext>) -> Response<Body> {
    let texts = api
        .state
        .read(|state| json!(state.received.all().collect::<Vec<_>>()));
    responses::json(200, &texts)
}

async fn read_json<T: DeserializeOwned>(request: Request) -> Result<T, String> {
    let body = to_bytes(request.into_body(), MAX_BODY).await;
    let body = body.map_err(|_| "the body is too long".to_owned())?;
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

async fn show_console(State(api): State<SharedContext>) -> Response<Body> {
    let console = api.state.read(|state| json!(state.console));
    responses::json(200, &console)
}

async fn set_console(State(api): State<SharedContext>, request: Request) -> Response<Body> {
    match read_json::<ConsoleSettings>(request).await {
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
    match read_json::<Behaviour>(request).await {
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
