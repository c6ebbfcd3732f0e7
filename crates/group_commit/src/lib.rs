//! Group commit: requests that arrive together are executed together, in one transaction.
//!
//! A database commit waits for the disk, and that wait costs the same for one row as for two
//! hundred. So a [`Submitter`] puts requests into a bounded queue, a [`BatchReceiver`] takes them
//! out in batches, and a [`BatchOperation`] executes each batch in one transaction. Every request
//! gets its own response after the commit.
//!
//! The rules, which all users of this crate share:
//!
//! - No batch waits for more requests. Whatever arrives while a batch is in flight forms the next
//!   batch, with what the tasks submit that are ready at that moment.
//! - A second batch starts beside the first when [`Limits::second_batch_at`] requests wait, so that
//!   one batch writes its rows while the other waits for the disk. It also starts when the first
//!   takes longer than [`Limits::second_batch_after`], so that a batch that waits for a lock does
//!   not delay the requests behind it.
//! - After an error the operation decides ([`OnError`]): try the batch again, fail all of it, or
//!   execute each request alone, so that a request the database rejects fails alone.
//! - A request whose deadline has passed, or whose submitter has gone, is dropped before the next
//!   try.
//!
//! A request whose submitter stops waiting may still be executed. Requests must be safe to repeat.

mod batch;
mod error;
mod queue;

pub use batch::{BatchOperation, OnError};
pub use error::SubmitError;
pub use queue::{BatchReceiver, Limits, Submitter};
