//! Work that is cheaper together: what several jobs ask of the database at the same time is done in one transaction, and
//! each is answered after its commit. What is asked alone is done at once.
//!
//! A job that is cut off while it waits may find its wish done all the same: it must be such that this does no harm.

use std::{sync::Arc, time::Duration};

use store::StoreError;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use crate::StepError;

/// The most in one transaction.
const MOST: usize = 200;

/// With so many waiting, a second transaction begins beside the first: while one waits for the disk, the other's rows go
/// in. Fewer cost less together, in the next.
const WORTH_A_SECOND: usize = 16;

/// How many may wait. More than a process runs jobs at once.
const WAITING: usize = 4096;

/// How long one transaction may take before its connection is taken for dead.
const LIMIT: Duration = Duration::from_secs(10);

/// Does many things of a kind in one transaction. All are done or none is; the answers are in their order.
pub(crate) trait Together: Send + Sync + 'static {
    /// What is asked.
    type Wish: Send + Sync + 'static;
    /// What is answered.
    type Answer: Send + 'static;

    /// Does it, for one or for many.
    fn run(
        &self,
        wishes: &[Self::Wish],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, StepError>> + Send;
}

type Waiting<T> = (
    <T as Together>::Wish,
    oneshot::Sender<Result<<T as Together>::Answer, StepError>>,
);

/// Takes wishes and has them done together. Its tasks end when the last copy of it is dropped.
pub(crate) struct Batches<T: Together> {
    waiting: mpsc::Sender<Waiting<T>>,
    /// Notified when many wait.
    many: Arc<Notify>,
}

impl<T: Together> Clone for Batches<T> {
    fn clone(&self) -> Self {
        Self {
            waiting: self.waiting.clone(),
            many: self.many.clone(),
        }
    }
}

impl<T: Together> Batches<T> {
    /// Starts its tasks.
    pub(crate) fn start(together: T) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let many = Arc::<Notify>::default();
        tokio::spawn(work(Arc::new(together), receiver, many.clone()));
        Self {
            waiting: sender,
            many,
        }
    }

    /// Answers once it is done.
    pub(crate) async fn ask(&self, wish: T::Wish) -> Result<T::Answer, StepError> {
        let (answer, answered) = oneshot::channel();
        if self.waiting.send((wish, answer)).await.is_err() {
            return Err(StepError::Stopping);
        }
        if self.waiting.max_capacity() - self.waiting.capacity() >= WORTH_A_SECOND {
            self.many.notify_one();
        }
        answered.await.unwrap_or(Err(StepError::Stopping))
    }
}

async fn work<T: Together>(
    together: Arc<T>,
    mut waiting: mpsc::Receiver<Waiting<T>>,
    many: Arc<Notify>,
) {
    let mut under_way = JoinSet::new();
    let mut batch = Vec::with_capacity(MOST);
    // Nothing lingers: what came meanwhile is the batch.
    loop {
        tokio::select! {
            taken = waiting.recv_many(&mut batch, MOST), if under_way.is_empty() => {
                if taken == 0 {
                    return;
                }
            }
            () = many.notified(), if under_way.len() == 1 => {
                if waiting.len() < WORTH_A_SECOND {
                    continue; // they went with the first
                }
                waiting.recv_many(&mut batch, MOST).await;
            }
            Some(_) = under_way.join_next() => continue,
        }
        under_way.spawn(grant(together.clone(), std::mem::take(&mut batch)));
    }
}

/// Has these done, and answers each.
async fn grant<T: Together>(together: Arc<T>, batch: Vec<Waiting<T>>) {
    let (wishes, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    match run(&*together, &wishes).await {
        Ok(done) => {
            for (answer, done) in answers.into_iter().zip(done) {
                tell(answer, Ok(done));
            }
        }
        Err(error) if wishes.len() == 1 || error.is_unavailable() => {
            let mut error = Some(error);
            for answer in answers {
                let away = || StepError::Store(StoreError::from(sqlx::Error::PoolTimedOut));
                tell(answer, Err(error.take().unwrap_or_else(away)));
            }
        }
        Err(_) => {
            // Singly, so that the one that the database refuses fails alone.
            for (wish, answer) in wishes.into_iter().zip(answers) {
                let done = run(&*together, std::slice::from_ref(&wish)).await;
                tell(
                    answer,
                    done.and_then(|mut done| done.pop().ok_or(StepError::Stopping)),
                );
            }
        }
    }
}

async fn run<T: Together>(together: &T, wishes: &[T::Wish]) -> Result<Vec<T::Answer>, StepError> {
    timeout(LIMIT, together.run(wishes))
        .await
        .map_err(|_| sqlx::Error::PoolTimedOut)?
}

fn tell<A>(answer: oneshot::Sender<Result<A, StepError>>, result: Result<A, StepError>) {
    if answer.send(result).is_err() {
        tracing::debug!("the job that asked was cut off");
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, iter::repeat_n};

    use futures_util::future::join_all;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;

    /// Tells how many came together, and is never done.
    struct Stuck(UnboundedSender<usize>);

    impl Together for Stuck {
        type Wish = ();
        type Answer = ();

        async fn run(&self, wishes: &[()]) -> Result<Vec<()>, StepError> {
            self.0.send(wishes.len()).ok();
            pending().await
        }
    }

    fn ask(batches: &Batches<Stuck>, times: usize) {
        let asked = repeat_n(batches.clone(), times).map(async |batches| batches.ask(()).await);
        tokio::spawn(join_all(asked.collect::<Vec<_>>()));
    }

    async fn begun(sizes: &mut UnboundedReceiver<usize>) -> usize {
        let size = timeout(Duration::from_secs(10), sizes.recv()).await;
        size.expect("a transaction begins").unwrap()
    }

    #[tokio::test]
    async fn a_second_transaction_begins_only_for_many_and_no_third() {
        let (sender, mut sizes) = unbounded_channel();
        let batches = Batches::start(Stuck(sender));
        ask(&batches, 1);
        assert_eq!(begun(&mut sizes).await, 1);
        ask(&batches, WORTH_A_SECOND - 1);
        ask(&batches, 1);
        assert_eq!(
            begun(&mut sizes).await,
            WORTH_A_SECOND,
            "not those before alone"
        );
        ask(&batches, 10 * WORTH_A_SECOND);
        // Whoever was to begin a third has had its turn.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(sizes.try_recv().is_err());
    }
}
