//! The state of Postgres itself.

use std::time::Duration;

use sqlx::PgConnection;

use crate::clock::seconds;
use crate::durability::{Durability, durability};
use crate::error::StoreError;

/// The tables that grow, or whose rows come and go.
const TABLES: [&str; 13] = [
    "queue.jobs",
    "queue.dead_jobs",
    "queue.rate_limits",
    "queue.throughput",
    "pigeonhole.inbound_messages",
    "pigeonhole.erased_messages",
    "pigeonhole.sends",
    "pigeonhole.media",
    "pigeonhole.media_garbage",
    "pigeonhole.limit_log",
    "pigeonhole.idempotency_keys",
    "pigeonhole.pending_verifications",
    "enrichment_items",
];

/// The server, and our database in it.
#[derive(Debug, Clone, PartialEq)]
pub struct PostgresFigures {
    /// The age of the oldest transaction that keeps Postgres from removing dead rows.
    pub oldest_snapshot: Duration,
    /// Client connections that run a statement.
    pub active: i64,
    /// Client connections without a statement.
    pub idle: i64,
    /// Client connections without a statement in an open transaction.
    pub idle_in_transaction: i64,
    /// Client connections whose state our user may not see.
    pub other: i64,
    /// The limit of client connections.
    pub connections_max: i64,
    /// Sessions that wait for a lock.
    pub locks_waiting: i64,
    /// Bytes of write-ahead log written so far.
    pub wal_bytes: i64,
    /// Bytes of our database.
    pub database_bytes: i64,
    /// Our tables that grow.
    pub tables: Vec<TableFigures>,
    /// Whether commits can be lost.
    pub durability: Durability,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFigures {
    /// Its name.
    pub name: &'static str,
    /// Its bytes, with its indexes.
    pub bytes: i64,
    /// Rows that await vacuum, by Postgres's estimate.
    pub dead_rows: i64,
    /// Rows, by Postgres's estimate.
    pub live_rows: i64,
}

/// Reads the figures of the server.
pub async fn postgres(conn: &mut PgConnection) -> Result<PostgresFigures, StoreError> {
    // Autovacuum's own snapshots hold back no cleanup.
    let row = sqlx::query!(
        r#"select
            coalesce(extract(epoch from clock_timestamp()
                - min(xact_start) filter (where backend_xmin is not null)), 0)::float8
                as "oldest_snapshot!",
            count(*) filter (where client and state = 'active') as "active!",
            count(*) filter (where client and state = 'idle') as "idle!",
            count(*) filter (where client and state like 'idle in transaction%')
                as "idle_in_transaction!",
            count(*) filter (where client) as "clients!",
            count(*) filter (where wait_event_type = 'Lock') as "locks_waiting!",
            current_setting('max_connections')::bigint
                - current_setting('superuser_reserved_connections')::bigint as "connections_max!",
            case when pg_is_in_recovery() then 0
                else pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') end::bigint as "wal_bytes!",
            pg_database_size(current_database()) as "database_bytes!"
           from (select *, backend_type is null or backend_type = 'client backend' as client
                 from pg_stat_activity
                 where pid <> pg_backend_pid()
                     and backend_type is distinct from 'autovacuum worker') as sessions"#,
    )
    .fetch_one(&mut *conn)
    .await?;
    let tables = tables(conn).await?;
    let durability = durability(conn).await?;
    Ok(PostgresFigures {
        oldest_snapshot: seconds(row.oldest_snapshot),
        active: row.active,
        idle: row.idle,
        idle_in_transaction: row.idle_in_transaction,
        other: row.clients - row.active - row.idle - row.idle_in_transaction,
        connections_max: row.connections_max,
        locks_waiting: row.locks_waiting,
        wal_bytes: row.wal_bytes,
        database_bytes: row.database_bytes,
        tables,
        durability,
    })
}

async fn tables(conn: &mut PgConnection) -> Result<Vec<TableFigures>, StoreError> {
    let names = TABLES.map(str::to_owned);
    let rows = sqlx::query!(
        r#"select name as "name!", coalesce(pg_total_relation_size(table_oid), 0) as "bytes!",
               coalesce(pg_stat_get_dead_tuples(table_oid), 0) as "dead!",
               coalesce(pg_stat_get_live_tuples(table_oid), 0) as "live!"
           from unnest($1::text[]) as name, to_regclass(name) as table_oid"#,
        &names,
    )
    .fetch_all(conn)
    .await?;
    let table = |name: &'static str| {
        let row = rows.iter().find(|row| row.name == name);
        TableFigures {
            name,
            bytes: row.map_or(0, |row| row.bytes),
            dead_rows: row.map_or(0, |row| row.dead),
            live_rows: row.map_or(0, |row| row.live),
        }
    };
    Ok(TABLES.into_iter().map(table).collect())
}
