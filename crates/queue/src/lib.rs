//! Durable jobs in Postgres, run by apalis workers.
//!
//! A job is a row in `queue.jobs`. It is enqueued on the caller's connection, so it commits
//! together with the row it is about. A worker claims it with a **lease** (the time by which the
//! worker must have finished or renewed) and a **fence** (the number of the claim, which every
//! later write must name). The job ends when its row is deleted together with its effect, or when
//! it becomes a dead letter. Until then it may be retried and snoozed.
//!
//! What this crate promises, whichever process is killed at whatever time:
//!
//! - a committed job runs until it completes or becomes a dead letter, at least once;
//! - a job that completes through [`Attempt::complete`] has its database effect exactly once;
//! - a worker that has lost its lease can change nothing, and its work is cancelled;
//! - a job that kills its process becomes a dead letter after `max_attempts` claims;
//! - waiting (a snooze, a shutdown, a deploy) costs no attempt;
//! - a [`rate_limit`] is exact over all processes, and a reservation belongs to one event alone;
//! - only the database's clock decides what is due.
//!
//! Each promise has its tests: `docs/queue-guarantees.md`. The states of a job, and the effect of a
//! crash at each transition, are in `docs/job-states.md`.
//!
//! The crate knows nothing of what the jobs do. The reading order is the life of a job:
//! [`enqueue`], `claim`, `feed`, `backend`, `execute`, `lease`, `ack`. [`Runner`] connects them.

mod ack;
pub mod admin;
mod attempt;
mod backend;
mod backoff;
mod claim;
mod claimed;
mod cleanup;
mod connections;
mod database;
mod dead_letters;
mod discard;
mod enqueue;
mod execute;
mod feed;
mod job;
mod kind;
mod lease;
mod listen;
pub mod metrics;
mod outcome;
mod pool;
pub mod rate_limit;
mod runner;
mod scan_cursor;
mod schedule;
mod settings;
pub mod testing;
mod timers;
mod wake;
mod watchdog;
mod worker_registry;

pub use attempt::{Attempt, CompleteError, Fence, JobId};
pub use backoff::Backoff;
pub use cleanup::{CleanupQueue, CleanupQueueDeps};
pub use connections::{RUNNER_CONNECTIONS, WAKER_CONNECTIONS};
pub use database::is_unavailable;
pub use dead_letters::{DeadLetter, dead_letters, hold_dead_letters};
pub use enqueue::{EnqueueError, NewJob, enqueue, enqueue_all, make_due};
pub use job::{Job, JobArgs, JobError, Priority};
pub use pool::{
    Pool, PoolSettings, PooledConnection, PooledTransaction, ReadOnlyServer, Servers,
    check_connection,
};
pub use runner::{Runner, RunnerDied};
pub use schedule::{InvalidCron, ScheduleError};
pub use settings::{LinkTrace, RunnerSettings};
pub use wake::Waker;
pub use watchdog::{Heartbeat, STUCK_AFTER, StuckLoop, Watchdog};
