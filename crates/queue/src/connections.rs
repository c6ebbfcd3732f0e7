//! The runner's own connections, apart from those of the jobs.

use sqlx::{Executor, PgPool, postgres::PgPoolOptions};

/// For claims, timers, renewals, presence and listening, one each.
pub(crate) fn control(pool: &PgPool) -> PgPool {
    like(pool, 5).connect_lazy_with(pool.connect_options().as_ref().clone())
}

/// For outcomes, whose commits do not wait for the disk: those that a crash of the database undoes leave their jobs to
/// run again, as after any crash. Nothing else goes through here; least of all a claim, whose fence must last.
pub(crate) fn outcomes(pool: &PgPool) -> PgPool {
    like(pool, 2)
        .after_connect(|conn, _| {
            Box::pin(async move {
                conn.execute("set synchronous_commit = off").await?;
                Ok(())
            })
        })
        .connect_lazy_with(pool.connect_options().as_ref().clone())
}

fn like(pool: &PgPool, connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(pool.options().get_acquire_timeout())
        .test_before_acquire(false)
}
