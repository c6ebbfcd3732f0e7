//! Every job that a test leaves in its queue must be declared, so that a stuck or failed job does
//! not go unnoticed.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    thread,
};

use sqlx::{Connection, PgConnection};

/// Live jobs and dead letters, except live jobs that a schedule enqueues: these may appear at any
/// time.
const LEFT_JOBS: &str = "
    select 'live' as state, kind, id, attempts, errors -> -1 ->> 'error' as error
    from queue.jobs where kind not in (select name from queue.schedules)
    union all
    select 'dead', kind, id, attempts, last_error from queue.dead_jobs
    order by kind, id";

/// A job that is left in the queue.
#[derive(Debug, sqlx::FromRow)]
struct LeftJob {
    state: String,
    kind: String,
    #[expect(dead_code, reason = "shown when the check fails")]
    id: i64,
    #[expect(dead_code, reason = "shown when the check fails")]
    attempts: i16,
    #[expect(dead_code, reason = "shown when the check fails")]
    error: Option<String>,
}

/// How many jobs a test may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AllowedJobs {
    Exactly(usize),
    AnyNumber,
}

/// The jobs that a test has declared to leave, by state and kind.
#[derive(Debug, Default)]
pub(crate) struct DeclaredJobs(Mutex<BTreeMap<(&'static str, &'static str), AllowedJobs>>);

impl DeclaredJobs {
    /// The test leaves this number of live jobs of this kind.
    pub(crate) fn live(&self, kind: &'static str, count: usize) {
        self.declare("live", kind, AllowedJobs::Exactly(count));
    }

    /// The test leaves any number of live jobs of this kind.
    pub(crate) fn any_live(&self, kind: &'static str) {
        self.declare("live", kind, AllowedJobs::AnyNumber);
    }

    /// The test leaves this number of dead letters of this kind.
    pub(crate) fn dead(&self, kind: &'static str, count: usize) {
        self.declare("dead", kind, AllowedJobs::Exactly(count));
    }

    fn declare(&self, state: &'static str, kind: &'static str, allowed: AllowedJobs) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert((state, kind), allowed);
    }

    /// Panics unless the queue of this database holds exactly the declared jobs.
    ///
    /// It blocks, so that `drop` can call it: the query runs on a thread and a connection of its
    /// own.
    pub(crate) fn check(&self, database_url: &str) {
        let url = database_url.to_owned();
        let left = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(left_jobs(&url))
        });
        let left = left.join().expect("the left jobs can be read");
        let mut counts = BTreeMap::new();
        for job in &left {
            *counts.entry((&*job.state, &*job.kind)).or_default() += 1_usize;
        }
        let declared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, allowed) in &*declared {
            let count = counts.remove(key).unwrap_or_default();
            assert!(
                matches!(allowed, AllowedJobs::AnyNumber)
                    || *allowed == AllowedJobs::Exactly(count),
                "the test declared {allowed:?} {key:?} jobs and left {count}: {left:#?}"
            );
        }
        assert!(
            counts.is_empty(),
            "the test left jobs that it has not declared ({counts:?}): {left:#?}"
        );
    }
}

async fn left_jobs(url: &str) -> Vec<LeftJob> {
    let mut conn = PgConnection::connect(url).await.unwrap();
    let left = sqlx::query_as(LEFT_JOBS)
        .fetch_all(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
    left
}
