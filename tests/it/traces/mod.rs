//! Traces: real processes export spans to a collector of the test.

mod away;
mod collector;
mod lines;
mod personal;

use std::net::SocketAddr;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use store::users;
use twilio_simulator::{InboundText, SimulatedApi};
use uuid::Uuid;

use self::collector::{ExportedSpan, TraceCollector};
use crate::{
    api::token_of,
    app::text,
    database::{Database, NUMBER},
    process::Process,
    webhook::client,
};

/// Receiver and worker as separate processes, and a simulated Twilio.
struct TraceHarness {
    database: Database,
    api: SimulatedApi,
    receiver: Process,
    worker: Process,
    addr: SocketAddr,
}

impl TraceHarness {
    /// Exports traces to this endpoint.
    async fn traced(endpoint: &str) -> Self {
        Self::start(|database| database.with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)).await
    }

    async fn start(prepare: impl FnOnce(Database) -> Database) -> Self {
        let database = Database::create().await.with("REPLIES", "all");
        let (database, api) = prepare(database).with_twilio().await;
        let (receiver, addr) = Process::receiver("receiver", &database.settings).await;
        api.connect(&format!("http://{addr}"));
        let worker = Process::start("worker", &database.settings);
        Self {
            database,
            api,
            receiver,
            worker,
            addr,
        }
    }

    /// Delivers a text, which the receiver must accept. Returns its SID.
    async fn deliver(&self, from: &str, body: &str) -> String {
        self.deliver_text(&text(from, body)).await
    }

    async fn deliver_text(&self, text: &InboundText) -> String {
        let twilio = self.database.settings.twilio(self.addr);
        let delivery = twilio.deliver(text).await.unwrap();
        assert_eq!(delivery.status, 200);
        delivery.message_sid
    }

    /// A new user and their token.
    async fn user(&self) -> (Uuid, String) {
        let user = Uuid::new_v4();
        let mut conn = self.database.pool.acquire().await.unwrap();
        users::ensure(&mut conn, user).await.unwrap();
        (
            user,
            token_of(user, self.database.settings.get("JWT_SECRET")),
        )
    }

    /// A request to the API.
    fn post(&self, token: &str, path: &str, body: &Value) -> RequestBuilder {
        let url = format!("http://{}/api/user/phone-number{path}", self.addr);
        client().post(url).bearer_auth(token).json(body)
    }
}

/// The only span with this name and this parent.
fn child<'s>(spans: &'s [ExportedSpan], parent: &ExportedSpan, name: &str) -> &'s ExportedSpan {
    let mut children = spans
        .iter()
        .filter(|span| span.parent == parent.id && span.name == name);
    let child = children
        .next()
        .unwrap_or_else(|| panic!("no {name} under {} in {spans:#?}", parent.name));
    assert!(children.next().is_none(), "two of {name}");
    child
}

#[tokio::test]
async fn one_trace_connects_the_webhook_with_the_reply_across_processes() {
    let collector = TraceCollector::start().await;
    let harness = TraceHarness::traced(&collector.endpoint()).await;
    let sid = harness.deliver(NUMBER, "Met Ana #rust").await;
    let reply = collector
        .wait_for("the reply's job", |span| {
            span.get("job.kind") == "send_reply"
        })
        .await;
    let webhook = collector
        .wait_for("the webhook", |span| span.name == "receiver.accept")
        .await;
    assert_eq!(reply.trace, webhook.trace);
    assert_eq!(harness.database.wait_until_ended(&sid).await, "processed");

    let spans = collector.trace(&webhook.trace);
    assert_eq!(
        (webhook.parent.as_str(), webhook.kind),
        ("", SpanKind::Server)
    );
    assert_eq!(webhook.get("message.sid"), sid);
    child(&spans, &webhook, "receiver.commit");
    let job = child(&spans, &webhook, "job.run");
    assert_eq!(job.get("job.kind"), "process_message");
    assert_eq!(
        (job.get("job.subject"), job.kind),
        (sid.as_str(), SpanKind::Consumer)
    );
    assert_eq!(job.get("outcome"), "completed");
    for step in ["step.open", "step.find_items", "step.finish"] {
        child(&spans, job, step);
    }
    assert_eq!(reply.parent, job.id);
    child(&spans, &reply, "step.admit");
    let call = child(&spans, &reply, "twilio.create_message");
    assert_eq!(call.kind, SpanKind::Client);
    assert_eq!(call.get("http.response.status_code"), "201");

    // The process that sent each span.
    let name = |process: &Process| format!(":{}", process.id());
    assert!(webhook.process.ends_with(&name(&harness.receiver)));
    for span in [job, &reply, call] {
        assert!(span.process.ends_with(&name(&harness.worker)), "{span:?}");
    }
    assert!(spans.iter().all(|span| span.service == "pigeonhole"));
}

#[tokio::test]
async fn one_trace_connects_the_api_request_with_the_call_that_sends_the_code() {
    let collector = TraceCollector::start().await;
    let harness = TraceHarness::start(|database| {
        database
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
            .with("OTEL_EXPORTER_OTLP_HEADERS", "x-token=for-the-collector")
            .with("OTEL_SERVICE_NAME", "pigeons")
    })
    .await;
    let (_, token) = harness.user().await;
    // The front end has started the trace.
    let (theirs, caller) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let asked = harness
        .post(&token, "", &json!({ "phoneNumber": "+12025550143" }))
        .header("traceparent", format!("00-{theirs}-{caller}-01"));
    assert_eq!(asked.send().await.unwrap().status(), 201);
    let job = collector
        .wait_for("the job", |span| {
            span.get("job.kind") == "send_verification"
        })
        .await;
    let request = collector
        .wait_for("the request", |span| span.name == "api.request")
        .await;
    assert_eq!(
        (request.trace.as_str(), request.parent.as_str()),
        (theirs, caller)
    );
    assert_eq!(
        (request.get("route"), request.kind),
        ("link", SpanKind::Server)
    );
    assert_eq!((&job.trace, &job.parent), (&request.trace, &request.id));
    child(&collector.trace(theirs), &job, "twilio.create_message");
    assert_eq!(job.service, "pigeons");
    assert!(
        collector
            .headers()
            .iter()
            .all(|headers| headers["x-token"] == "for-the-collector")
    );
}

#[tokio::test]
async fn a_group_commit_keeps_the_traces_of_its_messages_separate() {
    let collector = TraceCollector::start().await;
    let harness = TraceHarness::traced(&collector.endpoint()).await;
    let twilio = harness.database.settings.twilio(harness.addr);
    let texts: Vec<_> = (0..40)
        .map(|n| text(NUMBER, &format!("text {n}")))
        .collect();
    let delivered =
        futures_util::future::join_all(texts.iter().map(|text| twilio.deliver(text))).await;
    for delivery in delivered {
        let sid = delivery.unwrap().message_sid;
        let job = collector
            .wait_for("its job", |span| {
                span.get("job.kind") == "process_message" && span.get("job.subject") == sid
            })
            .await;
        let webhook = collector
            .wait_for("its webhook", |span| {
                span.name == "receiver.accept" && span.get("message.sid") == sid
            })
            .await;
        assert_eq!((&job.trace, &job.parent), (&webhook.trace, &webhook.id));
    }
    let mut traces: Vec<String> = collector
        .spans()
        .into_iter()
        .filter(|span| span.name == "receiver.accept")
        .map(|span| span.trace)
        .collect();
    traces.sort();
    traces.dedup();
    assert_eq!(traces.len(), 40);
}

#[tokio::test]
async fn unsampled_traces_are_not_exported_and_the_work_is_done() {
    let collector = TraceCollector::start().await;
    let mut harness = TraceHarness::start(|database| {
        database
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
            .with("OTEL_TRACES_SAMPLER_ARG", "0")
    })
    .await;
    let sid = harness.deliver(NUMBER, "Hello").await;
    assert_eq!(harness.database.wait_until_ended(&sid).await, "processed");
    harness.database.drain().await;
    away::stop(&mut harness.worker).await;
    away::stop(&mut harness.receiver).await;
    assert_eq!(collector.spans().len(), 0);
}
