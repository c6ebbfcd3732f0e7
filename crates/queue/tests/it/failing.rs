//! Attempts that do not succeed: which of them count, which errors are stored, and when the job is
//! due again.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use queue::{Attempt, Backoff, Job, JobArgs, JobError};
use serde::{Deserialize, Serialize};

use crate::{
    harness::{DEADLINE, Running, TestQueue, settings, until},
    script::{DECODER_PANICS, Does, Hasty, Other, Plain, Scripted, hasty, other, plain},
};

fn fail(text: &str) -> Does {
    Does::Fail(text.to_owned(), None)
}

#[tokio::test]
async fn a_job_that_keeps_failing_backs_off_and_is_a_dead_letter_after_its_attempts() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Hasty>>(settings(), 4).await;
    let id = queue.enqueue(hasty("a", fail("no luck"))).await;
    let dead = queue.until_dead(id).await;
    running.stop().await;

    let expected = ("attempts_exhausted".to_owned(), 4, "no luck".to_owned());
    assert_eq!(dead, expected);
    let numbers: Vec<_> = queue.world.starts().iter().map(|start| start.1).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let given_back = queue.given_back(id).await;
    assert_eq!(given_back.len(), 3);
    for ((attempts, delay), (number, longest)) in
        given_back.into_iter().zip([(1, 0.1), (2, 0.2), (3, 0.3)])
    {
        assert_eq!(attempts, number);
        assert!(
            delay >= longest / 2.0 - 1e-6 && delay <= longest + 1e-6,
            "after failure {number}: {delay}"
        );
    }
    assert_eq!(queue.waiting().await, 0);
}

#[tokio::test]
async fn the_first_retry_by_default_is_half_a_second_to_a_second_away() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 20).await;
    for n in 0..20 {
        queue.enqueue(plain(format!("{n}"), fail("no"))).await;
    }
    until("all are given back", async || {
        queue.number("select count(*) from given_back").await >= 20
    })
    .await;
    running.stop().await;
    let outside = "select count(*) from given_back where attempts = 1 and not delay between 0.4999 and 1.0001";
    assert_eq!(queue.number(outside).await, 0);
    let different = "select count(distinct delay) from given_back where attempts = 1";
    assert!(queue.number(different).await > 10, "no jitter");
}

#[tokio::test]
async fn a_delay_that_the_error_names_is_honoured_and_the_error_is_kept() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    let after = Some(Duration::from_millis(90_500));
    let id = queue
        .enqueue(plain("a", Does::Fail("busy".to_owned(), after)))
        .await;
    until("it is given back", async || {
        !queue.given_back(id).await.is_empty()
    })
    .await;
    running.stop().await;
    assert_eq!(queue.given_back(id).await, [(1, 90.5)]);
    let row = queue.row(id).await.unwrap();
    assert_eq!((row.attempts, row.locked_by), (1, None));
    assert_eq!(row.last_error.as_deref(), Some("busy"));
    assert!(row.due_in > 60.0 && row.due_in <= 90.5, "{}", row.due_in);
}

#[tokio::test]
async fn a_snooze_costs_no_attempt_and_is_due_when_asked() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    let id = queue
        .enqueue(plain("a", Does::Snooze(Duration::from_hours(1))))
        .await;
    for times in 1..=15 {
        until("it is given back", async || {
            queue.given_back(id).await.len() == times
        })
        .await;
        assert!(!queue.row(id).await.unwrap().ready);
        queue.execute("update queue.jobs set ready = true").await;
    }
    running.stop().await;
    let given_back = queue.given_back(id).await;
    assert!(
        given_back.iter().all(|back| *back == (0, 3600.0)),
        "{given_back:?}"
    );
    assert!(queue.world.starts().iter().all(|(_, number)| *number == 1));
    assert_eq!(queue.dead().await, 0);
}

#[tokio::test]
async fn a_snooze_too_long_for_postgres_does_not_delay_other_outcomes() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    let id = queue.enqueue(plain("a", Does::Snooze(Duration::MAX))).await;
    until("it ran", async || queue.world.runs_of("a") == 1).await;
    queue.enqueue(plain("b", Does::Nothing)).await;
    until("the other is done", async || queue.waiting().await == 1).await;
    assert!(queue.row(id).await.is_some());
    running.stop().await;
}

#[tokio::test]
async fn a_discarded_job_is_a_dead_letter_at_once() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    let id = queue
        .enqueue(plain("a", Does::Discard("gone for good".to_owned())))
        .await;
    let dead = queue.until_dead(id).await;
    running.stop().await;
    let expected = ("discarded".to_owned(), 1, "gone for good".to_owned());
    assert_eq!(dead, expected);
    let kept = "select count(*) from queue.dead_jobs where kind = 'plain' and args ->> 'key' = 'a' and max_attempts = 12";
    assert_eq!(queue.number(kept).await, 1);
    assert_eq!((queue.waiting().await, queue.world.runs_of("a")), (0, 1));
}

#[tokio::test]
async fn a_job_with_undecodable_arguments_is_a_dead_letter_and_the_worker_continues() {
    let queue = TestQueue::new().await;
    queue
        .execute("insert into queue.jobs (kind, max_attempts, args) select 'plain', 12, args::json
                  from unnest(array['{\"no\": 1}', 'null', '[]', '\"\\ud800\"', '{\"key\": 1e999, \"does\": 0}']) as args")
        .await;
    let running = queue.run::<Scripted<Plain>>(settings(), 2).await;
    queue.enqueue(plain("good", Does::Nothing)).await;
    queue.until_empty().await;
    running.stop().await;
    let undecodable = "select count(*) from queue.dead_jobs where reason = 'undecodable'
                       and last_error like 'the arguments cannot be read: %'";
    assert_eq!(queue.number(undecodable).await, 5);
    assert_eq!(queue.world.starts(), [("good".to_owned(), 1)]);
}

#[tokio::test]
async fn a_decoder_that_panics_ends_the_attempt_and_not_the_worker() {
    let queue = TestQueue::new().await;
    let id = queue.enqueue(plain(DECODER_PANICS, Does::Nothing)).await;
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    until("it is given back", async || {
        !queue.given_back(id).await.is_empty()
    })
    .await;
    queue.enqueue(plain("good", Does::Nothing)).await;
    until("the other ran", async || queue.world.runs_of("good") == 1).await;
    running.stop().await;
    let row = queue.row(id).await.unwrap();
    assert_eq!(row.last_error.as_deref(), Some("panicked"));
}

#[tokio::test]
async fn an_error_with_a_nul_or_of_a_megabyte_is_stored_shortened_and_delays_no_other_outcome() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 8).await;
    let later = Some(Duration::from_hours(1));
    let long = "é\0".repeat(1 << 19);
    let retried = queue
        .enqueue(plain("retried", Does::Fail(long.clone(), later)))
        .await;
    let discarded = queue.enqueue(plain("discarded", Does::Discard(long))).await;
    queue
        .enqueue_all((0..20).map(|n| plain(format!("{n}"), Does::Nothing)))
        .await;
    let (_, _, dead) = queue.until_dead(discarded).await;
    until("only the retried one is left", async || {
        queue.waiting().await == 1
    })
    .await;
    until("it is given back", async || {
        queue.given_back(retried).await.len() == 1
    })
    .await;
    running.stop().await;
    let kept = queue.row(retried).await.unwrap().last_error.unwrap();
    for text in [kept, dead] {
        assert!(text.starts_with("é\u{fffd}é\u{fffd}") && text.ends_with('…'));
        assert!(text.len() < 2010, "{}", text.len());
    }
    assert_eq!(queue.dead().await, 1);
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_whose_text_is_not_stored() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Hasty>>(settings(), 1).await;
    let id = queue
        .enqueue(hasty("a", Does::Panic("+15550001234".to_owned())))
        .await;
    let dead = queue.until_dead(id).await;
    queue.enqueue(hasty("b", Does::Effect)).await;
    queue.until_empty().await;
    running.stop().await;
    let expected = ("attempts_exhausted".to_owned(), 4, "panicked".to_owned());
    assert_eq!(dead, expected);
    assert_eq!(queue.world.runs_of("a"), 4);
    assert_eq!(queue.effects().await, ["b"]);
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_cancelled_and_counts() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Hasty>>(settings(), 1).await;
    let id = queue
        .enqueue(hasty("a", Does::Hold(Does::Effect.into())))
        .await;
    let (reason, attempts, error) = queue.until_dead(id).await;
    assert_eq!((reason.as_str(), attempts), ("attempts_exhausted", 4));
    assert_eq!(error, "timed out after 200ms");
    assert_eq!(queue.world.cancelled(), ["a", "a", "a", "a"]);
    queue.enqueue(hasty("b", Does::Effect)).await;
    queue.until_empty().await;
    running.stop().await;
    assert_eq!(queue.effects().await, ["b"]);
}

/// A job that needs long to be dropped.
#[derive(Serialize, Deserialize)]
struct SlowToDrop;

#[derive(Clone, Default)]
struct Drops {
    began: Arc<AtomicUsize>,
    may_end: Arc<(Mutex<bool>, Condvar)>,
}

struct Guard(Drops);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.began.fetch_add(1, Ordering::SeqCst);
        let (may_end, changed) = &*self.0.may_end;
        let waiting = may_end.lock().unwrap();
        let waited = changed.wait_timeout_while(waiting, DEADLINE, |may_end| !*may_end);
        drop(waited.unwrap());
    }
}

impl JobArgs for SlowToDrop {
    const NAME: &'static str = "slow_to_drop";
}

impl Job<Drops> for SlowToDrop {
    const TIMEOUT: Duration = Duration::from_millis(100);
    const BACKOFF: Backoff = Backoff {
        first: Duration::from_hours(1),
        cap: Duration::from_hours(1),
    };

    async fn run(&self, drops: &Drops, _: &Attempt) -> Result<(), JobError> {
        let _guard = Guard(drops.clone());
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_outcome_is_written_before_a_cancelled_attempt_is_dropped() {
    let queue = TestQueue::new().await;
    let drops = Drops::default();
    let runner = queue.runner(settings()).await;
    let running = Running::start(
        runner
            .register::<SlowToDrop, _>(drops.clone(), 1)
            .register::<Scripted<Other>, _>(queue.world.clone(), 1),
    );
    let id = queue.enqueue(SlowToDrop).await;
    until("its time is over", async || {
        drops.began.load(Ordering::SeqCst) == 1
    })
    .await;
    // Several outcomes of others are written meanwhile.
    for n in 0..5 {
        queue.enqueue(other(format!("{n}"), Does::Nothing)).await;
        until("the other one is done", async || queue.waiting().await == 1).await;
    }
    assert_eq!(queue.given_back(id).await, []);
    *drops.may_end.0.lock().unwrap() = true;
    drops.may_end.1.notify_all();
    until("it is given back", async || {
        queue.given_back(id).await.len() == 1
    })
    .await;
    running.stop().await;
    let row = queue.row(id).await.unwrap();
    assert_eq!(row.last_error.as_deref(), Some("timed out after 100ms"));
}
