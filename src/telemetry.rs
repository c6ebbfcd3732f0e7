//! Logs. Spans also go to [`Traces`].
//!
//! Log lines go to standard error. They name messages by SID and jobs by number, and hold no phone
//! number, text or token.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, fmt, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

use crate::{
    config::{LogConfig, TracesConfig},
    traces::Traces,
};

/// Starts logging, for the whole process.
pub fn init_logs(config: &LogConfig) -> anyhow::Result<()> {
    init(config, &Traces::default())
}

/// Starts logging for the whole process, and traces if a collector is set.
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
        // One filter for the whole registry: a disabled line costs nothing.
        None => registry.with(filter).with(lines(config)).try_init(),
        Some(spans) => registry
            .with(lines(config).with_filter(filter))
            .with(spans)
            .try_init(),
    };
    installed.map_err(|_| anyhow::anyhow!("logging was started twice"))?;
    // The standard hook prints the panic's text, which may quote the message of the job that
    // panicked.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(location, "a task panicked; this is a bug, please report it");
    }));
    Ok(())
}

/// The layer that writes log lines.
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
