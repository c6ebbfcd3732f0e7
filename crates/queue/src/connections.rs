//! The connections that the queue makes beside the caller's pool.

use crate::pool::Pool;

/// Claims, timers, renewals and the worker registry: one connection each.
const CONTROL: u32 = 4;

/// Listening for notifications.
const LISTENER: u32 = 1;

/// Outcomes.
const OUTCOMES: u32 = 2;

/// How many connections a [`crate::Runner`] makes beside its pool.
pub const RUNNER_CONNECTIONS: u32 = CONTROL + LISTENER + OUTCOMES;

/// How many connections a [`crate::Waker`] makes beside its pool.
pub const WAKER_CONNECTIONS: u32 = 1;

/// Every statement of the queue has one right plan, by index. Postgres plans a statement once a
/// connection, by what the table holds at that time. With `plan_cache_mode` it does so once, and not
/// for the arguments of each call: a claim takes less time than its plan. A plan made for an empty queue would later
/// read a million rows from end to end. Where a plan cannot avoid what is disabled here, its
/// estimated cost is so high that Postgres would compile it, which takes longer than running it:
/// hence no `jit`.
const SESSION: &str =
    "set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off;
     set enable_hashjoin = off; set enable_mergejoin = off; set jit = off;
     set plan_cache_mode = force_generic_plan";

/// If a crash of Postgres undoes an outcome, the job runs again, as after any crash. A notification
/// need not be durable.
const WITHOUT_WAITING_FOR_THE_DISK: &str = "set synchronous_commit = off";

/// For claims, timers, renewals and the worker registry.
pub(crate) fn control(pool: &Pool) -> Pool {
    pool.derive(CONTROL, &[SESSION])
}

/// For outcomes, and for nothing else. A claim must never be undone: its fence would be given out a
/// second time.
pub(crate) fn outcomes(pool: &Pool) -> Pool {
    pool.derive(OUTCOMES, &[SESSION, WITHOUT_WAITING_FOR_THE_DISK])
}

/// For listening. The listener also sends notifications, to itself.
pub(crate) fn listener(pool: &Pool) -> Pool {
    pool.derive(LISTENER, &[WITHOUT_WAITING_FOR_THE_DISK])
}

/// For sending notifications, one after the other.
pub(crate) fn waker(pool: &Pool) -> Pool {
    pool.derive(WAKER_CONNECTIONS, &[WITHOUT_WAITING_FOR_THE_DISK])
}
