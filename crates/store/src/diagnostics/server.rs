//! The server, our connection to it, and how many connections it has left.

use sqlx::PgConnection;

use super::transaction::begin;
use crate::error::StoreError;

/// The server at `DATABASE_URL`.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseServer {
    /// Its version, such as `150013` for 15.13.
    pub version: i32,
    /// This connection is encrypted.
    pub tls: bool,
    /// It is a replica, which is read-only.
    pub replica: bool,
    /// Sessions begin read-only, as an operator or a provider has set.
    pub read_only: bool,
}

/// Reads facts about the server.
pub async fn server(conn: &mut PgConnection) -> Result<DatabaseServer, StoreError> {
    let mut tx = begin(conn).await?;
    let server = sqlx::query_as!(
        DatabaseServer,
        r#"select current_setting('server_version_num')::int as "version!",
               coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false)
                   as "tls!",
               pg_is_in_recovery() as "replica!",
               current_setting('default_transaction_read_only')::boolean as "read_only!""#,
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.rollback().await?;
    Ok(server)
}

/// The limit of connections, and how many there are, this one among them.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionCount {
    /// The limit that leaves the fewest: the server's, the database's or the user's.
    pub limit: i64,
    /// The connections that count towards that limit.
    pub in_use: i64,
}

/// Reads the limit that leaves the fewest connections.
pub async fn connections(conn: &mut PgConnection) -> Result<ConnectionCount, StoreError> {
    let mut tx = begin(conn).await?;
    let connections = sqlx::query_as!(
        ConnectionCount,
        r#"
        with clients as (
            select datname = current_database() as here, usename = session_user as ours
            from pg_stat_activity where backend_type = 'client backend'
        ),
        limits (most, in_use) as (
            select current_setting('max_connections')::bigint
                    - current_setting('superuser_reserved_connections')::bigint,
                (select count(*) from clients)
            union all
            select datconnlimit, (select count(*) from clients where here)
            from pg_database where datname = current_database() and datconnlimit >= 0
            union all
            select rolconnlimit, (select count(*) from clients where ours)
            from pg_roles where rolname = session_user and rolconnlimit >= 0
        )
        select most as "limit!", in_use as "in_use!" from limits order by most - in_use limit 1
        "#,
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.rollback().await?;
    Ok(connections)
}
