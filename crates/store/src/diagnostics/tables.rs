//! Whether dead rows are cleared away.

use sqlx::PgConnection;

use super::begin;
use crate::error::StoreError;

/// Whether, and where not, Postgres clears dead rows away by itself.
#[derive(Debug, Clone)]
pub struct Autovacuum {
    /// The server does it.
    pub on: bool,
    /// Those of the tables that we work on.
    pub tables: Vec<TableHealth>,
}

/// A table that we work on.
#[derive(Debug, Clone)]
pub struct TableHealth {
    /// Its name, with its schema, as SQL wants it.
    pub name: String,
    /// It is left out, by a setting of its own.
    pub off: bool,
    /// Rows that are there, roughly.
    pub live_rows: i64,
    /// Rows that are not any more and take up room, roughly.
    pub dead_rows: i64,
}

/// Asks for the server's setting and each table's.
pub async fn autovacuum(conn: &mut PgConnection) -> Result<Autovacuum, StoreError> {
    let mut tx = begin(conn).await?;
    let on = sqlx::query_scalar!(
        r#"select (current_setting('autovacuum')::bool and current_setting('track_counts')::bool) as "on!""#,
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
