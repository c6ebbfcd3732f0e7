//! How far a message has come on its way to being processed.
//!
//! Each transition consumes a stage and returns the next one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use queue::rate_limit::Admission;
use store::{
    E164, StoreError,
    inbound_messages::{self, MessageState, StoredMessage, rate_key},
};
use twilio::{InboundWebhook, Keyword, MessageSid};
use uuid::Uuid;

use crate::StepError;

/// A message that has not ended.
#[derive(Debug)]
pub(crate) struct OpenMessage {
    pub(crate) webhook: Box<InboundWebhook>,
    /// When it was stored, by the database's clock.
    pub(crate) received_at: DateTime<Utc>,
    /// When Twilio received it, if no webhook brought it.
    pub(crate) sent_at: Option<DateTime<Utc>>,
    /// How long ago it was stored when the message was opened.
    pub(crate) age: Duration,
}

impl OpenMessage {
    /// The number that sent it. A short code, a sender name or the address of another channel is
    /// not a phone number.
    pub(super) fn number(&self) -> Option<E164> {
        let phone = self.webhook.from().phone()?;
        E164::parse(phone).ok()
    }

    /// When its sender sent it, at the earliest. A webhook comes at once.
    pub(crate) fn sent_from(&self) -> DateTime<Utc> {
        self.sent_at.unwrap_or(self.received_at)
    }

    /// When its sender sent it, at the latest.
    pub(crate) fn sent_by(&self) -> DateTime<Utc> {
        inbound_messages::sent_by(self.sent_at, self.received_at)
    }
}

/// The user who sent a message, and the number it came from.
#[derive(Debug, Clone)]
pub(crate) struct SenderUser {
    pub(crate) user_id: Uuid,
    pub(crate) number: E164,
}

/// How far a message has come. [`Stage::read`] returns the first stage.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The message ended earlier.
    Ended,
    /// The message may be processed after this time.
    Wait(Duration),
    /// A phone sent the message. Next: look up its user.
    FromPhone(FromPhone),
    /// A user sent the message. Next: reserve its start within the user's rate limit.
    Unreserved(Unreserved),
    /// The message is a keyword. Keywords are not rate-limited.
    Keyword(OpenMessage, Keyword, Option<SenderUser>),
    /// No user had linked the sender's number when the message arrived.
    UnlinkedSender(OpenMessage),
    /// The user has sent too many messages, and may send again after this time.
    RateLimited(OpenMessage, SenderUser, Duration),
    /// The message may be processed now. The key of its rate limit, if its end is to charge it.
    Ready(OpenMessage, SenderUser, Option<String>),
}

/// A message that a phone sent.
#[derive(Debug)]
pub(crate) struct FromPhone {
    message: OpenMessage,
    number: E164,
    keyword: Option<Keyword>,
    /// How long until the message's reservation. `None` if it has no reservation yet.
    starts_in: Option<Duration>,
}

/// When a message's limit is charged.
#[derive(Debug, Clone, Copy)]
pub(super) enum Charge {
    /// When the message ends.
    AtEnd,
    /// Now: it has its reservation, or was refused.
    Decided(Admission),
}

/// A user's message that has no reservation yet.
#[derive(Debug)]
pub(crate) struct Unreserved {
    message: OpenMessage,
    sender: SenderUser,
}

impl Stage {
    /// Reads what is stored of a message.
    pub(super) fn read(
        sid: &MessageSid,
        stored: Option<Result<StoredMessage, StoreError>>,
    ) -> Result<Self, StepError> {
        let stored = stored.ok_or_else(|| StepError::NoSuchMessage(sid.clone()))??;
        // A failed message is opened again if an operator requeues its job, or if a worker died
        // after it had written the failure and before it had written the dead letter.
        if !matches!(stored.state, MessageState::Received | MessageState::Failed) {
            return Ok(Self::Ended);
        }
        let fields = stored
            .fields
            .ok_or_else(|| StepError::Erased(sid.clone()))?;
        let message = OpenMessage {
            webhook: Box::new(InboundWebhook::from_fields(fields)?),
            received_at: stored.received_at,
            sent_at: stored.sent_at,
            age: stored.age,
        };
        let keyword = Keyword::of(&message.webhook);
        Ok(match (message.number(), keyword) {
            (Some(number), keyword) => Self::FromPhone(FromPhone {
                message,
                number,
                keyword,
                starts_in: stored.starts_in,
            }),
            (None, Some(keyword)) => Self::Keyword(message, keyword, None),
            (None, None) => Self::UnlinkedSender(message),
        })
    }

    /// How long ago the message arrived, unless it has ended.
    pub(super) fn age(&self) -> Option<Duration> {
        match self {
            Self::Ended | Self::Wait(_) => None,
            Self::FromPhone(FromPhone { message, .. })
            | Self::Unreserved(Unreserved { message, .. })
            | Self::Keyword(message, ..)
            | Self::UnlinkedSender(message)
            | Self::RateLimited(message, ..)
            | Self::Ready(message, ..) => Some(message.age),
        }
    }
}

impl FromPhone {
    /// The number, and when at the latest the message was sent from it.
    pub(super) fn sent_by(&self) -> (E164, DateTime<Utc>) {
        (self.number.clone(), self.message.sent_by())
    }

    /// The next stage, now that the number's user is known. Without enrichment the message ends
    /// without items, so it needs no reservation and costs its user nothing.
    pub(super) fn with_user(self, user: Option<Uuid>, enrichment: bool) -> Stage {
        let (message, number) = (self.message, self.number);
        let sender = user.map(|user_id| SenderUser { user_id, number });
        match (self.keyword, sender) {
            (Some(keyword), sender) => Stage::Keyword(message, keyword, sender),
            (None, None) => Stage::UnlinkedSender(message),
            (None, Some(sender)) if !enrichment => Stage::Ready(message, sender, None),
            (None, Some(sender)) => match self.starts_in {
                None => Stage::Unreserved(Unreserved { message, sender }),
                Some(Duration::ZERO) => Stage::Ready(message, sender, None),
                Some(wait) => Stage::Wait(wait),
            },
        }
    }
}

impl Unreserved {
    pub(super) fn message_sid(&self) -> &MessageSid {
        self.message.webhook.message_sid()
    }

    pub(super) fn user_id(&self) -> Uuid {
        self.sender.user_id
    }

    /// When Twilio received it, if no webhook brought it. The rate limit counts it then.
    pub(super) fn sent_at(&self) -> Option<DateTime<Utc>> {
        self.message.sent_at
    }

    pub(super) fn rate_key(&self) -> String {
        rate_key(self.sender.user_id)
    }

    /// True for a text that its webhook brought: processing it costs next to nothing, and it counts
    /// when it is processed.
    pub(super) fn is_plain(&self) -> bool {
        self.message.sent_at.is_none() && self.message.webhook.media().is_empty()
    }

    /// The next stage, now that it is known when the rate limit is charged.
    pub(super) fn with_charge(self, charge: Charge) -> Stage {
        let key = self.rate_key();
        match charge {
            Charge::AtEnd => Stage::Ready(self.message, self.sender, Some(key)),
            Charge::Decided(Admission::Now) => Stage::Ready(self.message, self.sender, None),
            Charge::Decided(Admission::At { wait, .. }) => Stage::Wait(wait),
            Charge::Decided(Admission::Refused { wait }) => {
                Stage::RateLimited(self.message, self.sender, wait)
            }
        }
    }
}

/// Advances those stages of a batch that `pick` selects, each with one of `values`, in their order.
///
/// [`StepError::Mismatch`] if there is not exactly one value for each of them.
pub(super) fn advance<P, V>(
    stages: Vec<Result<Stage, StepError>>,
    pick: fn(Stage) -> Result<P, Stage>,
    values: Vec<V>,
    next: impl Fn(P, V) -> Stage,
) -> Result<Vec<Result<Stage, StepError>>, StepError> {
    let mut values = values.into_iter();
    let advanced = stages
        .into_iter()
        .map(|stage| match stage.map(pick) {
            Ok(Ok(picked)) => Ok(Ok(next(picked, values.next().ok_or(StepError::Mismatch)?))),
            Ok(Err(other)) => Ok(Ok(other)),
            Err(error) => Ok(Err(error)),
        })
        .collect::<Result<_, StepError>>()?;
    match values.next() {
        None => Ok(advanced),
        Some(_) => Err(StepError::Mismatch),
    }
}

#[cfg(test)]
mod tests;
