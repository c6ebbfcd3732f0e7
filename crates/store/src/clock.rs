//! The database's clock, which alone decides what is due, expired or limited.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::StoreError;

/// The time now, by the database's clock.
pub async fn now(conn: &mut PgConnection) -> Result<DateTime<Utc>, StoreError> {
    Ok(sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(conn)
        .await?)
}
