//! Opens messages: reads what each message says, finds its sender's user, and sees to the user's rate
//! limit. Messages that are opened at the same time share these statements. Usually that is one: it
//! reads message, user and limit.
//!
//! Messages that need a reservation get it in another statement. Killed before it commits, a worker
//! has reserved nothing. Killed after it commits, the next attempt finds the reservation and makes
//! no second one.

use std::{collections::HashSet, sync::Arc, time::Duration};

use group_commit::{BatchOperation, OnError};
use queue::{Pool, rate_limit::RateLimitSnapshot};
use sqlx::PgConnection;
use store::{Keyring, inbound_messages};
use twilio::MessageSid;

use super::{
    rate_limit::ChargePolicy,
    stage::{FromPhone, Stage, Unreserved, advance},
};
use crate::{StepError, error::on_batch_error};

/// An operator requeued a dead letter whose message has another job by now. One of the two jobs
/// waits this long.
const DUPLICATE: Duration = Duration::from_secs(1);

/// Opens messages, many in one transaction.
pub(crate) struct OpenMessages {
    pub(crate) pool: Pool,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) enrichment: bool,
    pub(crate) charge: ChargePolicy,
}

type Stages = Vec<Result<Stage, StepError>>;

impl BatchOperation for OpenMessages {
    type Request = MessageSid;
    type Response = Result<Stage, StepError>;
    type Error = StepError;

    async fn execute(&self, sids: &[&MessageSid]) -> Result<Stages, StepError> {
        let mut conn = self.pool.acquire().await?;
        let (stages, limits) = self.read(&mut conn, sids).await?;
        let stages = self.find_users(&mut conn, stages).await?;
        let stages = self.charge(&mut conn, stages, limits).await?;
        conn.put_back();
        Ok(stages)
    }

    fn on_error(&self, error: Option<&StepError>, _: usize, _: u32) -> OnError {
        on_batch_error(error)
    }
}

impl OpenMessages {
    async fn read(
        &self,
        conn: &mut PgConnection,
        sids: &[&MessageSid],
    ) -> Result<(Stages, RateLimitSnapshot), StepError> {
        let texts: Vec<String> = sids.iter().map(ToString::to_string).collect();
        let opened = inbound_messages::load_all(conn, &self.keyring, &texts).await?;
        if opened.messages.len() != sids.len() {
            return Err(StepError::Mismatch);
        }
        let mut first = HashSet::new();
        let stages = sids.iter().zip(opened.messages).map(|(sid, stored)| {
            if !first.insert(sid) {
                return Ok(Stage::Wait(DUPLICATE));
            }
            let stage = Stage::read(sid, stored)?;
            Ok(match (stage, opened.users.get(sid.as_str())) {
                (Stage::FromPhone(message), Some(user)) => {
                    message.with_user(Some(*user), self.enrichment)
                }
                (stage, _) => stage,
            })
        });
        Ok((stages.collect(), opened.limits))
    }

    /// Looks for the numbers that are not stored as the blind index of the current key.
    async fn find_users(
        &self,
        conn: &mut PgConnection,
        stages: Stages,
    ) -> Result<Stages, StepError> {
        let sent: Vec<_> = stages
            .iter()
            .filter_map(|stage| match stage {
                Ok(Stage::FromPhone(message)) => Some(message.sent_by()),
                Ok(_) | Err(_) => None,
            })
            .collect();
        if sent.is_empty() {
            return Ok(stages);
        }
        let users = inbound_messages::users_by_number(conn, &self.keyring, &sent).await?;
        advance(stages, from_phone, users, |message, user| {
            message.with_user(user, self.enrichment)
        })
    }

    async fn charge(
        &self,
        conn: &mut PgConnection,
        stages: Stages,
        limits: RateLimitSnapshot,
    ) -> Result<Stages, StepError> {
        let unreserved: Vec<_> = stages
            .iter()
            .filter_map(|stage| match stage {
                Ok(Stage::Unreserved(message)) => Some(message),
                Ok(_) | Err(_) => None,
            })
            .collect();
        if unreserved.is_empty() {
            return Ok(stages);
        }
        let charges = self.charge.charge(conn, limits, &unreserved).await?;
        advance(stages, unreserved_message, charges, Unreserved::with_charge)
    }
}

fn from_phone(stage: Stage) -> Result<FromPhone, Stage> {
    match stage {
        Stage::FromPhone(message) => Ok(message),
        other => Err(other),
    }
}

fn unreserved_message(stage: Stage) -> Result<Unreserved, Stage> {
    match stage {
        Stage::Unreserved(message) => Ok(message),
        other => Err(other),
    }
}
