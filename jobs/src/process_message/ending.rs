//! Ends messages, many in one transaction. Each message ends as a whole or not at all: its items,
//! its state, its reply with that reply's job, its sender's opt-out, and the end of its own job.

use std::{borrow::Borrow, sync::Arc};

use group_commit::{BatchOperation, OnError};
use queue::{Pool, Waker, rate_limit::RateLimit};
use sqlx::Connection;
use store::{
    Keyring,
    inbound_messages::{EndOutcome, MessageEnd, finish_all},
    opt_outs::{self, OptOutChange},
    sends::{self, NewReply},
};

use crate::{StepError, error::on_batch_error, replies::LIFE};

/// How a message is to end, and what is written with its end.
pub(crate) struct MessageEnding {
    pub(super) end: MessageEnd,
    /// The reply if the message ends in the state that `end` names.
    pub(super) reply: Option<NewReply>,
    /// The reply if it turns out that the number has been unlinked meanwhile.
    pub(super) reply_if_unlinked: Option<NewReply>,
    /// The sender's opt-out, or its end.
    pub(super) opt_out: Option<OptOutChange>,
    /// The trace context that the reply's job continues.
    pub(super) trace: Option<String>,
}

impl Borrow<MessageEnd> for &MessageEnding {
    fn borrow(&self) -> &MessageEnd {
        &self.end
    }
}

impl MessageEnding {
    /// True if nothing is written besides the end itself.
    fn is_plain(&self) -> bool {
        self.reply.is_none() && self.reply_if_unlinked.is_none() && self.opt_out.is_none()
    }

    /// The reply that fits how the message has ended.
    fn reply(&self, finished: EndOutcome) -> Option<NewReply> {
        let intended = self.end.state;
        let reply = match finished {
            EndOutcome::Ended(state) if state == intended => self.reply.clone(),
            EndOutcome::Ended(_) => self.reply_if_unlinked.clone(),
            EndOutcome::EndedBefore | EndOutcome::LeaseLost | EndOutcome::Busy => None,
        };
        reply.map(|reply| NewReply {
            trace: self.trace.clone(),
            ..reply
        })
    }
}

/// Ends messages, many in one transaction.
pub(crate) struct FinishMessages {
    pub(crate) pool: Pool,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) limit: RateLimit,
    pub(crate) waker: Waker,
}

impl BatchOperation for FinishMessages {
    type Request = MessageEnding;
    type Response = EndOutcome;
    type Error = StepError;

    async fn execute(&self, endings: &[&MessageEnding]) -> Result<Vec<EndOutcome>, StepError> {
        let mut conn = self.pool.acquire().await?;
        if endings.iter().all(|ending| ending.is_plain()) {
            let finished = finish_all(&mut conn, &self.keyring, &self.limit, endings).await?;
            conn.put_back();
            self.pool.write_committed();
            return Ok(finished);
        }
        let mut tx = conn.begin().await?;
        let finished = finish_all(&mut tx, &self.keyring, &self.limit, endings).await?;
        if finished.len() != endings.len() {
            return Err(StepError::Mismatch);
        }
        let ended = || endings.iter().zip(finished.iter().copied());
        let opt_outs: Vec<OptOutChange> = ended()
            .filter(|(_, finished)| matches!(finished, EndOutcome::Ended(_)))
            .filter_map(|(ending, _)| ending.opt_out.clone())
            .collect();
        if !opt_outs.is_empty() {
            opt_outs::record(&mut tx, &self.keyring, &opt_outs).await?;
        }
        let replies: Vec<NewReply> = ended()
            .filter_map(|(ending, finished)| ending.reply(finished))
            .collect();
        sends::enqueue_replies(&mut tx, &self.keyring, &replies, LIFE).await?;
        tx.commit().await?;
        conn.put_back();
        self.pool.write_committed();
        if !replies.is_empty() {
            self.waker.wake();
        }
        Ok(finished)
    }

    fn on_error(&self, error: Option<&StepError>, _: usize, _: u32) -> OnError {
        let on_error = on_batch_error(error);
        if on_error == OnError::FailAll {
            self.pool.write_refused();
        }
        on_error
    }
}
