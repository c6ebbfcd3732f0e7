//! The jobs of one kind that this process has claimed and not started.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::claimed::ClaimedJob;

/// Claimed jobs of one kind, in the order of the queue. The claimer puts them in, the kind's worker
/// takes them out. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobFeed {
    jobs: Arc<Mutex<BinaryHeap<Reverse<ClaimedJob>>>>,
    pushed: Arc<Notify>,
}

impl JobFeed {
    fn lock(&self) -> MutexGuard<'_, BinaryHeap<Reverse<ClaimedJob>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a job to the worker.
    pub(crate) fn push(&self, job: ClaimedJob) {
        self.lock().push(Reverse(job));
        self.pushed.notify_one();
    }

    /// The next job in the order of the queue. Waits for one. Cancel-safe.
    pub(crate) async fn next(&self) -> ClaimedJob {
        loop {
            let pushed = self.pushed.notified();
            if let Some(Reverse(job)) = self.lock().pop() {
                return job;
            }
            pushed.await;
        }
    }

    /// Takes out everything that the worker has not taken.
    pub(crate) fn take_all(&self) -> Vec<ClaimedJob> {
        self.lock().drain().map(|Reverse(job)| job).collect()
    }
}
