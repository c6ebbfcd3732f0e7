//! Ends the messages whose jobs were given up without a chance to say so: cut off, killed with their process each time,
//! or discarded by an operator.

use std::time::Duration;

use queue::{Attempt, Job, JobArgs, JobError, dead_letters};
use serde::{Deserialize, Serialize};
use store::job_args::ProcessMessage;

use crate::{Deps, StepError, process_message::fail_abandoned};

/// How far it looks back. Workers write dead letters, and they run this.
const RECENT: Duration = Duration::from_hours(24);

/// The most dead letters at a time.
const BATCH: u16 = 500;

/// Meant for a schedule.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReconcileDeadMessages {}

impl JobArgs for ReconcileDeadMessages {
    const NAME: &'static str = "reconcile_dead_messages";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Job<Deps> for ReconcileDeadMessages {
    const TIMEOUT: Duration = Duration::from_mins(10);

    async fn run(&self, deps: &Deps, _: &Attempt) -> Result<(), JobError> {
        let messages = settle(deps).await?;
        if messages > 0 {
            tracing::warn!(messages, "ended the messages of jobs that were given up");
        }
        Ok(())
    }
}

async fn settle(deps: &Deps) -> Result<usize, StepError> {
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
        let sids = letters
            .into_iter()
            .filter_map(|letter| Some(letter.job?.message.to_string()))
            .collect();
        ended += fail_abandoned(deps, sids).await?;
    }
}
