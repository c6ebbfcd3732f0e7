//! The bounded queue between those who submit requests and the task that executes them in batches.

use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{
        Notify, Semaphore,
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    task::{JoinSet, yield_now},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    BatchOperation, SubmitError,
    batch::{Entry, Response, execute},
};

/// How requests are collected and executed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many requests may wait.
    pub capacity: usize,
    /// The largest number of requests in one batch.
    pub max_batch: usize,
    /// How many batches may be in flight at once: 1 or 2.
    pub max_in_flight: usize,
    /// A second batch starts at once when this many requests wait.
    pub second_batch_at: usize,
    /// A second batch starts for fewer requests when the first one started this long ago.
    pub second_batch_after: Duration,
    /// How long one execution of a batch may take.
    pub timeout: Duration,
    /// How long a request may wait for its response. `None`: until it is executed.
    pub deadline: Option<Duration>,
    /// How often [`BatchOperation::progress`] is called while no request arrives.
    pub idle_progress: Duration,
}

impl Limits {
    /// Batches of at most 200 requests, two in flight. Each execution may take `timeout`, and
    /// requests have no deadline.
    pub fn new(capacity: usize, timeout: Duration) -> Self {
        Self {
            capacity,
            max_batch: 200,
            max_in_flight: 2,
            second_batch_at: 16,
            second_batch_after: Duration::from_millis(100),
            timeout,
            deadline: None,
            idle_progress: Duration::from_secs(5),
        }
    }

    /// Limits for a queue without a bound, one batch in flight. Its user bounds it by
    /// [`Submitter::pending`].
    pub fn unbounded(max_batch: usize, timeout: Duration) -> Self {
        Self {
            capacity: Semaphore::MAX_PERMITS,
            max_batch,
            max_in_flight: 1,
            ..Self::new(0, timeout)
        }
    }
}

/// Puts requests into the queue. Cheap to clone. The [`BatchReceiver`] ends after the last clone is
/// dropped.
pub struct Submitter<O: BatchOperation> {
    queue: mpsc::Sender<Entry<O>>,
    /// Notified when enough requests wait for a second batch.
    enough: Arc<Notify>,
    pending: Arc<AtomicUsize>,
    limits: Limits,
}

impl<O: BatchOperation> Clone for Submitter<O> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            enough: self.enough.clone(),
            pending: self.pending.clone(),
            limits: self.limits,
        }
    }
}

impl<O: BatchOperation> std::fmt::Debug for Submitter<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submitter")
            .field("limits", &self.limits)
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

impl<O: BatchOperation> Submitter<O> {
    /// A queue and its two ends. Nothing is executed until [`BatchReceiver::run`].
    pub fn new(limits: Limits) -> (Self, BatchReceiver<O>) {
        let (sender, receiver) = mpsc::channel(limits.capacity);
        let (enough, pending) = (Arc::<Notify>::default(), Arc::<AtomicUsize>::default());
        let submitter = Self {
            queue: sender,
            enough: enough.clone(),
            pending: pending.clone(),
            limits,
        };
        let receiver = BatchReceiver {
            queue: receiver,
            enough,
            pending,
            limits,
            gathered: Vec::new(),
            last_start: Instant::now(),
        };
        (submitter, receiver)
    }

    /// A queue whose batches are executed by a task of their own.
    pub fn start(limits: Limits, operation: O) -> Self {
        let (submitter, receiver) = Self::new(limits);
        tokio::spawn(receiver.run(operation));
        submitter
    }

    /// How many requests wait or are in flight.
    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::Acquire)
    }

    /// Submits a request and waits for its response. Waits for a place in the queue.
    pub async fn submit(&self, request: O::Request) -> Result<O::Response, SubmitError<O::Error>> {
        let (entry, response) = self.entry(request);
        let deadline = entry.deadline;
        let wait = async {
            let place = self
                .queue
                .reserve()
                .await
                .map_err(|_| SubmitError::Closed)?;
            self.pending.fetch_add(1, Ordering::AcqRel);
            place.send(entry);
            self.notify_if_enough();
            response.await.unwrap_or(Err(SubmitError::Closed))
        };
        within(deadline, wait).await
    }

    /// Submits a request and waits for its response. [`SubmitError::QueueFull`] at once if the
    /// queue is full.
    pub async fn try_submit(
        &self,
        request: O::Request,
    ) -> Result<O::Response, SubmitError<O::Error>> {
        let (entry, response) = self.entry(request);
        let deadline = entry.deadline;
        self.put(entry)?;
        let wait = async { response.await.unwrap_or(Err(SubmitError::Closed)) };
        within(deadline, wait).await
    }

    /// Submits a request that nobody waits for. It has no deadline.
    pub fn submit_detached(&self, request: O::Request) -> Result<(), SubmitError<O::Error>> {
        self.put(Entry {
            request,
            deadline: None,
            response: None,
        })
    }

    fn entry(&self, request: O::Request) -> (Entry<O>, oneshot::Receiver<Response<O>>) {
        let (sender, receiver) = oneshot::channel();
        let entry = Entry {
            request,
            deadline: self.limits.deadline.map(|limit| Instant::now() + limit),
            response: Some(sender),
        };
        (entry, receiver)
    }

    fn put(&self, entry: Entry<O>) -> Result<(), SubmitError<O::Error>> {
        self.pending.fetch_add(1, Ordering::AcqRel);
        if let Err(refused) = self.queue.try_send(entry) {
            self.pending.fetch_sub(1, Ordering::AcqRel);
            return Err(match refused {
                TrySendError::Full(_) => SubmitError::QueueFull,
                TrySendError::Closed(_) => SubmitError::Closed,
            });
        }
        self.notify_if_enough();
        Ok(())
    }

    fn notify_if_enough(&self) {
        if self.queue.max_capacity() - self.queue.capacity() >= self.limits.second_batch_at {
            self.enough.notify_one();
        }
    }
}

async fn within<T, E>(
    deadline: Option<Instant>,
    wait: impl Future<Output = Result<T, SubmitError<E>>>,
) -> Result<T, SubmitError<E>> {
    match deadline {
        Some(deadline) => timeout_at(deadline, wait)
            .await
            .unwrap_or(Err(SubmitError::TimedOut)),
        None => wait.await,
    }
}

/// Takes requests out of the queue in batches and has them executed.
pub struct BatchReceiver<O: BatchOperation> {
    queue: mpsc::Receiver<Entry<O>>,
    enough: Arc<Notify>,
    pending: Arc<AtomicUsize>,
    limits: Limits,
    /// The requests of the next batch.
    gathered: Vec<Entry<O>>,
    /// When the last batch was taken.
    last_start: Instant,
}

impl<O: BatchOperation> std::fmt::Debug for BatchReceiver<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchReceiver")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl<O: BatchOperation> BatchReceiver<O> {
    /// Executes batches until the last [`Submitter`] is dropped and every request has its response.
    ///
    /// # Panics
    /// If the operation panics. Requests that still wait then get [`SubmitError::Closed`].
    pub async fn run(mut self, operation: O) {
        let (operation, idle_progress) = (Arc::new(operation), self.limits.idle_progress);
        let mut in_flight = JoinSet::new();
        loop {
            operation.progress();
            tokio::select! {
                batch = self.next_batch(in_flight.len()) => {
                    let Some(batch) = batch else {
                        break;
                    };
                    let (operation, pending) = (operation.clone(), self.pending.clone());
                    in_flight.spawn(execute(operation, batch, self.limits.timeout, pending));
                }
                Some(ended) = in_flight.join_next() => rethrow(ended),
                () = sleep(idle_progress), if in_flight.is_empty() => {}
            }
        }
        while let Some(ended) = in_flight.join_next().await {
            operation.progress();
            rethrow(ended);
        }
    }

    /// The next batch, as soon as it may start. `None` after the last request. Cancel-safe.
    async fn next_batch(&mut self, in_flight: usize) -> Option<Vec<Entry<O>>> {
        if in_flight >= self.limits.max_in_flight {
            return std::future::pending().await;
        }
        if in_flight > 0 {
            let late = sleep_until(self.last_start + self.limits.second_batch_after);
            tokio::select! { () = self.enough_wait() => {} () = late => {} }
        }
        while self.gathered.is_empty() || self.more_arrive().await {
            let room = self.limits.max_batch - self.gathered.len();
            if self.queue.recv_many(&mut self.gathered, room).await == 0 {
                return None;
            }
        }
        self.last_start = Instant::now();
        Some(std::mem::take(&mut self.gathered))
    }

    /// Lets the tasks run that are ready now, and returns whether they submit more requests for this
    /// batch. So jobs that were claimed together share a batch, and nobody waits for it: where no
    /// task is ready, this takes a microsecond.
    async fn more_arrive(&mut self) -> bool {
        yield_now().await;
        self.gathered.len() < self.limits.max_batch && !self.queue.is_empty()
    }

    async fn enough_wait(&self) {
        loop {
            self.enough.notified().await;
            if self.queue.len() >= self.limits.second_batch_at {
                return; // otherwise the first batch has taken them
            }
        }
    }
}

fn rethrow(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        resume_unwind(error.into_panic());
    }
}

#[cfg(test)]
mod tests;
