//! Reservations in rate limits: each message gets one, once. The reservation and the charge to the
//! limit are written in one statement: see `pigeonhole.reserve_starts` in the migrations.

use chrono::{DateTime, Utc};
use queue::rate_limit::{Admission, RateLimit, RateLimitSnapshot};
use sqlx::PgConnection;

use super::columns::TABLE;
use crate::error::StoreError;
use crate::wait_at_commit::wait_at_commit;

/// A message that needs a reservation.
#[derive(Debug, Clone)]
pub struct ReservationRequest {
    /// Twilio's id of the message.
    pub message_sid: String,
    /// The rate-limit key that it is counted under.
    pub rate_key: String,
    /// When it was sent, if it was recovered: it is counted then. `None`: it is counted now.
    pub sent_at: Option<DateTime<Utc>>,
}

/// Decides when each message may start, in the order of the list, and writes the reservations. Keys
/// that are not in `snapshot` are read first.
///
/// Nothing is locked while it decides. Where another process has changed a key meanwhile, it
/// decides again from the key's new state; each time at least one process succeeds.
///
/// Call it outside a transaction: each statement commits on its own. In a transaction that needs several
/// statements, the locks of the first would last until its end, and two such transactions could
/// deadlock.
///
/// An error, and nothing is charged in that statement, if one of the messages has a reservation
/// already or has ended: then another claim of its job has run meanwhile.
pub async fn reserve_starts(
    conn: &mut PgConnection,
    limit: &RateLimit,
    requests: &[ReservationRequest],
    mut snapshot: RateLimitSnapshot,
) -> Result<Vec<Admission>, StoreError> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let keys = requests.iter().map(|request| &request.rate_key);
    snapshot.read_others(conn, keys).await?;
    let mut admissions = vec![None; requests.len()];
    while !snapshot.is_empty() {
        let mut reservations = Vec::new();
        for (request, admission) in requests.iter().zip(&mut admissions) {
            // A key that is not in the snapshot is one whose reservations are written.
            let Some((decided, starts_at)) =
                snapshot.reserve(&request.rate_key, request.sent_at, limit)
            else {
                continue;
            };
            *admission = Some(decided);
            if !matches!(decided, Admission::Refused { .. }) {
                reservations.push(Reservation { request, starts_at });
            }
        }
        if reservations.is_empty() {
            // Only refusals are left. They end messages and write nothing here, so a standby could
            // decide them: this fails there.
            wait_at_commit(conn).await?;
            break;
        }
        snapshot = write(conn, reservations, &snapshot).await?;
    }
    let admissions: Option<Vec<Admission>> = admissions.into_iter().collect();
    // `queue.read_rate_limits` returns every key that it was given.
    admissions.ok_or_else(|| StoreError::NotOneRow {
        table: TABLE,
        id: "a rate-limit key".to_owned(),
        found: 0,
    })
}

struct Reservation<'a> {
    request: &'a ReservationRequest,
    starts_at: DateTime<Utc>,
}

/// Writes reservations and charges their keys. Returns the keys that another process has changed
/// since they were read, as they are now: their messages have no reservation yet.
async fn write(
    conn: &mut PgConnection,
    mut reservations: Vec<Reservation<'_>>,
    snapshot: &RateLimitSnapshot,
) -> Result<RateLimitSnapshot, StoreError> {
    // The order in which rows are locked.
    reservations.sort_unstable_by_key(|reservation| &reservation.request.message_sid);
    let sids: Vec<String> = reservations
        .iter()
        .map(|r| r.request.message_sid.clone())
        .collect();
    let starts: Vec<DateTime<Utc>> = reservations.iter().map(|r| r.starts_at).collect();
    let rate_keys: Vec<String> = reservations
        .iter()
        .map(|r| r.request.rate_key.clone())
        .collect();
    let updates = snapshot.updates();
    let rows = sqlx::query!(
        r#"select key as "key!", tat_ns as "tat_ns!", now as "now!"
           from pigeonhole.reserve_starts($1, $2, $3, $4, $5, $6)"#,
        &sids,
        &starts,
        &rate_keys,
        &updates.keys,
        &updates.before,
        &updates.after,
    )
    .fetch_all(conn)
    .await?;
    let mut changed = RateLimitSnapshot::default();
    for row in rows {
        changed.record(row.key, row.tat_ns, row.now);
    }
    Ok(changed)
}
