//! Forgets what is of no more use: codes and claims, the texts of SMS, what limits counted, answers to repeated requests.

use std::time::Duration;

use queue::{Attempt, Job, JobArgs, JobError};
use serde::{Deserialize, Serialize};
use store::{idempotency_keys, limit_log, phone_number_claims, sends};

use crate::{
    Deps, StepError,
    metrics::{self, Removed},
};

/// The longest window of a limit is a day.
const LIMITS: Duration = Duration::from_hours(25);

/// An answer is repeated for a day, as the front end may.
const ANSWERS: Duration = Duration::from_hours(24);

/// A claim that nobody proved is forgotten.
const CLAIMS: Duration = Duration::from_hours(7 * 24);

/// How long one can look up what became of an SMS. Its text is gone within two hours.
const SENDS: Duration = Duration::from_hours(30 * 24);

/// Meant for a schedule.
#[derive(Debug, Serialize, Deserialize)]
pub struct CleanupSends {}

impl JobArgs for CleanupSends {
    const NAME: &'static str = "cleanup_sends";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Job<Deps> for CleanupSends {
    async fn run(&self, deps: &Deps, _: &Attempt) -> Result<(), JobError> {
        Ok(forget(deps).await?)
    }
}

/// Each statement commits for itself, so one that was killed goes on where it was.
async fn forget(deps: &Deps) -> Result<(), StepError> {
    let mut conn = deps.pool.acquire().await?;
    let claims = phone_number_claims::forget(&mut conn, CLAIMS).await?;
    let sends = sends::forget(&mut conn, SENDS).await?;
    let limits = limit_log::forget(&mut conn, LIMITS).await?;
    let answers = idempotency_keys::forget(&mut conn, ANSWERS).await?;
    metrics::removed(Removed::Claims, claims);
    metrics::removed(Removed::Sends, sends);
    metrics::removed(Removed::LimitEvents, limits);
    metrics::removed(Removed::Answers, answers);
    tracing::info!(
        claims,
        sends,
        limits,
        answers,
        "forgot what is of no more use"
    );
    Ok(())
}
