//! Whether Postgres removes dead rows.

use sqlx::PgConnection;

use super::transaction::begin;
use crate::error::StoreError;

/// Whether Postgres removes dead rows automatically, and from which tables.
#[derive(Debug, Clone)]
pub struct Autovacuum {
    /// The server does so.
    pub on: bool,
    /// The tables that we use.
    pub tables: Vec<TableHealth>,
}

/// A table that we use.
#[derive(Debug, Clone)]
pub struct TableHealth {
    /// Its name, with its schema, quoted for SQL.
    pub name: String,
    /// A setting of the table excludes it.
    pub off: bool,
    /// Rows, by Postgres's estimate.
    pub live_rows: i64,
    /// Dead rows that take up space, by Postgres's estimate.
    pub dead_rows: i64,
}

/// Reads the server's setting and that of each table.
pub async fn autovacuum(conn: &mut PgConnection) -> Result<Autovacuum, StoreError> {
    let mut tx = begin(conn).await?;
    let on = sqlx::query_scalar!(
        r#"select (current_setting('autovacuum')::bool
               and current_setting('track_counts')::bool) as "on!""#,
    )
    .fetch_one(&mut *tx)
    .await?;
    let tables = sqlx::query_as!(
        TableHealth,
        r#"
        select format('%I.%I', nspname, relname) as "name!",
            exists (
                select from unnest(reloptions) as option
                where option like 'autovacuum_enabled=%' and not split_part(option, '=', 2)::bool
            ) as "off!",
            coalesce(pg_stat_get_live_tuples(pg_class.oid), 0) as "live_rows!",
            coalesce(pg_stat_get_dead_tuples(pg_class.oid), 0) as "dead_rows!"
        from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where relkind = 'r' and (nspname in ('pigeonhole', 'queue') or pg_class.oid in (
            to_regclass('users'), to_regclass('user_phone_numbers'), to_regclass('enrichment_items')))
        order by 1
        "#,
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.rollback().await?;
    Ok(Autovacuum { on, tables })
}
