//! Rows that are locked until the transaction ends.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::e164::E164;
use crate::error::StoreError;
use crate::keyring::Keyring;

/// Wrong codes after which a code is invalid.
pub const MOST_WRONG_TRIES: i16 = 5;

/// A user's row, which is locked until the transaction ends.
pub(super) struct LockedVerification {
    number_index: String,
    sealed_code: Option<Vec<u8>>,
    pub(super) expires_at: DateTime<Utc>,
    wrong_tries: i16,
    /// What is left of the code's life; not positive if it has expired.
    pub(super) seconds: f64,
}

impl LockedVerification {
    pub(super) async fn of_user(
        conn: &mut PgConnection,
        user_id: Uuid,
    ) -> Result<Option<Self>, StoreError> {
        // Two steps, so that the clock is read after any wait for the lock.
        Ok(sqlx::query_as!(
            Self,
            r#"with locked as materialized (
                   select number_index, sealed_code, code_expires_at, wrong_tries
                   from pigeonhole.pending_verifications where user_id = $1 for update
               )
               select number_index, sealed_code, code_expires_at as expires_at, wrong_tries,
                   extract(epoch from code_expires_at - clock_timestamp())::float8 as "seconds!"
               from locked"#,
            user_id,
        )
        .fetch_optional(conn)
        .await?)
    }

    /// The sealed code, if it is for this number and still valid.
    pub(super) fn valid_code(self, keyring: &Keyring, number: &E164) -> Option<Vec<u8>> {
        let valid = self.seconds > 0.0
            && self.wrong_tries < MOST_WRONG_TRIES
            && keyring
                .blind_indexes(number.as_str())
                .contains(&self.number_index);
        self.sealed_code.filter(|_| valid)
    }
}

/// Locks the verification of a user who is held, until the transaction ends. If there is none, none
/// appears meanwhile.
pub(crate) async fn lock(conn: &mut PgConnection, user_id: Uuid) -> Result<(), StoreError> {
    LockedVerification::of_user(conn, user_id).await?;
    Ok(())
}

/// Deletes the user's verification and its code. Returns whether there was one.
pub async fn remove(conn: &mut PgConnection, user_id: Uuid) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "delete from pigeonhole.pending_verifications where user_id = $1",
        user_id,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Deletes every pending verification of a number. Returns how many there were.
pub(crate) async fn remove_number(
    conn: &mut PgConnection,
    keyring: &Keyring,
    number: &E164,
) -> Result<u64, StoreError> {
    let index = keyring.blind_indexes(number.as_str());
    // The users first, as in `users::hold`, and in an order, so that two calls do not deadlock.
    let users = sqlx::query_scalar!(
        "select id from users
         where id in (
             select user_id from pigeonhole.pending_verifications where number_index = any($1))
         order by id for key share",
        &index,
    )
    .fetch_all(&mut *conn)
    .await?;
    let done = sqlx::query!(
        "delete from pigeonhole.pending_verifications where user_id in (
             select user_id from pigeonhole.pending_verifications
             where user_id = any($1) and number_index = any($2)
             order by user_id for update)",
        &users,
        &index,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
