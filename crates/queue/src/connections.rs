//! The connections that the queue makes beside the caller's pool.

use sqlx::{AssertSqlSafe, Executor, PgPool};

/// Claims, timers, renewals, the worker registry and notifications: one connection each.
const CONTROL: u32 = 5;

/// Outcomes.
const OUTCOMES: u32 = 2;

/// How many connections a [`crate::Runner`] makes beside its pool.
pub const RUNNER_CONNECTIONS: u32 = CONTROL + OUTCOMES;

/// How many connections a [`crate::Waker`] makes beside its pool.
pub const WAKER_CONNECTIONS: u32 = 1;

/// Every statement of the queue has one right plan, by index. Postgres plans a statement once a
/// connection, by what the table holds at that time. A plan made for an empty queue would later
/// read a million rows from end to end. Where a plan cannot avoid what is disabled here, its
/// estimated cost is so high that Postgres would compile it, which takes longer than running it:
/// hence no `jit`. And Postgres ends a session that is frozen in a transaction, so that its locks
/// do not stay.
const SESSION: &str =
    "set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off;
     set enable_hashjoin = off; set enable_mergejoin = off; set jit = off;
     set idle_in_transaction_session_timeout = '5s'";

/// If a crash of Postgres undoes an outcome, the job runs again, as after any crash. A notification
/// need not be durable.
const WITHOUT_WAITING_FOR_THE_DISK: &str = "set synchronous_commit = off";

/// For claims, timers, renewals, the worker registry and notifications.
pub(crate) fn control(pool: &PgPool) -> PgPool {
    connect(pool, CONTROL, SESSION)
}

/// For outcomes, and for nothing else. A claim must never be undone: its fence would be given out a
/// second time.
pub(crate) fn outcomes(pool: &PgPool) -> PgPool {
    connect(
        pool,
        OUTCOMES,
        &format!("{SESSION}; {WITHOUT_WAITING_FOR_THE_DISK}"),
    )
}

/// For sending notifications, one after the other.
pub(crate) fn waker(pool: &PgPool) -> PgPool {
    connect(pool, WAKER_CONNECTIONS, WITHOUT_WAITING_FOR_THE_DISK)
}

fn connect(pool: &PgPool, connections: u32, session: &str) -> PgPool {
    let session = session.to_owned();
    let options = pool.options().clone().max_connections(connections);
    let options = options.after_connect(move |conn, _| {
        let session = session.clone();
        Box::pin(async move {
            conn.execute(AssertSqlSafe(session)).await?;
            Ok(())
        })
    });
    options.connect_lazy_with(pool.connect_options().as_ref().clone())
}
