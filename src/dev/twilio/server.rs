//! The simulated API's HTTP: who may come in, which operation it is, and connections that end without an answer.

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
    http::{HeaderValue, Response, header},
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

use super::{answers, api::Shared, console, control, create, hex, media, read};

/// How long to wait before accepting again when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The connection is to end without an answer, as was asked for.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct CutError;

/// Serves until `stop`, and then lets nothing finish: nobody is to be kept waiting by [`super::Answer::Never`].
///
/// Not [`crate::http::serve`], which always answers.
pub(super) async fn run(listener: TcpListener, api: Shared, stop: CancellationToken) {
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
            let (in_flight, concurrent) = InFlight::enter(&in_flight);
            let answer = service.call(request);
            async move {
                let answer: Result<_, Infallible> = answer.await;
                drop(in_flight);
                let Ok(answer) = answer;
                // hyper ends the connection of a service that fails.
                match answer.extensions().get() {
                    Some(answers::Cut) => Err(CutError),
                    None => Ok(signed_off(answer, concurrent, started.elapsed())),
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

/// Counts a request for as long as it is there, however it ends.
struct InFlight(Arc<AtomicU64>);

impl InFlight {
    /// With how many there are now.
    fn enter(count: &Arc<AtomicU64>) -> (Self, u64) {
        let now = count.fetch_add(1, Ordering::Relaxed) + 1;
        (Self(Arc::clone(count)), now)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The headers that all of Twilio's answers have.
fn signed_off(mut answer: Response<Body>, concurrent: u64, took: Duration) -> Response<Body> {
    let id = format!("RQ{}", hex());
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

fn router(api: Shared) -> Router {
    let messaging = console::messaging()
        .method_not_allowed_fallback(async || answers::error(405, 20004))
        .route_layer(middleware::from_fn_with_state(api.clone(), admit));
    let account = Router::new()
        .route("/", get(console::account))
        .route("/Messages.json", get(read::list).post(create::create))
        .route("/Messages/{file}", get(read::fetch).delete(read::delete))
        .merge(media::of_account())
        .merge(console::of_account())
        .fallback(async || answers::error(404, 20404))
        .method_not_allowed_fallback(async || answers::error(405, 20004))
        .layer(middleware::from_fn_with_state(api.clone(), admit));
    Router::new()
        .nest("/2010-04-01/Accounts/{account}", account)
        .merge(messaging)
        .merge(control::router())
        .merge(media::files())
        .fallback(async || answers::error(404, 20404))
        .with_state(api)
}

/// Lets in who knows the account's credentials and asks for that account, or for what belongs to no other.
async fn admit(
    State(api): State<Shared>,
    Path(path): Path<Vec<(String, String)>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    if !authorization.is_some_and(|value| api.account.lets_in(value)) {
        api.ledger.change(|state| state.requests.unauthorized += 1);
        return unauthorized();
    }
    let ours = api.account.sid.as_str();
    // The account itself is a file, too.
    let itself = request.uri().path() == "/";
    let others = path.iter().any(|(name, value)| {
        let sid = if itself {
            value.strip_suffix(".json")
        } else {
            Some(value.as_str())
        };
        name == "account" && sid != Some(ours)
    });
    if others {
        return answers::error(404, 20404);
    }
    next.run(request).await
}

pub(super) fn unauthorized() -> Response<Body> {
    let mut answer = answers::error(401, 20003);
    let realm = HeaderValue::from_static("Basic realm=\"Twilio API\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    answer
}
