//! The HTTP server of the simulated API: it checks credentials, routes requests, and can close a
//! connection without an answer.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderValue, Method, Response, header},
    middleware::{self, Next},
    routing::get,
};
use hyper::{body::Incoming, server::conn::http1, service::Service, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    alerts, conditions::ReadAnswer, console, console_lists, context::SharedContext, control,
    ids::random_hex, media, messages, responses, send_message,
};

/// The pause after a failed `accept`, which fails when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A handler asked to close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on purpose")]
struct DroppedConnection;

/// Serves until `stop`, which closes all connections at once: [`crate::SendAnswer::Never`] would
/// otherwise keep the server running.
pub(crate) async fn run(listener: TcpListener, api: SharedContext, stop: CancellationToken) {
    let service = TowerToHyperService::new(router(api));
    let in_flight = Arc::new(AtomicU64::new(0));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new());
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = stop.cancelled() => return,
        };
        let (service, in_flight) = (service.clone(), Arc::clone(&in_flight));
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            let started = Instant::now();
            let (in_flight, concurrent) = InFlightRequest::enter(&in_flight);
            let answer = service.call(request);
            async move {
                let answer: Result<_, Infallible> = answer.await;
                drop(in_flight);
                let Ok(answer) = answer;
                // hyper closes the connection if the service returns an error.
                match answer.extensions().get() {
                    Some(responses::DropConnection) => Err(DroppedConnection),
                    None => Ok(with_twilio_headers(answer, concurrent, started.elapsed())),
                }
            }
        });
        let connection = http.serve_connection(TokioIo::new(stream), answer);
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection to the simulated Twilio ended early");
                },
                () = stop.cancelled() => {}
            }
        });
    }
}

/// Counts a request until it is dropped.
struct InFlightRequest(Arc<AtomicU64>);

impl InFlightRequest {
    /// Also returns the number of requests in flight.
    fn enter(count: &Arc<AtomicU64>) -> (Self, u64) {
        let now = count.fetch_add(1, Ordering::Relaxed) + 1;
        (Self(Arc::clone(count)), now)
    }
}

impl Drop for InFlightRequest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Adds the headers that all of Twilio's answers have.
fn with_twilio_headers(
    mut answer: Response<Body>,
    concurrent: u64,
    took: Duration,
) -> Response<Body> {
    let id = format!("RQ{}", random_hex());
    let took = format!("{:.3}", took.as_secs_f64());
    for (name, value) in [
        ("twilio-request-id", HeaderValue::try_from(id)),
        ("twilio-request-duration", HeaderValue::try_from(took)),
        ("twilio-concurrent-requests", Ok(concurrent.into())),
    ] {
        if let Ok(value) = value {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

fn router(api: SharedContext) -> Router {
    let other_hosts = console::messaging_routes()
        .merge(console_lists::messaging_routes())
        .merge(alerts::routes())
        .method_not_allowed_fallback(async || responses::error(405, 20004))
        .route_layer(middleware::from_fn_with_state(api.clone(), admit));
    let account = Router::new()
        .route("/", get(console::account))
        .route(
            "/Messages.json",
            get(messages::list).post(send_message::create),
        )
        .route(
            "/Messages/{file}",
            get(messages::fetch)
                .post(messages::redact)
                .delete(messages::delete),
        )
        .merge(media::account_routes())
        .merge(console::account_routes())
        .merge(console_lists::account_routes())
        .fallback(async || responses::error(404, 20404))
        .method_not_allowed_fallback(async || responses::error(405, 20004))
        .layer(middleware::from_fn_with_state(api.clone(), admit));
    Router::new()
        .nest("/2010-04-01/Accounts/{account}", account)
        .merge(other_hosts)
        .merge(control::routes())
        .merge(media::file_routes())
        .fallback(async || responses::error(404, 20404))
        .with_state(api)
}

/// Passes requests on that have the account's credentials and do not name another account.
async fn admit(
    State(api): State<SharedContext>,
    Path(path): Path<Vec<(String, String)>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    if !authorization.is_some_and(|value| api.account.accepts_credentials(value)) {
        api.state.update(|state| state.requests.unauthorized += 1);
        return responses::unauthorized();
    }
    let ours = api.account.sid.as_str();
    // The account's own path ends in `.json`.
    let is_account_path = request.uri().path() == "/";
    let names_another = path.iter().any(|(name, value)| {
        let sid = if is_account_path {
            value.strip_suffix(".json")
        } else {
            Some(value.as_str())
        };
        name == "account" && sid != Some(ours)
    });
    if names_another {
        return responses::error(404, 20404);
    }
    let is_read = request.method() == Method::GET && !request.uri().path().contains("/Media/");
    if is_read && let Some(failure) = failed_read(&api).await {
        return failure;
    }
    next.run(request).await
}

/// The failure of a request that reads, if the conditions ask for one.
async fn failed_read(api: &SharedContext) -> Option<Response<Body>> {
    let answer = api.state.update(|state| state.conditions.reads.next());
    Some(match answer {
        ReadAnswer::Normal => return None,
        ReadAnswer::Slow { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            return None;
        }
        ReadAnswer::Throttle { retry_after, .. } => responses::throttled(retry_after),
        ReadAnswer::ServerError { .. } => responses::error(500, 20500),
        ReadAnswer::Cut { .. } => responses::drop_connection(),
        ReadAnswer::Refuse { status, code } => responses::error(status, code),
        ReadAnswer::BadCredentials => responses::unauthorized(),
    })
}
