//! Exports spans: sets their kind, and logs whether the collector accepts them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};

/// Sends spans by another exporter. Logs once when that fails, and once when it works again.
#[derive(Debug)]
pub(super) struct LoggingExporter<E> {
    sender: E,
    failing: AtomicBool,
}

impl<E> LoggingExporter<E> {
    pub(super) fn new(sender: E) -> Self {
        Self {
            sender,
            failing: AtomicBool::new(false),
        }
    }
}

impl<E: SpanExporter> SpanExporter for LoggingExporter<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut batch {
            span.span_kind = kind(&span.name);
        }
        let sent = self.sender.export(batch).await;
        match &sent {
            Ok(()) if self.failing.swap(false, Ordering::Relaxed) => {
                tracing::info!("traces are delivered again");
            }
            Err(error) if !self.failing.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "traces cannot be delivered and are dropped: is the collector at OTEL_EXPORTER_OTLP_ENDPOINT up?");
            }
            Ok(()) | Err(_) => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.sender.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.sender.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.sender.set_resource(resource);
    }
}

/// The kind of a span, by its name.
fn kind(name: &str) -> SpanKind {
    match name.split_once('.') {
        Some(("receiver", "accept") | ("api", "request")) => SpanKind::Server,
        Some(("job", _)) => SpanKind::Consumer,
        Some(("twilio" | "model", _)) => SpanKind::Client,
        _ => SpanKind::Internal,
    }
}
