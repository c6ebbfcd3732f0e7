//! Durable jobs in Postgres, run by apalis workers.
//!
//! A job is a row in `queue.jobs`. It is enqueued on the caller's connection, so it commits with the row it is about;
//! claimed with a **lease** (a time by which the worker must have finished or renewed) and a **fence** (the claim's
//! number, which every later write must name); and it ends by being deleted together with its effect, retried later,
//! snoozed, or buried as a dead letter.
//!
//! What this crate promises, whatever is killed and whenever:
//!
//! - a committed job runs until it completes or is a dead letter, at least once;
//! - a job that completes through [`Attempt::complete`] has its database effect exactly once;
//! - a worker that lost its lease can change nothing, and its work is cancelled;
//! - a job that kills its process is a dead letter after `max_attempts` claims;
//! - waiting (a snooze, a shutdown, a deploy) costs no attempt;
//! - a [`rate_limit`] is exact over all processes, and who has to wait is given a slot that is nobody else's;
//! - the database's clock alone decides what is due.
//!
//! Each promise has its tests: `docs/queue-guarantees.md`. The states of a job, and what a crash at each transition
//! means, are in `docs/job-states.md`.
//!
//! It knows nothing of what the jobs do. The reading order is the life of a job: [`enqueue`], `claim`, `backend`,
//! `execute`, `lease`, `ack`; [`Runner`] wires them together.

mod ack;
pub mod admin;
mod backend;
mod backoff;
mod claim;
mod cleanup;
mod connections;
mod dead_letters;
mod enqueue;
mod execute;
mod job;
mod lease;
pub mod metrics;
pub mod rate_limit;
mod runner;
mod scan_cursor;
mod schedule;
pub mod testing;
mod timers;
mod wake;
mod watchdog;
mod worker_registry;

pub use backoff::Backoff;
pub use cleanup::{CleanupQueue, CleanupQueueDeps};
pub use dead_letters::{DeadLetter, dead_letters};
pub use enqueue::{EnqueueError, NewJob, enqueue, enqueue_all};
pub use job::{Attempt, CompleteError, Fence, Job, JobArgs, JobError, JobId, LinkTrace, Priority};
pub use runner::{Runner, RunnerDied, RunnerSettings};
pub use schedule::{InvalidCron, ScheduleError};
pub use wake::Waker;
pub use watchdog::{Heartbeat, STUCK_AFTER, StuckLoop, Watchdog};
