//! Applies a folder of migrations without the code that embeds them, for what must work while that
//! code does not compile, and for crates that it depends on.

use std::{ffi::OsStr, fs, path::Path};

use sqlx::{AssertSqlSafe, PgPool, migrate::Migrator, raw_sql};

/// Applies the migrations of this folder and then the SQL files of its folder `functions`, in the
/// order of their names, `planner_settings.sql` last. It does what `store::migrate` does, except
/// for the bookkeeping of the functions.
pub async fn apply_migrations(pool: &PgPool, folder: &Path) -> Result<(), sqlx::Error> {
    let mut migrator = Migrator::new(folder).await?;
    migrator.dangerous_set_table_name("pigeonhole._sqlx_migrations");
    migrator.create_schema("pigeonhole");
    migrator.run(pool).await?;
    let mut files = Vec::new();
    for entry in fs::read_dir(folder.join("functions"))? {
        files.push(entry?.path());
    }
    files.sort_unstable_by_key(|path| {
        let last = path.file_name() == Some(OsStr::new("planner_settings.sql"));
        (last, path.clone())
    });
    for file in files {
        let sql = fs::read_to_string(file)?;
        raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
    }
    Ok(())
}
