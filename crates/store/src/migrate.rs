//! Our migrations, embedded in the program, and whether a database has them.

use sqlx::migrate::Migrator;
use sqlx::{Executor, PgConnection, PgPool};

use crate::StoreError;

/// The migrations, with their bookkeeping in our own schema, so that it meets nobody else's.
pub fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../../migrations");
    migrator.dangerous_set_table_name("pigeonhole._sqlx_migrations");
    migrator.create_schema("pigeonhole");
    migrator
}

/// Applies the migrations that the database does not have yet. Several processes may do this at once: an advisory lock
/// lets one after the other through.
pub async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    let mut conn = pool.acquire().await?;
    // After an error sqlx leaves its advisory lock on the connection: it must not go back to the pool.
    conn.close_on_drop();
    // Else every "if not exists" that finds something is logged.
    conn.execute("set client_min_messages = warning").await?;
    // Not `run`, whose future cannot be spawned: https://github.com/rust-lang/rust/issues/110338.
    Ok(migrator().run_direct(None, &mut *conn, false).await?)
}

/// Whether every migration of this program has been applied. False, not an error, on a database that was never
/// migrated; a newer program's migrations do not matter.
pub async fn is_current(conn: &mut PgConnection) -> Result<bool, StoreError> {
    let versions: Vec<i64> = migrator()
        .iter()
        .map(|migration| migration.version)
        .collect();
    // Not `query!`: that would want the bookkeeping table wherever this crate is compiled.
    let exists: bool =
        sqlx::query_scalar("select to_regclass('pigeonhole._sqlx_migrations') is not null")
            .fetch_one(&mut *conn)
            .await?;
    if !exists {
        return Ok(false);
    }
    let current: bool = sqlx::query_scalar(
        "select count(*) = cardinality($1) from pigeonhole._sqlx_migrations where success and version = any($1)",
    )
    .bind(&versions)
    .fetch_one(conn)
    .await?;
    Ok(current)
}

/// How a database's migrations compare with this program's. Each list holds versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrations {
    /// Not applied yet.
    pub missing: Vec<i64>,
    /// Applied, and not known to this program: it is older than the database.
    pub unknown: Vec<i64>,
    /// Applied with another text than this program's.
    pub altered: Vec<i64>,
}

/// Compares them. A database that was never migrated lacks all.
pub async fn migrations(conn: &mut PgConnection) -> Result<Migrations, StoreError> {
    let exists: bool =
        sqlx::query_scalar("select to_regclass('pigeonhole._sqlx_migrations') is not null")
            .fetch_one(&mut *conn)
            .await?;
    let applied: Vec<(i64, Vec<u8>)> = if exists {
        // One that failed is rolled back, and leaves no row.
        sqlx::query_as(
            "select version, checksum from pigeonhole._sqlx_migrations where success order by version",
        )
        .fetch_all(conn)
        .await?
    } else {
        Vec::new()
    };
    let migrator = migrator();
    let known = |version: i64| migrator.iter().find(|ours| ours.version == version);
    let there = |version: i64| applied.iter().any(|(applied, _)| *applied == version);
    let ours = migrator.iter().map(|ours| ours.version);
    let versions = applied.iter().map(|(version, _)| *version);
    let altered = applied.iter().filter(|(version, checksum)| {
        known(*version).is_some_and(|ours| *ours.checksum != **checksum)
    });
    Ok(Migrations {
        missing: ours.filter(|version| !there(*version)).collect(),
        unknown: versions
            .filter(|version| known(*version).is_none())
            .collect(),
        altered: altered.map(|(version, _)| *version).collect(),
    })
}
