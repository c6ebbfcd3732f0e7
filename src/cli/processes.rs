//! `receiver`, `worker` and `serve`: the long-running processes.

use anyhow::Context;

use crate::{
    config::{Env, LogConfig, Reader, TracesConfig},
    descriptors, metrics,
    services::{Role, Services, ServicesConfig},
    shutdown, telemetry,
};

/// Runs the process until a signal stops it.
pub(super) async fn run(env: &Env, role: Role) -> anyhow::Result<()> {
    let (log, traces, services) = Reader::read(env, |r| {
        let (log, traces) = (LogConfig::read(r), TracesConfig::read(r));
        let services = ServicesConfig::read(r, role);
        Some((log?, traces?, services?))
    })?;
    let traces = telemetry::init_logs_and_traces(&log, traces).await?;
    descriptors::raise_limit();
    let metrics = metrics::install()?;
    let stop = shutdown::on_signal().context("cannot listen for signals")?;
    let services = Services::start(services, metrics, stop).await?;
    let ended = services.finished().await;
    traces.end().await; // also after an error, when the spans matter most
    ended?;
    tracing::info!("stopped");
    Ok(())
}
