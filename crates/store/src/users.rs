//! `users`: the app's table, of which only the id matters here.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::StoreError;

/// Makes sure that the user exists; an existing one is left as it is.
///
/// A user can only be made here where no app has given the table columns that it alone can fill; where it has, an
/// unknown user is an error of the database that names the column.
pub async fn ensure(conn: &mut PgConnection, user_id: Uuid) -> Result<(), StoreError> {
    // Not just `on conflict`: the app's `not null` columns would be refused before the conflict is seen.
    sqlx::query!(
        "insert into users (id) select $1 where not exists (select from users where id = $1) on conflict do nothing",
        user_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Is there such a user?
pub async fn exists(conn: &mut PgConnection, user_id: Uuid) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from users where id = $1) as "exists!""#,
        user_id,
    )
    .fetch_one(conn)
    .await?)
}

/// Those of these who are no users.
pub async fn missing(conn: &mut PgConnection, user_ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select given.id as "id!" from unnest($1::uuid[]) as given(id)
           where not exists (select from users where users.id = given.id)"#,
        user_ids,
    )
    .fetch_all(conn)
    .await?)
}

/// Is there such a user? If so, before the transaction ends nobody deletes them, and nobody else who asks this gets an
/// answer: what a user claims, enters and gives up goes one after the other.
///
/// To be asked before a row of theirs is locked: a deletion locks the user first and their rows after, and whoever does
/// it the other way round, by a foreign key of what they insert, may wait for it while it waits for them.
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
