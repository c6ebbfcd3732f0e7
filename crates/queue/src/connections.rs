//! The runner's own connections, apart from those of the jobs, and otherwise like theirs.

use sqlx::{Executor, PgPool};

/// For claims, timers, renewals, presence and listening, one each.
pub(crate) fn control(pool: &PgPool) -> PgPool {
    let options = pool.options().clone().max_connections(5);
    options.connect_lazy_with(pool.connect_options().as_ref().clone())
}

/// For outcomes, whose commits do not wait for the disk: those that a crash of the database undoes leave their jobs to
/// run again, as after any crash. Nothing else goes through here; least of all a claim, whose fence must last.
pub(crate) fn outcomes(pool: &PgPool) -> PgPool {
    let options = pool
        .options()
        .clone()
        .max_connections(2)
        .after_connect(|conn, _| {
            Box::pin(async move {
                conn.execute(
                    "set synchronous_commit = off; set idle_in_transaction_session_timeout = '5s'",
                )
                .await?;
                Ok(())
            })
        });
    options.connect_lazy_with(pool.connect_options().as_ref().clone())
}
