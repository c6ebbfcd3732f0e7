//! `migrate`: applies the migrations that the database does not have yet.

use anyhow::Context;

use crate::{
    config::{DatabaseConfig, Env, LogConfig, Reader},
    database, telemetry,
};

pub(super) async fn run(env: &Env) -> anyhow::Result<()> {
    let (log, database) = Reader::read(env, |r| {
        let (log, database) = (LogConfig::read(r), DatabaseConfig::read(r));
        Some((log?, database?))
    })?;
    telemetry::init_logs(&log)?;
    store::migrate(&database::pool(&database))
        .await
        .context("the migrations were not applied")?;
    tracing::info!("the database is up to date");
    Ok(())
}
