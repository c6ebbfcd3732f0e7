//! An effect that does not complete its job, and reading dead letters.

use std::time::Duration;

use queue::{Attempt, Job, JobArgs, JobError, dead_letters, testing::TestQueue as Manual};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::harness::TestQueue;

/// Holds its job, and fails.
#[derive(Debug, Serialize, Deserialize)]
struct Holds {
    loses_its_lease: bool,
}

impl JobArgs for Holds {
    const NAME: &'static str = "holds";
    const MAX_ATTEMPTS: u16 = 1;
}

impl Job<PgPool> for Holds {
    async fn run(&self, pool: &PgPool, attempt: &Attempt) -> Result<(), JobError> {
        if self.loses_its_lease {
            sqlx::query("update queue.jobs set claim = claim + 1 where id = $1")
                .bind(attempt.job_id())
                .execute(pool)
                .await
                .map_err(JobError::retry)?;
        }
        let mut tx = pool.begin().await.map_err(JobError::retry)?;
        attempt.hold(&mut tx).await?;
        tx.commit().await.map_err(JobError::retry)?;
        Err(JobError::retry(anyhow::anyhow!("held")))
    }
}

#[tokio::test]
async fn an_attempt_that_has_lost_its_lease_cannot_hold_its_job() {
    let queue = TestQueue::new().await;
    let manual = Manual::new(queue.pool.clone()).register::<Holds, _>(queue.pool.clone());
    for (loses_its_lease, expected) in [(false, "DeadLetter"), (true, "LeaseLost")] {
        queue.enqueue(Holds { loses_its_lease }).await;
        let ran = manual.run_one().await.unwrap();
        let outcome = format!("{:?}", ran.outcome);
        assert!(outcome.starts_with(expected), "{outcome}");
    }
}

#[tokio::test]
async fn recent_dead_letters_of_a_kind_are_read_page_by_page_in_the_order_of_death() {
    let queue = TestQueue::new().await;
    let manual = Manual::new(queue.pool.clone()).register::<Holds, _>(queue.pool.clone());
    let mut ids = Vec::new();
    for _ in 0..5 {
        let job = Holds {
            loses_its_lease: false,
        };
        ids.push(queue.enqueue(job).await);
        manual.drain().await;
    }
    let age = Duration::from_hours(1);
    sqlx::query("update queue.dead_jobs set died_at = died_at - interval '2 hours' where id = $1")
        .bind(ids[0])
        .execute(&queue.pool)
        .await
        .unwrap();
    sqlx::query("update queue.dead_jobs set args = '7' where id = $1")
        .bind(ids[4])
        .execute(&queue.pool)
        .await
        .unwrap();
    let mut conn = queue.pool.acquire().await.unwrap();
    let (mut seen, mut readable, mut after) = (Vec::new(), 0, None);
    loop {
        let page = dead_letters::<Holds>(&mut conn, age, after, 2)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.place);
        readable += page.iter().filter(|letter| letter.job.is_some()).count();
        seen.extend(page.iter().map(|letter| letter.place.1));
    }
    assert_eq!(seen, ids[1..]);
    assert_eq!(readable, 3);
}
