//! Logs and metrics, and the way of spans to [`Traces`].
//!
//! Logs go to standard error. They name messages by SID and jobs by number, and hold no phone number, text or token.

use std::io::IsTerminal;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, fmt, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

use crate::{
    config::{LogConfig, TracesConfig},
    traces::Traces,
};

/// Buckets for durations, in seconds: from a cached answer to Twilio's own patience.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0,
];

/// Starts logging, for the whole process.
pub fn init_logs(config: &LogConfig) -> anyhow::Result<()> {
    init(config, &Traces::default())
}

/// Starts logging and, where they go anywhere, traces, for the whole process.
pub async fn init_logs_and_traces(
    config: &LogConfig,
    traces: Option<TracesConfig>,
) -> anyhow::Result<Traces> {
    let traces = Traces::start(traces).await?;
    init(config, &traces)?;
    Ok(traces)
}

fn init(config: &LogConfig, traces: &Traces) -> anyhow::Result<()> {
    let filter = EnvFilter::new(&config.filter);
    let registry = tracing_subscriber::registry();
    let installed = match traces.layer() {
        // The filter is everybody's: what is not logged is not even looked at.
        None => registry.with(filter).with(lines(config)).try_init(),
        Some(spans) => registry
            .with(lines(config).with_filter(filter))
            .with(spans)
            .try_init(),
    };
    installed.map_err(|_| anyhow::anyhow!("logging was started twice"))?;
    // The standard hook prints the panic's text, which may quote the message that a job choked on.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(location, "a task panicked; this is a bug, please report it");
    }));
    Ok(())
}

/// What writes log lines.
fn lines<S>(config: &LogConfig) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let lines = fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if config.json {
        lines.json().boxed()
    } else {
        lines.boxed()
    }
}

/// Starts collecting metrics, for the whole process, and says what each means.
pub fn init_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .context("cannot start collecting metrics")?;
    metrics::describe_counter!(
        "pigeonhole_receiver_webhooks_total",
        "Webhooks by outcome: accepted, duplicate, or the reason of the refusal"
    );
    metrics::describe_histogram!(
        "pigeonhole_receiver_webhook_duration_seconds",
        metrics::Unit::Seconds,
        "From a webhook's headers to its answer"
    );
    metrics::describe_counter!(
        "pigeonhole_api_requests_total",
        "Requests to the phone number API by route and outcome, which is what was done or the reason of the refusal"
    );
    metrics::describe_counter!(
        "pigeonhole_verification_refusals_total",
        "Verification SMS and guesses that were refused, by the limit that was used up"
    );
    metrics::describe_counter!(
        "pigeonhole_queue_attempts_total",
        "Attempts at jobs by kind and outcome"
    );
    Ok(handle)
}
