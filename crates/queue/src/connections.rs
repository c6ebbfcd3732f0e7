//! The runner's own connections, apart from those of the jobs.

use sqlx::{AssertSqlSafe, Executor, PgPool};

/// Every statement here has one right plan, by index. Postgres plans it once a connection, by what the table holds then:
/// an empty queue would leave it reading a million rows from end to end, for as long as the plan is kept. And a session
/// that is frozen in a transaction must let its locks go. (Where a plan cannot do without, it costs so much on paper that
/// Postgres would compile it, which takes longer than running it: hence no `jit`.)
const SESSION: &str =
    "set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off;
     set enable_hashjoin = off; set enable_mergejoin = off; set jit = off;
     set idle_in_transaction_session_timeout = '5s'";

/// Outcomes that a crash of the database undoes leave their jobs to run again, as after any crash. A notification is a
/// commit that nobody needs on the disk.
const WITHOUT_WAITING_FOR_THE_DISK: &str = "set synchronous_commit = off";

/// For claims, timers, renewals, presence and listening, one each.
pub(crate) fn control(pool: &PgPool) -> PgPool {
    connect(pool, 5, SESSION)
}

/// For outcomes. Nothing else goes through here; least of all a claim, whose fence must last.
pub(crate) fn outcomes(pool: &PgPool) -> PgPool {
    connect(
        pool,
        2,
        &format!("{SESSION}; {WITHOUT_WAITING_FOR_THE_DISK}"),
    )
}

/// For notifications, one after the other.
pub(crate) fn waker(pool: &PgPool) -> PgPool {
    connect(pool, 1, WITHOUT_WAITING_FOR_THE_DISK)
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
