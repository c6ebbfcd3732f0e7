//! Traces: the work that a webhook or a request caused, across processes, as spans for an
//! OpenTelemetry collector.
//!
//! Traces are off and cost nothing unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set. Spans hold what log
//! lines hold: SIDs, ids and numbers of jobs, and no text that a person has written. A thread of
//! its own sends them. Spans that the collector does not accept are dropped, and delay nothing.

mod context;
mod exporter;

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::Context;
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanLimits},
};
use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::DynFilterFn, registry::LookupSpan};

pub(crate) use context::{TRACEPARENT, is_on, link_trace, link_trace_of_jobs};

use crate::{config::TracesConfig, process_identity::host_and_process};
use exporter::LoggingExporter;

/// The crates whose spans are sent. Spans of libraries may hold statements and addresses.
const OURS: [&str; 5] = ["jobs", "pigeonhole", "queue", "store", "twilio"];

/// How many spans may wait for the next delivery. Further spans are dropped.
const WAITING: usize = 8192;

/// Spans in one delivery.
const BATCH: usize = 512;

/// The longest that a span waits for its delivery.
const DELAY: Duration = Duration::from_secs(1);

/// How long one delivery may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How long a stop may wait for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Collects spans until the process ends.
#[derive(Debug, Default)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Starts the thread that sends spans, if a collector is set. The collector may be away.
    pub async fn start(config: Option<TracesConfig>) -> anyhow::Result<Self> {
        let Some(config) = config else {
            return Ok(Self::default());
        };
        // A blocking client cannot be made on a thread of the async runtime.
        let provider = tokio::task::spawn_blocking(move || provider(config))
            .await
            .context("starting traces panicked")?
            .context("traces cannot be sent; without OTEL_EXPORTER_OTLP_ENDPOINT there are none")?;
        context::ON.store(true, Ordering::Relaxed);
        Ok(Self(Some(provider)))
    }

    /// The layer that collects spans, if traces are on.
    pub(crate) fn layer<S>(&self) -> Option<impl Layer<S> + Send + Sync + use<S>>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let tracer = self.0.as_ref()?.tracer("pigeonhole");
        let layer = tracing_opentelemetry::layer()
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_tracer(tracer);
        // A dynamic filter, which is evaluated for each span. With a static one, a span is lost
        // after a library has asked whether a disabled line of its own is enabled
        // (`tracing::enabled!`, as sqlx does for every statement): that result stays in the thread
        // until the filters are evaluated again.
        let filter = DynFilterFn::new(|metadata, _| is_traced(metadata));
        Some(layer.with_filter(filter.with_max_level_hint(LevelFilter::DEBUG)))
    }

    /// Sends the spans that wait, within a time limit.
    pub async fn end(self) {
        let Some(provider) = self.0 else { return };
        let ended =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_SPANS)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("the last spans of traces could not be delivered");
        }
    }
}

/// All of our spans, and of our log lines warnings and errors.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    let root = metadata.target().split("::").next().unwrap_or_default();
    OURS.contains(&root) && (metadata.is_span() || *metadata.level() <= Level::WARN)
}

fn provider(config: TracesConfig) -> anyhow::Result<SdkTracerProvider> {
    // No proxy and no redirect: spans go only to the configured address.
    let client = reqwest::blocking::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(TIMEOUT)
        .timeout(TIMEOUT)
        .build()?;
    let sender = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(config.url)
        .with_headers(config.headers)
        .with_timeout(TIMEOUT)
        .build()?;
    // Every option is set here, so that no environment variable that is not in our list has an
    // effect.
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(WAITING)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    let processor = BatchSpanProcessor::builder(LoggingExporter::new(sender))
        .with_batch_config(batches)
        .build();
    let resource = Resource::builder_empty()
        .with_service_name(config.service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", host_and_process()))
        .build();
    let share = Box::new(Sampler::TraceIdRatioBased(config.share));
    Ok(SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(share))
        .with_span_limits(SpanLimits::default())
        .build())
}
