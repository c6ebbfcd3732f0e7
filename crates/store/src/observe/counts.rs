//! How many messages and SMS are in each state.

use sqlx::PgConnection;

use crate::error::StoreError;
use crate::inbound_messages::MessageState;
use crate::sends::{Purpose, SendState};

/// The most messages that are counted.
const MESSAGES: i64 = 10_000;

/// The most SMS that are counted.
const SENDS: i64 = 50_000;

/// The newest messages of the last day, 10,000 at most, by state.
pub async fn messages(conn: &mut PgConnection) -> Result<Vec<(MessageState, i64)>, StoreError> {
    let rows = sqlx::query!(
        r#"select state as "state!", count(*) as "count!" from (
               select state from pigeonhole.inbound_messages
               where received_at > statement_timestamp() - interval '1 day'
               order by received_at desc limit $1
           ) as newest group by state"#,
        MESSAGES,
    )
    .fetch_all(conn)
    .await?;
    let count = |state: MessageState| {
        let row = rows.iter().find(|row| row.state == state.as_str());
        (state, row.map_or(0, |row| row.count))
    };
    Ok(MessageState::ALL.into_iter().map(count).collect())
}

/// The SMS of the last day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendCounts {
    /// How many there are, of each purpose and state.
    pub counts: Vec<(Purpose, SendState, i64)>,
    /// How many of them Twilio has accepted, or may have accepted: these cost money.
    pub paid: i64,
}

/// The SMS of the last day, 50,000 at most.
pub async fn sends(conn: &mut PgConnection) -> Result<SendCounts, StoreError> {
    let rows = sqlx::query!(
        r#"select purpose as "purpose!", state as "state!", count(*) as "count!",
               count(*) filter (where twilio_sid is not null or state = 'unknown') as "paid!"
           from (
               select purpose, state, twilio_sid from pigeonhole.sends
               where created_at > statement_timestamp() - interval '1 day'
               order by created_at desc limit $1
           ) as newest group by purpose, state"#,
        SENDS,
    )
    .fetch_all(conn)
    .await?;
    let paid = rows.iter().map(|row| row.paid).sum();
    let count = |purpose: Purpose, state: SendState| {
        let row = rows
            .iter()
            .find(|row| row.purpose == purpose.as_str() && row.state == state.as_str());
        (purpose, state, row.map_or(0, |row| row.count))
    };
    let of = |purpose| SendState::ALL.map(|state| count(purpose, state));
    let counts = Purpose::ALL.into_iter().flat_map(of).collect();
    Ok(SendCounts { counts, paid })
}
