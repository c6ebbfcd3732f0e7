//! The rules of the crate, with an operation that records its batches and can be told to fail or to
//! wait.

use std::sync::Mutex;

use futures_util::future::join_all;
use tokio::sync::watch;

use super::*;
use crate::OnError;

/// Records each batch. A request below zero is one that the database rejects.
struct Recorder {
    batches: Arc<Mutex<Vec<Vec<i32>>>>,
    /// Executions wait while this is true.
    held: watch::Receiver<bool>,
    on_error: OnError,
}

impl BatchOperation for Recorder {
    type Request = i32;
    type Response = i32;
    type Error = &'static str;

    async fn execute(&self, requests: &[&i32]) -> Result<Vec<i32>, &'static str> {
        let requests: Vec<i32> = requests.iter().copied().copied().collect();
        self.batches.lock().unwrap().push(requests.clone());
        let mut held = self.held.clone();
        held.wait_for(|held| !held).await.unwrap();
        if requests.iter().any(|request| *request < 0) {
            return Err("rejected");
        }
        Ok(requests.into_iter().map(|request| request * 10).collect())
    }

    fn on_error(&self, _: Option<&&'static str>, _: usize, _: u32) -> OnError {
        self.on_error
    }
}

struct Harness {
    submitter: Submitter<Recorder>,
    batches: Arc<Mutex<Vec<Vec<i32>>>>,
    hold: watch::Sender<bool>,
}

impl Harness {
    fn start(limits: Limits, on_error: OnError) -> Self {
        let (hold, gate) = watch::channel(false);
        let batches = Arc::<Mutex<Vec<Vec<i32>>>>::default();
        let operation = Recorder {
            batches: batches.clone(),
            held: gate,
            on_error,
        };
        Self {
            submitter: Submitter::start(limits, operation),
            batches,
            hold,
        }
    }

    /// A harness whose first batch, the request 0, is in flight and waits.
    async fn held(limits: Limits, on_error: OnError) -> Self {
        let harness = Self::start(limits, on_error);
        harness.hold.send_replace(true);
        harness.submit(0);
        harness.until_batches(1).await;
        harness
    }

    fn submit(
        &self,
        request: i32,
    ) -> tokio::task::JoinHandle<Result<i32, SubmitError<&'static str>>> {
        let submitter = self.submitter.clone();
        tokio::spawn(async move { submitter.submit(request).await })
    }

    async fn until_batches(&self, count: usize) {
        let enough = async {
            while self.batches.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), enough)
            .await
            .expect("a batch starts");
    }

    /// Waits until so many requests wait or are in flight.
    async fn until_pending(&self, count: usize) {
        while self.submitter.pending() < count {
            tokio::task::yield_now().await;
        }
    }

    fn sizes(&self) -> Vec<usize> {
        self.batches.lock().unwrap().iter().map(Vec::len).collect()
    }
}

fn limits() -> Limits {
    Limits::new(1000, Duration::from_secs(10))
}

#[tokio::test]
async fn what_arrives_during_a_batch_is_the_next_batch_and_each_gets_its_own_response() {
    let harness = Harness::start(
        Limits {
            max_in_flight: 1,
            ..limits()
        },
        OnError::Split,
    );
    harness.hold.send_replace(true);
    let first = harness.submit(0);
    harness.until_batches(1).await;
    let others: Vec<_> = (1..100).map(|request| harness.submit(request)).collect();
    harness.until_pending(100).await;
    harness.hold.send_replace(false);
    assert_eq!(first.await.unwrap(), Ok(0));
    for (request, response) in (1..).zip(join_all(others).await) {
        assert_eq!(response.unwrap(), Ok(request * 10));
    }
    assert_eq!(harness.sizes(), [1, 99]);
    while harness.submitter.pending() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn tasks_that_are_ready_together_share_a_batch_and_a_single_one_waits_for_nobody() {
    let harness = Harness::start(limits(), OnError::Split);
    let start = Arc::new(tokio::sync::Barrier::new(20));
    let tasks = (0..20).map(|request| {
        let (submitter, start) = (harness.submitter.clone(), start.clone());
        tokio::spawn(async move {
            start.wait().await;
            submitter.submit(request).await
        })
    });
    for (request, response) in (0..).zip(join_all(tasks).await) {
        assert_eq!(response.unwrap(), Ok(request * 10));
    }
    harness.submit(7).await.unwrap().unwrap();
    assert_eq!(harness.sizes(), [20, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_second_batch_starts_at_once_only_for_many_and_a_third_never() {
    let harness = Harness::held(limits(), OnError::Split).await;
    let began = Instant::now();
    for request in 1..i32::try_from(limits().second_batch_at).unwrap() {
        harness.submit(request);
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        harness.sizes(),
        [1],
        "fifteen requests wait for the first batch"
    );
    harness.submit(16);
    harness.until_batches(2).await;
    assert_eq!(harness.sizes(), [1, 16]);
    assert!(began.elapsed() < limits().second_batch_after);
    for request in 17..200 {
        harness.submit(request);
    }
    tokio::time::sleep(limits().second_batch_after * 10).await;
    assert_eq!(harness.sizes(), [1, 16], "two batches are in flight");
}

#[tokio::test(start_paused = true)]
async fn a_slow_batch_does_not_delay_the_requests_behind_it() {
    let harness = Harness::held(limits(), OnError::Split).await;
    harness.submit(1);
    let began = Instant::now();
    while harness.sizes().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(began.elapsed() <= limits().second_batch_after * 2);
}

#[tokio::test]
async fn a_request_that_is_rejected_fails_alone() {
    let harness = Harness::held(
        Limits {
            max_in_flight: 1,
            ..limits()
        },
        OnError::Split,
    )
    .await;
    let requests = [1, -2, 3].map(|request| harness.submit(request));
    harness.until_pending(4).await;
    harness.hold.send_replace(false);
    let responses: Vec<_> = join_all(requests)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        responses,
        [Ok(10), Err(SubmitError::Failed("rejected")), Ok(30)]
    );
    assert_eq!(harness.sizes(), [1, 3, 1, 1, 1]);
}

#[tokio::test]
async fn a_batch_that_fails_as_a_whole_is_tried_once() {
    let harness = Harness::held(
        Limits {
            max_in_flight: 1,
            ..limits()
        },
        OnError::FailAll,
    )
    .await;
    let requests = [-1, 2].map(|request| harness.submit(request));
    harness.until_pending(3).await;
    harness.hold.send_replace(false);
    let responses: Vec<_> = join_all(requests)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let errors = [
        Err(SubmitError::Failed("rejected")),
        Err(SubmitError::BatchFailed),
    ];
    assert_eq!(responses, errors);
    assert_eq!(harness.sizes(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_tried_again_until_its_deadline_and_no_longer() {
    let limits = Limits {
        deadline: Some(Duration::from_secs(1)),
        ..limits()
    };
    let harness = Harness::start(limits, OnError::Retry(Duration::from_millis(100)));
    let began = Instant::now();
    assert_eq!(
        harness.submitter.submit(-1).await,
        Err(SubmitError::TimedOut)
    );
    assert_eq!(began.elapsed(), Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let tries = harness.sizes().len();
    assert!((9..=11).contains(&tries), "{tries} tries");
    assert_eq!(harness.submitter.pending(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_takes_too_long_is_given_up() {
    let harness = Harness::start(limits(), OnError::Split);
    harness.hold.send_replace(true);
    assert_eq!(
        harness.submitter.submit(1).await,
        Err(SubmitError::TimedOut)
    );
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let limits = Limits {
        capacity: 2,
        max_in_flight: 1,
        ..limits()
    };
    let harness = Harness::held(limits, OnError::Split).await;
    let waiting = [1, 2].map(|request| harness.submit(request));
    harness.until_pending(3).await;
    assert_eq!(
        harness.submitter.try_submit(3).await,
        Err(SubmitError::QueueFull)
    );
    harness.hold.send_replace(false);
    for response in join_all(waiting).await {
        assert!(response.unwrap().is_ok());
    }
}

#[tokio::test]
async fn requests_that_nobody_waits_for_are_executed_and_the_last_ones_before_the_end() {
    let (hold, gate) = watch::channel(false);
    let batches = Arc::<Mutex<Vec<Vec<i32>>>>::default();
    let (submitter, receiver) = Submitter::new(Limits {
        max_batch: 2,
        ..limits()
    });
    for request in 0..3 {
        submitter.submit_detached(request).unwrap();
    }
    drop(submitter);
    let operation = Recorder {
        batches: batches.clone(),
        held: gate,
        on_error: OnError::Split,
    };
    receiver.run(operation).await;
    assert_eq!(*batches.lock().unwrap(), [vec![0, 1], vec![2]]);
    drop(hold);
}

/// Counts the calls of `progress`.
struct ProgressCounter(Arc<AtomicUsize>);

impl BatchOperation for ProgressCounter {
    type Request = ();
    type Response = ();
    type Error = ();

    async fn execute(&self, requests: &[&()]) -> Result<Vec<()>, ()> {
        Ok(vec![(); requests.len()])
    }

    fn on_error(&self, _: Option<&()>, _: usize, _: u32) -> OnError {
        OnError::FailAll
    }

    fn progress(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn while_no_request_arrives_progress_is_reported_as_often_as_the_limits_say() {
    let reported = Arc::<AtomicUsize>::default();
    let limits = Limits {
        idle_progress: Duration::from_millis(100),
        ..limits()
    };
    let submitter = Submitter::start(limits, ProgressCounter(reported.clone()));
    sleep(Duration::from_millis(1050)).await;
    assert_eq!(reported.load(Ordering::Relaxed), 11);
    drop(submitter);
}
