//! Transactions that have been open for long: Postgres cannot remove dead rows that they may still
//! see.

use std::time::Duration;

use sqlx::PgConnection;

use super::transaction::begin;
use crate::error::StoreError;

/// What holds an old snapshot of this database.
#[derive(Debug, Clone)]
pub struct SnapshotHolders {
    /// The holders, the oldest first; ten at most.
    pub holders: Vec<SnapshotHolder>,
    /// The sessions of all users were visible, and not only those of this user.
    pub all_users: bool,
}

/// Something that keeps old rows visible.
#[derive(Debug, Clone)]
pub enum SnapshotHolder {
    /// A session with a transaction.
    Session {
        /// Its process on the server.
        pid: i32,
        /// Its application name.
        application: String,
        /// It is idle in its transaction.
        idle: bool,
        /// For how long.
        seconds: f64,
    },
    /// A transaction that is prepared for a two-phase commit.
    Prepared {
        /// Its name.
        name: String,
        /// For how long.
        seconds: f64,
    },
    /// A replication slot without a reader.
    Slot {
        /// Its name.
        name: String,
    },
}

/// Returns what has held a snapshot for longer than this.
pub async fn holders(
    conn: &mut PgConnection,
    age: Duration,
) -> Result<SnapshotHolders, StoreError> {
    let mut tx = begin(conn).await?;
    let age = age.as_secs_f64();
    let sessions = sqlx::query!(
        r#"
        select pid as "pid!", coalesce(application_name, '') as "application!",
            coalesce(state like 'idle in transaction%', false) as "idle!",
            extract(epoch from clock_timestamp() - xact_start)::float8 as "seconds!"
        from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
            and xact_start < clock_timestamp() - make_interval(secs => $1)
            and (backend_xmin is not null or backend_xid is not null
                or state like 'idle in transaction%')
        order by xact_start limit 10
        "#,
        age,
    )
    .fetch_all(&mut *tx)
    .await?;
    let prepared = sqlx::query!(
        r#"select gid as "gid!", extract(epoch from clock_timestamp() - prepared)::float8 as "seconds!"
           from pg_prepared_xacts
           where database = current_database()
               and prepared < clock_timestamp() - make_interval(secs => $1)
           order by prepared limit 10"#,
        age,
    )
    .fetch_all(&mut *tx)
    .await?;
    let slots = sqlx::query_scalar!(
        r#"select slot_name as "name!" from pg_replication_slots
           where not active and xmin is not null limit 10"#,
    )
    .fetch_all(&mut *tx)
    .await?;
    let all_users = sqlx::query_scalar!(
        r#"select pg_has_role(session_user, 'pg_read_all_stats', 'usage') as "all!""#,
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.rollback().await?;
    let sessions = sessions.into_iter().map(|row| SnapshotHolder::Session {
        pid: row.pid,
        application: row.application,
        idle: row.idle,
        seconds: row.seconds,
    });
    let prepared = prepared.into_iter().map(|row| SnapshotHolder::Prepared {
        name: row.gid,
        seconds: row.seconds,
    });
    let slots = slots.into_iter().map(|name| SnapshotHolder::Slot { name });
    Ok(SnapshotHolders {
        holders: sessions.chain(prepared).chain(slots).collect(),
        all_users,
    })
}
