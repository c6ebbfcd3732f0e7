//! Why a request has no response.

/// Why a request has no response.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SubmitError<E> {
    /// The queue is full, so the request was not accepted.
    #[error("too many requests wait")]
    QueueFull,
    /// Nobody executes batches any more.
    #[error("the task that executes batches has ended")]
    Closed,
    /// The request's deadline passed, or its batch took too long. It may have been executed.
    #[error("there was no response in time")]
    TimedOut,
    /// The whole batch failed for a reason that is not this request's. Another request of the batch
    /// has the error.
    #[error("the batch failed")]
    BatchFailed,
    /// The operation failed.
    #[error(transparent)]
    Failed(E),
}
