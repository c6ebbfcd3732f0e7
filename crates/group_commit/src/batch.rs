//! One batch: its execution, what follows an error, and the responses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use crate::SubmitError;

/// Executes requests together.
pub trait BatchOperation: Send + Sync + 'static {
    /// What is submitted.
    type Request: Send + Sync + 'static;
    /// What each submitter gets.
    type Response: Send + 'static;
    /// Why a batch fails.
    type Error: Send + Sync + 'static;

    /// Executes these requests in one transaction: all of them or none. Returns a response for
    /// each, in their order.
    fn execute(
        &self,
        requests: &[&Self::Request],
    ) -> impl Future<Output = Result<Vec<Self::Response>, Self::Error>> + Send;

    /// What follows when a batch of this many requests has failed. `tries` counts its executions so
    /// far. `error` is `None` if the execution took longer than [`crate::Limits::timeout`].
    fn on_error(&self, error: Option<&Self::Error>, requests: usize, tries: u32) -> OnError;

    /// Called after the last response of a batch, however it ended, and after
    /// [`crate::Submitter::pending`] has fallen.
    fn finished(&self, _requests: &[Self::Request]) {}

    /// Called before each execution, and every few seconds while nothing arrives. For a watchdog.
    fn progress(&self) {}

    /// Waits between two tries. To be overridden where a watchdog must hear of a long wait.
    fn pause(&self, pause: Duration) -> impl Future<Output = ()> + Send {
        async move {
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
    }
}

/// What follows when a batch has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Execute the same batch again after this pause, without the requests whose deadline has
    /// passed.
    Retry(Duration),
    /// Fail every request of the batch: the next try would fail, too.
    FailAll,
    /// Execute each request alone, so that only those with a fault of their own fail. For a batch
    /// of one: fail it.
    Split,
}

/// What a submitter receives.
pub(crate) type Response<O> =
    Result<<O as BatchOperation>::Response, SubmitError<<O as BatchOperation>::Error>>;

/// A request in the queue.
pub(crate) struct Entry<O: BatchOperation> {
    pub(crate) request: O::Request,
    pub(crate) deadline: Option<Instant>,
    /// `None` if nobody waits for the response: then the request is never dropped.
    pub(crate) response: Option<oneshot::Sender<Response<O>>>,
}

impl<O: BatchOperation> Entry<O> {
    /// Responds, and returns the request. A submitter that has gone needs no response.
    fn respond(self, response: Response<O>) -> O::Request {
        if let Some(sender) = self.response {
            drop(sender.send(response));
        }
        self.request
    }

    fn is_over(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
            || self
                .response
                .as_ref()
                .is_some_and(oneshot::Sender::is_closed)
    }
}

/// Executes a batch until each of its requests has a response.
pub(crate) async fn execute<O: BatchOperation>(
    operation: Arc<O>,
    batch: Vec<Entry<O>>,
    limit: Duration,
    pending: Arc<AtomicUsize>,
) {
    let mut finished = Vec::with_capacity(batch.len());
    if let Some(split) = together(&*operation, batch, limit, &mut finished).await {
        for entry in split {
            let rest = together(&*operation, vec![entry], limit, &mut finished).await;
            debug_assert!(rest.is_none(), "one request is not split");
        }
    }
    pending.fetch_sub(finished.len(), Ordering::AcqRel);
    operation.finished(&finished);
}

/// Executes these together. Returns them if each is to be executed alone.
async fn together<O: BatchOperation>(
    operation: &O,
    mut batch: Vec<Entry<O>>,
    limit: Duration,
    finished: &mut Vec<O::Request>,
) -> Option<Vec<Entry<O>>> {
    let mut tries = 0;
    loop {
        let now = Instant::now();
        let over: Vec<_> = batch.extract_if(.., |entry| entry.is_over(now)).collect();
        finished.extend(
            over.into_iter()
                .map(|entry| entry.respond(Err(SubmitError::TimedOut))),
        );
        if batch.is_empty() {
            return None;
        }
        operation.progress();
        tries += 1;
        let requests: Vec<&O::Request> = batch.iter().map(|entry| &entry.request).collect();
        let error = match timeout(limit, operation.execute(&requests)).await {
            Ok(Ok(responses)) => {
                debug_assert_eq!(
                    responses.len(),
                    batch.len(),
                    "one response for each request"
                );
                let mut responses = responses.into_iter();
                finished.extend(batch.into_iter().map(|entry| {
                    // A missing response is a bug of the operation; the submitter hears of it.
                    let response = responses.next().ok_or(SubmitError::Closed);
                    entry.respond(response)
                }));
                return None;
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        match operation.on_error(error.as_ref(), batch.len(), tries) {
            OnError::Retry(pause) => operation.pause(pause).await,
            OnError::Split if batch.len() > 1 => return Some(batch),
            OnError::FailAll | OnError::Split => {
                let mut first = Some(error.map_or(SubmitError::TimedOut, SubmitError::Failed));
                finished.extend(batch.into_iter().map(|entry| {
                    entry.respond(Err(first.take().unwrap_or(SubmitError::BatchFailed)))
                }));
                return None;
            }
        }
    }
}
