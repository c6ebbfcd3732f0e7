//! `pigeonhole.phone_number_claims`: numbers that users say are theirs, and the codes that prove it.

mod check;
mod code;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

pub use self::check::{Checked, MOST_CHECKS_AN_HOUR, check};
pub use self::code::Code;
use crate::clock::seconds;
use crate::{Context, E164, Keyring, StoreError, users};

const TABLE: &str = "pigeonhole.phone_number_claims";

/// A code that is good for less is not issued again.
const LEAST_LIFE: Duration = Duration::from_mins(1);

/// Wrong tries that end a code.
pub const MOST_WRONG_TRIES: i16 = 5;

/// A code to be sent.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The code.
    pub code: Code,
    /// Until when it is good, by the database's clock.
    pub expires_at: DateTime<Utc>,
    /// How long that is from now.
    pub life: Duration,
}

/// A user's claim, for that user.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The number.
    pub number: E164,
    /// Until when its code is good; `None` when there is none that could still be entered.
    pub code_expires_at: Option<DateTime<Utc>>,
}

/// Claims a number for a user and issues a code for it. A code of theirs for the same number that is good for another
/// minute at least is issued again, until when it was; anything else of an earlier claim gives way.
///
/// Fails with [`StoreError::UserGone`] if there is no such user.
pub async fn claim(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
    life: Duration,
) -> Result<Issued, StoreError> {
    let mut tx = conn.begin().await?;
    if !users::hold(&mut tx, user_id).await? {
        return Err(StoreError::UserGone { table: TABLE });
    }
    let before = Locked::row(&mut tx, user_id).await?;
    let issued = match before.and_then(|row| row.reissue(keyring, user_id, number)) {
        Some(issued) => issued,
        None => issue(&mut tx, keyring, user_id, number, life).await?,
    };
    tx.commit().await?;
    Ok(issued)
}

/// Writes a claim with a new code, over the one before.
async fn issue(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
    number: &E164,
    life: Duration,
) -> Result<Issued, StoreError> {
    let code = Code::random()?;
    let sealed_number = keyring.seal(
        &column("sealed_number", user_id),
        number.as_str().as_bytes(),
    )?;
    let index = keyring.blind_index(number.as_str());
    let expires_at = sqlx::query_scalar!(
        "insert into pigeonhole.phone_number_claims
             (user_id, number_index, sealed_number, sealed_code, code_expires_at, claimed_at)
         values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5), clock_timestamp())
         on conflict (user_id) do update set
             number_index = excluded.number_index, sealed_number = excluded.sealed_number,
             sealed_code = excluded.sealed_code, code_expires_at = excluded.code_expires_at,
             wrong_tries = 0, claimed_at = excluded.claimed_at
         returning code_expires_at",
        user_id,
        index.as_str(),
        sealed_number,
        keyring.seal(&column("sealed_code", user_id), code.as_str().as_bytes())?,
        life.as_secs_f64(),
    )
    .fetch_one(conn)
    .await?;
    Ok(Issued {
        code,
        expires_at,
        life,
    })
}

/// The user's claim.
pub async fn of_user(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user_id: Uuid,
) -> Result<Option<Claim>, StoreError> {
    let row = sqlx::query!(
        r#"select sealed_number,
               case when sealed_code is not null and code_expires_at > clock_timestamp() and wrong_tries < $2
                   then code_expires_at end as code_expires_at
           from pigeonhole.phone_number_claims where user_id = $1"#,
        user_id,
        MOST_WRONG_TRIES,
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let number = keyring.open(&column("sealed_number", user_id), &row.sealed_number)?;
        let number = str::from_utf8(&number)
            .ok()
            .and_then(|n| E164::parse(n).ok());
        Ok(Claim {
            number: number.ok_or(StoreError::UnknownValue {
                table: TABLE,
                column: "sealed_number",
            })?,
            code_expires_at: row.code_expires_at,
        })
    })
    .transpose()
}

/// Forgets the user's claim and its code; answers whether there was one.
pub async fn remove(conn: &mut PgConnection, user_id: Uuid) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "delete from pigeonhole.phone_number_claims where user_id = $1",
        user_id,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Locks the claim of a user who is held, until the transaction ends; if there is none, none appears.
pub(crate) async fn lock(conn: &mut PgConnection, user_id: Uuid) -> Result<(), StoreError> {
    Locked::row(conn, user_id).await?;
    Ok(())
}

/// Forgets every claim on a number; answers how many there were.
pub(crate) async fn remove_number(
    conn: &mut PgConnection,
    keyring: &Keyring,
    number: &E164,
) -> Result<u64, StoreError> {
    let index = keyring.blind_indexes(number.as_str());
    // The users first, as in `users::hold`; and in an order, so that two of these do not wait for each other.
    let claimants = sqlx::query_scalar!(
        "select id from users
         where id in (select user_id from pigeonhole.phone_number_claims where number_index = any($1))
         order by id for key share",
        &index,
    )
    .fetch_all(&mut *conn)
    .await?;
    let done = sqlx::query!(
        "delete from pigeonhole.phone_number_claims where user_id in (
             select user_id from pigeonhole.phone_number_claims
             where user_id = any($1) and number_index = any($2)
             order by user_id for update)",
        &claimants,
        &index,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Erases codes that have expired, and claims that are older than `age`; answers how many rows changed.
///
/// A row that somebody is at work on is left for the next time.
pub async fn forget(conn: &mut PgConnection, age: Duration) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from pigeonhole.phone_number_claims where user_id in (
             select user_id from pigeonhole.phone_number_claims
             where claimed_at < clock_timestamp() - make_interval(secs => $1) for update skip locked)",
        age.as_secs_f64(),
    )
    .execute(&mut *conn)
    .await?;
    let erased = sqlx::query!(
        "update pigeonhole.phone_number_claims set sealed_code = null where user_id in (
             select user_id from pigeonhole.phone_number_claims
             where sealed_code is not null and code_expires_at <= clock_timestamp() for update skip locked)",
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected() + erased.rows_affected())
}

/// A user's row, which is locked until the transaction ends.
struct Locked {
    number_index: String,
    sealed_code: Option<Vec<u8>>,
    expires_at: DateTime<Utc>,
    wrong_tries: i16,
    /// What is left of the code's life; not positive if it has expired.
    seconds: f64,
}

impl Locked {
    async fn row(conn: &mut PgConnection, user_id: Uuid) -> Result<Option<Self>, StoreError> {
        // Two steps, so that the clock is read after any wait for the lock.
        Ok(sqlx::query_as!(
            Self,
            r#"with locked as materialized (
                   select number_index, sealed_code, code_expires_at, wrong_tries
                   from pigeonhole.phone_number_claims where user_id = $1 for update
               )
               select number_index, sealed_code, code_expires_at as expires_at, wrong_tries,
                   extract(epoch from code_expires_at - clock_timestamp())::float8 as "seconds!"
               from locked"#,
            user_id,
        )
        .fetch_optional(conn)
        .await?)
    }

    /// The sealed code, if it is for this number and can still be entered.
    fn good_code(self, keyring: &Keyring, number: &E164) -> Option<Vec<u8>> {
        let good = self.seconds > 0.0
            && self.wrong_tries < MOST_WRONG_TRIES
            && keyring
                .blind_indexes(number.as_str())
                .contains(&self.number_index);
        self.sealed_code.filter(|_| good)
    }

    /// The same code again. One that does not open is as good as none.
    fn reissue(self, keyring: &Keyring, user_id: Uuid, number: &E164) -> Option<Issued> {
        let (expires_at, life) = (self.expires_at, seconds(self.seconds));
        let sealed = self
            .good_code(keyring, number)
            .filter(|_| life >= LEAST_LIFE)?;
        let code = keyring
            .open(&column("sealed_code", user_id), &sealed)
            .ok()?;
        Some(Issued {
            code: Code::parse(&code)?,
            expires_at,
            life,
        })
    }
}

fn column(column: &'static str, user_id: Uuid) -> Context {
    Context::new(TABLE, column, user_id)
}
