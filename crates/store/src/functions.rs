//! The SQL functions of `migrations/functions/`, embedded in the program. `migrate` applies a
//! function again when its text has changed: see `migrations/README.md`.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};

use crate::error::StoreError;

/// Name, revision and text of each function, in the order in which they are applied.
const EMBEDDED: &[(&str, i32, &str)] = include!(concat!(env!("OUT_DIR"), "/functions.rs"));

/// One file of `migrations/functions/`.
#[derive(Debug, Clone)]
pub struct SqlFunction {
    /// The file's name without `.sql`, such as `queue.new_position`.
    pub name: Cow<'static, str>,
    /// The revision in its header. A function is never replaced by one of a lower revision.
    pub revision: i32,
    /// The text of the file.
    pub sql: Cow<'static, str>,
}

impl SqlFunction {
    /// SHA-256 of the text, in hexadecimal digits.
    pub fn sha256(&self) -> String {
        let mut text = String::new();
        for byte in Sha256::digest(self.sql.as_bytes()) {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or_default());
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or_default());
        }
        text
    }
}

/// The functions of this program, in the order in which they are applied.
pub fn functions() -> Vec<SqlFunction> {
    EMBEDDED
        .iter()
        .map(|&(name, revision, sql)| SqlFunction {
            name: name.into(),
            revision,
            sql: sql.into(),
        })
        .collect()
}

/// Applies those of these functions that the database lacks or has in an older text, in one
/// transaction. The last file, the planner settings, is applied whenever another one is: replacing
/// a function drops its settings.
///
/// It does not lock out other callers: use [`migrate`](crate::migrate()).
pub async fn apply_functions(
    conn: &mut PgConnection,
    functions: &[SqlFunction],
) -> Result<(), StoreError> {
    let mut tx = conn.begin().await?;
    let outdated = outdated_functions(&mut tx, functions).await?;
    if outdated.is_empty() {
        return Ok(());
    }
    // A trigger is created under a lock on its table: rather fail than hold up the app's queries.
    raw_sql("set local lock_timeout = '10s'")
        .execute(&mut *tx)
        .await?;
    let last = functions.len().saturating_sub(1);
    for (at, function) in functions.iter().enumerate() {
        if at != last && !outdated.iter().any(|name| *name == function.name) {
            continue;
        }
        raw_sql(AssertSqlSafe(&*function.sql))
            .execute(&mut *tx)
            .await
            .map_err(|error| StoreError::applying_function(&function.name, error))?;
        // Not `query!`, which is checked against a database: the table may not exist there yet.
        sqlx::query(
            "insert into pigeonhole.applied_functions (name, revision, sha256) values ($1, $2, $3)
             on conflict (name) do update set
                 revision = excluded.revision, sha256 = excluded.sha256, applied_at = now()",
        )
        .bind(&*function.name)
        .bind(function.revision)
        .bind(function.sha256())
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Returns the names of the functions that the database lacks or has in an older text. A newer
/// revision is not outdated: a newer program has applied it.
pub(crate) async fn outdated_functions(
    conn: &mut PgConnection,
    functions: &[SqlFunction],
) -> Result<Vec<String>, StoreError> {
    FunctionDigests::of(functions).outdated(conn).await
}

/// What a database is asked about functions: names, revisions and digests, in their order.
pub(crate) struct FunctionDigests {
    names: Vec<String>,
    revisions: Vec<i32>,
    digests: Vec<String>,
}

impl FunctionDigests {
    pub(crate) fn of(functions: &[SqlFunction]) -> Self {
        let names = functions.iter().map(|function| function.name.to_string());
        Self {
            names: names.collect(),
            revisions: functions.iter().map(|function| function.revision).collect(),
            digests: functions.iter().map(SqlFunction::sha256).collect(),
        }
    }

    /// See [`outdated_functions`].
    pub(crate) async fn outdated(
        &self,
        conn: &mut PgConnection,
    ) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "select ours.name from unnest($1::text[], $2::int[], $3::text[])
                 with ordinality as ours (name, revision, sha256, position)
             where not exists (
                 select from pigeonhole.applied_functions applied
                 where applied.name = ours.name and (applied.revision > ours.revision
                     or applied.revision = ours.revision and applied.sha256 = ours.sha256))
             order by ours.position",
        )
        .bind(&self.names)
        .bind(&self.revisions)
        .bind(&self.digests)
        .fetch_all(conn)
        .await?)
    }
}
