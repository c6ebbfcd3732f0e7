//! The database as the `messages` commands reach it: no statement of theirs takes long.

use anyhow::Context;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use crate::{
    config::{DatabaseConfig, Env, LogConfig, Reader},
    telemetry,
};

/// Reads the settings and connects.
pub(super) async fn connect(env: &Env) -> anyhow::Result<PgConnection> {
    let (log, database) = Reader::read(env, |r| {
        let (log, database) = (LogConfig::read(r), DatabaseConfig::read(r));
        Some((log?, database?))
    })?;
    telemetry::init_logs(&log)?;
    let options = with_statement_timeout(database.options);
    let connecting = PgConnection::connect_with(&options);
    timeout(queue::admin::STATEMENT_TIMEOUT, connecting)
        .await
        .map_err(anyhow::Error::from)
        .and_then(|connected| connected.map_err(anyhow::Error::from))
        .context("cannot reach the database")
}

/// The same options, with a time limit for every statement.
pub(super) fn with_statement_timeout(options: PgConnectOptions) -> PgConnectOptions {
    let limit = queue::admin::STATEMENT_TIMEOUT.as_millis().to_string();
    options.options([("statement_timeout", limit.as_str()), ("jit", "off")])
}
