//! Work that is cheaper together: what several jobs ask of the database at the same time is done in one transaction, and
//! each is answered after its commit. What is asked alone is done at once.
//!
//! A job that is cut off while it waits may find its wish done all the same: it must be such that this does no harm.

use std::{sync::Arc, time::Duration};

use store::StoreError;
use tokio::{sync::oneshot, task::JoinSet, time::timeout};

use crate::{
    Line, StepError,
    line::{Taker, line},
};

/// The most in one transaction.
const MOST: usize = 200;

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
pub(crate) struct Batches<T: Together>(Line<Waiting<T>>);

impl<T: Together> Clone for Batches<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Together> Batches<T> {
    /// Starts its tasks.
    pub(crate) fn start(together: T) -> Self {
        let (line, taker) = line(WAITING, MOST);
        tokio::spawn(work(Arc::new(together), taker));
        Self(line)
    }

    /// Answers once it is done.
    pub(crate) async fn ask(&self, wish: T::Wish) -> Result<T::Answer, StepError> {
        let (answer, answered) = oneshot::channel();
        if self.0.put((wish, answer)).await.is_err() {
            return Err(StepError::Stopping);
        }
        answered.await.unwrap_or(Err(StepError::Stopping))
    }
}

async fn work<T: Together>(together: Arc<T>, mut waiting: Taker<Waiting<T>>) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            batch = waiting.take(under_way.len()) => {
                let Some(batch) = batch else {
                    break;
                };
                under_way.spawn(grant(together.clone(), batch));
            }
            Some(_) = under_way.join_next() => {}
        }
    }
    while under_way.join_next().await.is_some() {}
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
