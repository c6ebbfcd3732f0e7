//! Ends messages whose jobs became dead letters without ending them: jobs that timed out, jobs that
//! were killed with their process, and jobs that an operator discarded.

use std::time::Duration;

use queue::{Attempt, Job, JobArgs, JobError, dead_letters};
use serde::{Deserialize, Serialize};
use store::job_args::ProcessMessage;

use crate::{MessageDeps, StepError, process_message::fail::fail_abandoned};

/// How far the job looks back.
const RECENT: Duration = Duration::from_hours(24);

/// How many dead letters are read at once at most.
const BATCH: u16 = 500;

/// Ends the messages of recent dead letters. A schedule enqueues this job.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReconcileDeadMessages {}

impl JobArgs for ReconcileDeadMessages {
    const NAME: &'static str = "reconcile_dead_messages";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Job<MessageDeps> for ReconcileDeadMessages {
    const TIMEOUT: Duration = Duration::from_mins(10);

    async fn run(&self, deps: &MessageDeps, _: &Attempt) -> Result<(), JobError> {
        let messages = reconcile(deps).await?;
        if messages > 0 {
            tracing::warn!(messages, "ended the messages of jobs that are dead letters");
        }
        Ok(())
    }
}

async fn reconcile(deps: &MessageDeps) -> Result<usize, StepError> {
    let (mut ended, mut after) = (0, None);
    loop {
        let letters = {
            let mut conn = deps.pool.acquire().await?;
            dead_letters::<ProcessMessage>(&mut conn, RECENT, after, BATCH).await?
        };
        let Some(last) = letters.last() else {
            return Ok(ended);
        };
        after = Some(last.place);
        let letters = letters
            .into_iter()
            .filter_map(|letter| Some((letter.place.1, letter.job?.message.to_string())))
            .collect();
        ended += fail_abandoned(deps, letters).await?;
    }
}
