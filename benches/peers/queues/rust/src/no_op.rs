//! The job that all queues run, and what running it does.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

/// A text message, some 600 bytes of JSON.
const MESSAGE: &str = include_str!("../../message.json");

/// A job that does nothing, with arguments of the size that a webhook has.
#[derive(Debug, Clone, Serialize, Deserialize, riverqueue::JobArgs)]
#[river(kind = "no_op")]
pub(crate) struct NoOpJob {
    pub(crate) number: u64,
    /// When it was about to be enqueued, in microseconds since 1970.
    pub(crate) sent_us: u64,
    pub(crate) message: BTreeMap<String, String>,
}

/// Makes jobs.
#[derive(Clone)]
pub(crate) struct NoOpJobs {
    message: BTreeMap<String, String>,
}

impl NoOpJobs {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let message = serde_json::from_str(MESSAGE)?;
        Ok(Self { message })
    }

    /// A job that is enqueued now.
    pub(crate) fn sent_now(&self, number: u64) -> NoOpJob {
        NoOpJob {
            number,
            sent_us: now_us(),
            message: self.message.clone(),
        }
    }
}

/// Microseconds since 1970. All processes of a measurement share the machine and its clock.
fn now_us() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since_1970.unwrap_or_default().as_micros()).unwrap_or_default()
}

/// What the handler of every queue calls. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct NoOpHandler(Arc<HandlerState>);

#[derive(Debug)]
struct HandlerState {
    started: AtomicU64,
    prints: bool,
    holds: bool,
}

impl NoOpHandler {
    /// Counts jobs, and nothing else.
    pub(crate) fn counting() -> Self {
        Self::new(false, false)
    }

    /// Prints a line for each job. If it `holds`, no job ends.
    pub(crate) fn printing(holds: bool) -> Self {
        Self::new(true, holds)
    }

    fn new(prints: bool, holds: bool) -> Self {
        Self(Arc::new(HandlerState {
            started: AtomicU64::new(0),
            prints,
            holds,
        }))
    }

    pub(crate) fn started(&self) -> u64 {
        self.0.started.load(Ordering::Relaxed)
    }

    pub(crate) async fn run(&self, job: &NoOpJob) {
        self.0.started.fetch_add(1, Ordering::Relaxed);
        if self.0.prints {
            let (job, sent_us) = (job.number, job.sent_us);
            println!(
                "{}",
                json!({ "job": job, "sent_us": sent_us, "started_us": now_us() })
            );
        }
        if self.0.holds {
            std::future::pending::<()>().await;
        }
    }
}
