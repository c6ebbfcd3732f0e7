//! The migrations, embedded in the program, and whether a database has them.

use std::sync::LazyLock;

use sqlx::migrate::{Migrate, Migrator};
use sqlx::{Executor, PgConnection, PgPool};

use crate::error::StoreError;
use crate::functions::{FunctionDigests, apply_functions, functions, outdated_functions};

/// The migrations, with their bookkeeping in our own schema, away from that of other programs.
fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../../migrations");
    migrator.dangerous_set_table_name("pigeonhole._sqlx_migrations");
    migrator.create_schema("pigeonhole");
    migrator
}

/// Applies the migrations that the database of this pool lacks: see [`migrate_on`].
pub async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    let mut conn = pool.acquire().await?;
    // After an error the advisory lock remains on the connection: it must not return to the pool.
    conn.close_on_drop();
    migrate_on(&mut conn).await
}

/// Applies the migrations that the database lacks, and then the functions that it lacks or has in
/// an older text. Several processes may do this at the same time: an advisory lock admits one after
/// the other. After an error the lock remains, so the caller must close the connection.
pub async fn migrate_on(conn: &mut PgConnection) -> Result<(), StoreError> {
    // Otherwise Postgres logs every "if not exists" that finds something.
    conn.execute("set client_min_messages = warning").await?;
    let mut migrator = migrator();
    // The functions are applied under the same lock.
    migrator.set_locking(false);
    conn.lock().await?;
    // Not `run`, whose future cannot be spawned: https://github.com/rust-lang/rust/issues/110338.
    migrator.run_direct(None, &mut *conn, false).await?;
    apply_functions(conn, &functions()).await?;
    Ok(conn.unlock().await?)
}

/// What [`is_current`] compares. It is asked often, and the digests of all functions take a
/// while.
static OURS: LazyLock<OurMigrations> = LazyLock::new(|| OurMigrations {
    versions: migrator()
        .iter()
        .map(|migration| migration.version)
        .collect(),
    functions: FunctionDigests::of(&functions()),
});

struct OurMigrations {
    versions: Vec<i64>,
    functions: FunctionDigests,
}

/// Returns whether the database has every migration and function of this program. False, not an
/// error, on a database that was never migrated. Those of a newer program do not matter.
pub async fn is_current(conn: &mut PgConnection) -> Result<bool, StoreError> {
    if !was_migrated(conn).await? {
        return Ok(false);
    }
    let applied: bool = sqlx::query_scalar(
        "select count(*) = cardinality($1) from pigeonhole._sqlx_migrations
         where success and version = any($1)",
    )
    .bind(&OURS.versions)
    .fetch_one(&mut *conn)
    .await?;
    Ok(applied && OURS.functions.outdated(conn).await?.is_empty())
}

/// How the migrations and functions of a database compare with those of this program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Versions that are not applied yet.
    pub missing: Vec<i64>,
    /// Versions that are applied and that this program does not know: it is older than the
    /// database.
    pub unknown: Vec<i64>,
    /// Versions that were applied with another text than this program's.
    pub altered: Vec<i64>,
    /// Functions that are missing or have an older text. Empty where migrations are missing.
    pub outdated_functions: Vec<String>,
}

/// Compares them. A database that was never migrated lacks all.
pub async fn migration_status(conn: &mut PgConnection) -> Result<MigrationStatus, StoreError> {
    let applied: Vec<(i64, Vec<u8>)> = if was_migrated(conn).await? {
        // A failed migration is rolled back and leaves no row.
        sqlx::query_as(
            "select version, checksum from pigeonhole._sqlx_migrations
             where success order by version",
        )
        .fetch_all(&mut *conn)
        .await?
    } else {
        Vec::new()
    };
    let migrator = migrator();
    let known = |version: i64| migrator.iter().find(|ours| ours.version == version);
    let is_applied = |version: i64| applied.iter().any(|(applied, _)| *applied == version);
    let ours = migrator.iter().map(|ours| ours.version);
    let versions = applied.iter().map(|(version, _)| *version);
    let altered = applied.iter().filter(|(version, checksum)| {
        known(*version).is_some_and(|ours| *ours.checksum != **checksum)
    });
    let missing: Vec<i64> = ours.filter(|version| !is_applied(*version)).collect();
    let outdated_functions = if missing.is_empty() {
        outdated_functions(conn, &functions()).await?
    } else {
        Vec::new()
    };
    Ok(MigrationStatus {
        missing,
        unknown: versions
            .filter(|version| known(*version).is_none())
            .collect(),
        altered: altered.map(|(version, _)| *version).collect(),
        outdated_functions,
    })
}

/// Returns whether the bookkeeping of the migrations exists.
///
/// Not `query!`, here and above: that would need the table wherever this crate is compiled.
async fn was_migrated(conn: &mut PgConnection) -> Result<bool, StoreError> {
    Ok(
        sqlx::query_scalar("select to_regclass('pigeonhole._sqlx_migrations') is not null")
            .fetch_one(conn)
            .await?,
    )
}
