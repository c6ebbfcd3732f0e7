//! The database as the `messages` commands reach it: no statement of theirs takes long.

use anyhow::Context;
use queue::Servers;
use sqlx::PgConnection;

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
    with_statement_timeout(&database.servers)
        .connect(queue::admin::STATEMENT_TIMEOUT)
        .await
        .context("cannot reach the database")
}

/// The same servers, with a time limit for every statement.
pub(super) fn with_statement_timeout(servers: &Servers) -> Servers {
    let limit = queue::admin::STATEMENT_TIMEOUT.as_millis().to_string();
    servers.with(|options| options.options([("statement_timeout", limit.as_str()), ("jit", "off")]))
}
