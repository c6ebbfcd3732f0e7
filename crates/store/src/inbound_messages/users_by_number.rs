//! Finds the users whose messages are processed: see `pigeonhole.users_by_number` in the
//! migrations.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::e164::E164;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::number_variants::stored_number_variants;

/// Returns the users of messages that came from these numbers at these times, in the order of the
/// list. The number of each is verified for the user, and was theirs at that time: a user who
/// links a number later gets no message that its former user has sent.
pub async fn users_by_number(
    conn: &mut PgConnection,
    keyring: &Keyring,
    sent: &[(E164, DateTime<Utc>)],
) -> Result<Vec<Option<Uuid>>, StoreError> {
    let variants: Vec<Vec<String>> = sent
        .iter()
        .map(|(number, _)| stored_number_variants(keyring, number.as_str()))
        .collect();
    let flat: Vec<String> = variants.iter().flatten().cloned().collect();
    let rows = sqlx::query!(
        r#"select phone_number as "phone_number!", user_id as "user_id!", since
           from pigeonhole.users_by_number($1)"#,
        &flat,
    )
    .fetch_all(conn)
    .await?;
    let user = |(variants, (_, at)): (&Vec<String>, &(E164, DateTime<Utc>))| {
        let row = rows.iter().find(|row| {
            variants.contains(&row.phone_number) && row.since.is_none_or(|since| since <= *at)
        });
        row.map(|row| row.user_id)
    };
    Ok(variants.iter().zip(sent).map(user).collect())
}
