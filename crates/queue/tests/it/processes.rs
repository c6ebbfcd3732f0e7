//! Workers that are real processes, which die, are killed, or are paused.

use std::{
    env,
    io::{self, Read},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use queue::RunnerSettings;
use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;

use crate::{
    harness::{TestQueue, connect, keys, short_lease, until},
    script::{Deadly, Does, Other, Plain, Scripted, World, other, plain},
};

const LEASE: Duration = Duration::from_secs(1);

/// Every worker's, its name included.
fn settings() -> RunnerSettings {
    short_lease(LEASE)
}

/// Not a test: the worker process that the tests start. It ends when they do, as its standard input
/// does.
#[tokio::test]
#[ignore = "a process for the other tests to kill"]
async fn worker_process() {
    let Some(url) = env::var_os("QUEUE_TEST_WORKER") else {
        return;
    };
    thread::spawn(|| {
        io::stdin().read_to_end(&mut Vec::new()).unwrap();
        std::process::exit(0);
    });
    let url = url.to_str().unwrap();
    let world = World::new(connect(url, "worker", 4).await, true);
    queue::Runner::new(connect(url, "worker", 3).await, settings())
        .register::<Scripted<Plain>, _>(world.clone(), 10)
        .register::<Scripted<Other>, _>(world.clone(), 2)
        .register::<Scripted<Deadly>, _>(world, 2)
        .run(CancellationToken::new())
        .await
        .unwrap();
}

struct Worker(Child);

impl Worker {
    fn start(queue: &TestQueue) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["processes::worker_process", "--exact", "--ignored"]);
        command.env("QUEUE_TEST_WORKER", queue.url());
        command.stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

async fn starts_of(queue: &TestQueue, key: &str) -> i64 {
    sqlx::query_scalar("select count(*) from starts where key = $1")
        .bind(key)
        .fetch_one(&queue.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_job_that_kills_its_process_is_a_dead_letter_after_its_attempts_and_the_others_finish() {
    let queue = TestQueue::new().await;
    let poison = queue
        .enqueue(Scripted::<Deadly>::new("poison", Does::Abort))
        .await;
    let all = keys("job", 30);
    let slow = Does::After(Duration::from_millis(50), Does::Effect.into());
    queue
        .enqueue_all(all.iter().map(|key| plain(key, slow.clone())))
        .await;
    let mut deaths = 0;
    let mut worker = Worker::start(&queue);
    let since = Instant::now();
    while queue.dead_letter(poison).await.is_none() {
        assert!(since.elapsed() < crate::harness::DEADLINE, "{deaths}");
        if worker.ended().is_some() {
            deaths += 1;
            worker = Worker::start(&queue);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    queue.until_empty().await;
    assert!(worker.ended().is_none());
    assert_eq!((deaths, starts_of(&queue, "poison").await), (3, 3));
    let (reason, attempts, error) = queue.dead_letter(poison).await.unwrap();
    assert_eq!((reason.as_str(), attempts), ("attempts_exhausted", 3));
    assert_eq!(error, "3 attempts ended with the death of their worker");
    assert_eq!(queue.effects().await, all);
    assert_eq!(queue.dead().await, 1);
}

#[tokio::test]
async fn jobs_of_a_killed_process_run_in_another_of_the_same_name_within_two_leases() {
    let queue = TestQueue::new().await;
    let all = keys("job", 10);
    queue
        .enqueue_all(all.iter().map(|key| plain(key, Does::HangOnce)))
        .await;
    let first = Worker::start(&queue);
    until("all run", async || {
        queue.number("select count(*) from starts").await == 10
    })
    .await;
    let running = queue.run::<Scripted<Plain>>(settings(), 10).await;
    drop(first); // kill -9
    let killed = Instant::now();
    queue.until_empty().await;
    assert!(killed.elapsed() < 2 * LEASE, "{:?}", killed.elapsed());
    running.stop().await;
    let mut starts = queue.world.starts();
    starts.sort_unstable();
    assert!(
        starts
            .into_iter()
            .eq(all.iter().map(|key| (key.clone(), 2)))
    );
    queue.assert_all_had_their_effect_once(all).await;
}

#[tokio::test]
async fn a_process_that_was_paused_beyond_its_lease_writes_nothing_afterwards() {
    let queue = TestQueue::new().await;
    let mut stopped = Worker::start(&queue);
    let all = keys("job", 10);
    let slow = Does::After(LEASE / 4, Does::Effect.into());
    queue
        .enqueue_all(all.iter().map(|key| plain(key, slow.clone())))
        .await;
    until("it holds a job", async || {
        queue.number("select count(*) from starts").await > 0
    })
    .await;
    stopped.signal(Signal::STOP);
    let began = queue.number("select count(*) from starts").await;
    let claimed = queue
        .number("select count(*) from queue.jobs where locked_by is not null")
        .await;
    assert!(claimed > 0);

    // This process takes them over.
    let running = queue.run::<Scripted<Plain>>(settings(), 10).await;
    queue.until_empty().await;
    let effects = queue.effects().await;
    assert_eq!(effects, all);

    stopped.signal(Signal::CONT);
    // A kind that only it runs: it goes on working, and by then would have written what it was
    // about to write.
    for n in 0..5 {
        queue.enqueue(other(format!("{n}"), Does::Nothing)).await;
        queue.until_empty().await;
    }
    assert!(stopped.ended().is_none() && began > 0);
    running.stop().await;
    queue.assert_all_had_their_effect_once(all).await;
}
