//! A minimal OpenTelemetry collector: it accepts spans by OTLP over HTTP and stores them.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1,
};
use prost::Message;

use crate::wait::{PATIENCE, eventually};

/// A received span.
#[derive(Debug, Clone)]
pub(super) struct ExportedSpan {
    pub(super) name: String,
    pub(super) trace: String,
    pub(super) id: String,
    /// Empty for a root span.
    pub(super) parent: String,
    pub(super) kind: v1::span::SpanKind,
    pub(super) attributes: HashMap<String, String>,
    /// Its events: the texts and values of log lines.
    pub(super) events: Vec<String>,
    /// The process that sent it.
    pub(super) process: String,
    pub(super) service: String,
}

impl ExportedSpan {
    /// The value of this attribute, or an empty string.
    pub(super) fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

#[derive(Default)]
struct CollectedTraces {
    bytes: Vec<u8>,
    spans: Vec<ExportedSpan>,
    headers: Vec<HeaderMap>,
}

/// A collector that listens until the test's runtime ends.
#[derive(Clone)]
pub(super) struct TraceCollector {
    addr: SocketAddr,
    taken: Arc<Mutex<CollectedTraces>>,
}

impl TraceCollector {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self {
            addr: listener.local_addr().unwrap(),
            taken: Arc::default(),
        };
        let routes = Router::new()
            .route("/v1/traces", post(take))
            .with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        collector
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(super) fn spans(&self) -> Vec<ExportedSpan> {
        self.taken.lock().unwrap().spans.clone()
    }

    pub(super) fn headers(&self) -> Vec<HeaderMap> {
        self.taken.lock().unwrap().headers.clone()
    }

    /// All received bytes as text: protobuf does not change strings.
    pub(super) fn wire(&self) -> String {
        String::from_utf8_lossy(&self.taken.lock().unwrap().bytes).into_owned()
    }

    /// The spans of a trace.
    pub(super) fn trace(&self, trace: &str) -> Vec<ExportedSpan> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace == trace);
        spans
    }

    /// Waits for a span.
    pub(super) async fn wait_for(
        &self,
        what: &str,
        is_it: impl Fn(&ExportedSpan) -> bool,
    ) -> ExportedSpan {
        eventually(&format!("the span of {what}"), PATIENCE, async || {
            self.spans().into_iter().find(&is_it)
        })
        .await
    }
}

async fn take(
    State(collector): State<TraceCollector>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    assert_eq!(headers[header::CONTENT_TYPE], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let mut taken = collector.taken.lock().unwrap();
    taken.bytes.extend_from_slice(&body);
    taken.headers.push(headers);
    for resource in request.resource_spans {
        let about = texts(&resource.resource.unwrap().attributes);
        let spans = resource.scope_spans.into_iter().flat_map(|s| s.spans);
        taken.spans.extend(spans.map(|span| read(span, &about)));
    }
    StatusCode::OK
}

fn read(span: v1::Span, process: &HashMap<String, String>) -> ExportedSpan {
    ExportedSpan {
        kind: span.kind(),
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        attributes: texts(&span.attributes),
        events: span.events.into_iter().flat_map(told).collect(),
        process: process["service.instance.id"].clone(),
        service: process["service.name"].clone(),
    }
}

fn told(event: v1::span::Event) -> Vec<String> {
    let values = texts(&event.attributes).into_values();
    values.chain([event.name]).collect()
}

fn texts(attributes: &[KeyValue]) -> HashMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    };
    let pairs = attributes.iter();
    pairs
        .filter_map(|attribute| Some((attribute.key.clone(), text(attribute)?)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}
