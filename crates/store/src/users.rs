//! `users`: the app's table, of which only the id matters here.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::StoreError;

/// Makes sure that the user exists. An existing one does not change.
///
/// It can create a user only where the app's table has no column that only the app can fill.
/// Otherwise an unknown user is an error of the database that names the column.
pub async fn ensure(conn: &mut PgConnection, user_id: Uuid) -> Result<(), StoreError> {
    // Not only `on conflict`: Postgres checks the app's `not null` columns before the conflict.
    sqlx::query!(
        "insert into users (id) select $1
         where not exists (select from users where id = $1) on conflict do nothing",
        user_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns whether there is such a user.
pub async fn exists(conn: &mut PgConnection, user_id: Uuid) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from users where id = $1) as "exists!""#,
        user_id,
    )
    .fetch_one(conn)
    .await?)
}

/// Returns which of these ids belong to no user.
pub async fn missing(conn: &mut PgConnection, user_ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select given.id as "id!" from unnest($1::uuid[]) as given(id)
           where not exists (select from users where users.id = given.id)"#,
        user_ids,
    )
    .fetch_all(conn)
    .await?)
}

/// Returns whether there is such a user. If so, no other transaction deletes the user before this
/// one ends, and no other transaction holds the user: verifying, checking and unlinking happen
/// one after the other.
///
/// Call it before a row of the user is locked. A deletion locks the user first and their rows
/// afterwards. A transaction that locks them in the other order, by the foreign key of what it
/// inserts, could deadlock with it.
pub(crate) async fn hold(conn: &mut PgConnection, user_id: Uuid) -> Result<bool, StoreError> {
    let found = sqlx::query!(
        "with held as materialized (select id from users where id = $1 for key share)
         select pg_advisory_xact_lock(hashtextextended(id::text, 0)) from held",
        user_id,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some())
}
