//! `receiver`, `worker` and `serve`: the long-running processes.

use anyhow::Context;

use crate::{
    config::{Env, LogConfig, Reader},
    metrics,
    services::{Role, Services, ServicesConfig},
    shutdown, telemetry,
};

/// Runs the process until a signal stops it.
pub(super) async fn run(env: &Env, role: Role) -> anyhow::Result<()> {
    let (log, services) = Reader::read(env, |r| {
        let (log, services) = (LogConfig::read(r), ServicesConfig::read(r, role));
        Some((log?, services?))
    })?;
    telemetry::init_logs(&log)?;
    let metrics = metrics::install()?;
    let stop = shutdown::on_signal().context("cannot watch for signals")?;
    Services::start(services, metrics, stop)
        .await?
        .finished()
        .await?;
    tracing::info!("stopped");
    Ok(())
}
