//! `pigeonhole.recovery_watermarks`: how far recovery has looked, for each number of ours.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::clock::seconds;
use crate::error::StoreError;
use crate::keyring::Keyring;

/// How far recovery has looked for messages to a number. `Debug` hides the number.
#[derive(Clone, PartialEq, Eq)]
pub struct Watermark {
    /// Our number.
    pub number: String,
    /// When the number was first seen pointing at us.
    pub since: DateTime<Utc>,
    /// Every message that Twilio listed with an earlier time is known.
    pub looked_until: DateTime<Utc>,
}

/// Returns the watermark of each of these numbers, in their order. A new number starts now: its
/// earlier messages were meant for another program. The numbers that are missing from the list
/// point elsewhere and lose theirs.
///
/// Call it in a transaction.
pub async fn watermarks_of(
    conn: &mut PgConnection,
    keyring: &Keyring,
    numbers: &[String],
) -> Result<Vec<Watermark>, StoreError> {
    let mut watermarks = Vec::new();
    let mut indexes = Vec::new();
    for number in numbers {
        let index = keyring.blind_index(number).as_str().to_owned();
        // A row that was written under an older key is the number's as well.
        sqlx::query!(
            "update pigeonhole.recovery_watermarks set number_index = $1
             where number_index = any($2) and number_index <> $1
                 and not exists (
                     select from pigeonhole.recovery_watermarks where number_index = $1)",
            &index,
            &keyring.blind_indexes(number),
        )
        .execute(&mut *conn)
        .await?;
        let row = sqlx::query!(
            "insert into pigeonhole.recovery_watermarks as w (number_index, since, looked_until)
             values ($1, statement_timestamp(), statement_timestamp())
             on conflict (number_index) do update set looked_until = w.looked_until
             returning since, looked_until",
            &index,
        )
        .fetch_one(&mut *conn)
        .await?;
        watermarks.push(Watermark {
            number: number.clone(),
            since: row.since,
            looked_until: row.looked_until,
        });
        indexes.push(index);
    }
    sqlx::query!(
        "delete from pigeonhole.recovery_watermarks where number_index <> all($1)",
        &indexes,
    )
    .execute(conn)
    .await?;
    Ok(watermarks)
}

/// Moves the watermark of this number on. It never moves back, and a number without one gets none.
pub async fn advance(
    conn: &mut PgConnection,
    keyring: &Keyring,
    number: &str,
    looked_until: DateTime<Utc>,
) -> Result<(), StoreError> {
    let index = keyring.blind_index(number).as_str().to_owned();
    sqlx::query!(
        "update pigeonhole.recovery_watermarks set looked_until = greatest(looked_until, $2)
         where number_index = $1",
        &index,
        looked_until,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How long ago recovery has looked for messages to all numbers. `None` if it has no number yet.
pub async fn oldest_look(conn: &mut PgConnection) -> Result<Option<Duration>, StoreError> {
    let age = sqlx::query_scalar!(
        r#"select extract(epoch from clock_timestamp() - min(looked_until))::float8 as "age"
           from pigeonhole.recovery_watermarks"#,
    )
    .fetch_one(conn)
    .await?;
    Ok(age.map(seconds))
}

impl fmt::Debug for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watermark")
            .field("since", &self.since)
            .field("looked_until", &self.looked_until)
            .finish_non_exhaustive()
    }
}
