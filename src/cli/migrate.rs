//! `migrate`: applies the migrations that the database does not have yet.

use std::time::Duration;

use anyhow::Context;

use crate::{
    config::{DatabaseConfig, Env, LogConfig, Reader},
    telemetry,
};

/// How long the connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn run(env: &Env) -> anyhow::Result<()> {
    let (log, database) = Reader::read(env, |r| {
        let (log, database) = (LogConfig::read(r), DatabaseConfig::read(r));
        Some((log?, database?))
    })?;
    telemetry::init_logs(&log)?;
    let mut conn = database
        .servers
        .connect(CONNECT_LIMIT)
        .await
        .context("the database cannot be reached, so the migrations were not applied")?;
    store::migrate_on(&mut conn)
        .await
        .context("the migrations were not applied")?;
    tracing::info!("the database is up to date");
    Ok(())
}
