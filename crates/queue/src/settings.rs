//! How a worker process behaves.

use std::time::Duration;

use tracing::Span;

/// Links the span of an attempt to the trace context that came with the job. Called before the span
/// is entered. Returns the trace context of the span itself.
pub type LinkTrace = fn(span: &Span, enqueued_by: Option<&str>) -> Option<String>;

/// How a worker process behaves.
#[derive(Debug, Clone)]
pub struct RunnerSettings {
    /// The process's name in `queue.jobs.locked_by`. Operators read it. Two processes may have the
    /// same name.
    pub worker: String,
    /// How long a claim lasts unless it is renewed, three times within its length. The jobs of a
    /// process that has died wait this long.
    pub lease: Duration,
    /// The pause before the next look for ready jobs after a look that found none, while
    /// notifications do not arrive.
    pub poll: Duration,
    /// The same while notifications do arrive.
    pub slow_poll: Duration,
    /// How long running jobs may continue after a stop was requested.
    pub grace: Duration,
    /// Links the span of an attempt to the trace of its job. `None` if spans are not collected.
    pub link_trace: Option<LinkTrace>,
}

impl RunnerSettings {
    /// Defaults for a process of this name: leases of 30 s, 20 s of grace. Without work, it looks
    /// for jobs every 2 s, or every 250 ms while notifications do not arrive.
    pub fn new(worker: impl Into<String>) -> Self {
        Self {
            worker: worker.into(),
            lease: Duration::from_secs(30),
            poll: Duration::from_millis(250),
            slow_poll: Duration::from_secs(2),
            grace: Duration::from_secs(20),
            link_trace: None,
        }
    }
}
