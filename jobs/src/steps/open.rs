//! The beginning of a message: what it says, whose it is, and when its user's rate limit lets it be processed.
//!
//! Its place within the limit is taken and written down in one statement, once. Killed before that commit, nothing was
//! taken; killed after it, the next attempt finds the place and is not charged again.

use std::{collections::HashSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use queue::rate_limit::Admission;
use sqlx::{PgConnection, PgPool};
use store::{
    E164, Keyring, StoreError,
    inbound_messages::{self, MessageState, StoredMessage},
};
use twilio::{InboundWebhook, MessageSid};
use uuid::Uuid;

use super::slots::{self, Unplaced};
use crate::{StepError, batches::Together, deps::Policy};

/// A message, ready for what comes next.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It has ended before.
    Ended,
    /// Its turn comes later.
    Wait(Duration),
    /// Its sender's number is nobody's.
    Stranger(Box<InboundWebhook>),
    /// Its user has sent too many.
    Refused(Box<InboundWebhook>, Owner),
    /// It may be processed.
    Ready(Box<InboundWebhook>, Owner),
}

/// Whose message it is, and by which number.
pub(crate) type Owner = (Uuid, E164);

/// Opens messages.
pub(crate) struct Openings {
    pub(crate) pool: PgPool,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) policy: Arc<Policy>,
}

/// Two jobs of one message, at the same time: an operator has requeued a dead letter that was replaced. One goes first.
const TWICE: Duration = Duration::from_secs(1);

impl Together for Openings {
    type Wish = MessageSid;
    type Answer = Result<Opened, StepError>;

    async fn run(&self, sids: &[MessageSid]) -> Result<Vec<Self::Answer>, StepError> {
        let mut conn = self.pool.acquire().await?;
        let texts: Vec<String> = sids.iter().map(ToString::to_string).collect();
        let stored = inbound_messages::load_all(&mut conn, &self.keyring, &texts).await?;
        let mut seen = HashSet::new();
        let mut opened: Vec<Result<Found, StepError>> = sids
            .iter()
            .zip(stored)
            .map(|(sid, stored)| {
                if seen.insert(sid) {
                    read(sid, stored)
                } else {
                    Ok(Found::Is(Opened::Wait(TWICE)))
                }
            })
            .collect();
        self.find_owners(&mut conn, &mut opened).await?;
        self.give_slots(&mut conn, &mut opened).await?;
        Ok(opened
            .into_iter()
            .map(|found| found.map(Found::opened))
            .collect())
    }
}

/// A message on its way through the batch.
enum Found {
    Is(Opened),
    /// Sent from a number that may be somebody's.
    Numbered(Box<InboundWebhook>, E164, DateTime<Utc>, Option<Duration>),
    /// Sent by a user, and without a place within their limit.
    Unplaced(Box<InboundWebhook>, Owner),
}

impl Found {
    fn opened(self) -> Opened {
        match self {
            Self::Is(opened) => opened,
            Self::Numbered(webhook, ..) => Opened::Stranger(webhook),
            Self::Unplaced(webhook, owner) => Opened::Ready(webhook, owner),
        }
    }
}

/// What the message says, and where it came from.
fn read(
    sid: &MessageSid,
    stored: Option<Result<StoredMessage, StoreError>>,
) -> Result<Found, StepError> {
    let stored = stored.ok_or_else(|| StepError::NoSuchMessage(sid.clone()))??;
    if stored.state != MessageState::Received {
        return Ok(Found::Is(Opened::Ended));
    }
    let fields = stored
        .fields
        .ok_or_else(|| StepError::Erased(sid.clone()))?;
    let webhook = Box::new(InboundWebhook::from_fields(fields)?);
    // A short code, a name or another channel's address is nobody's phone number.
    Ok(match webhook.from().phone().map(E164::parse) {
        Some(Ok(number)) => Found::Numbered(webhook, number, stored.received_at, stored.slot_in),
        Some(Err(_)) | None => Found::Is(Opened::Stranger(webhook)),
    })
}

impl Openings {
    async fn find_owners(
        &self,
        conn: &mut PgConnection,
        opened: &mut [Result<Found, StepError>],
    ) -> Result<(), StepError> {
        let sent: Vec<(E164, DateTime<Utc>)> = opened
            .iter()
            .filter_map(|found| match found {
                Ok(Found::Numbered(_, number, at, _)) => Some((number.clone(), *at)),
                _ => None,
            })
            .collect();
        if sent.is_empty() {
            return Ok(());
        }
        let owners = inbound_messages::senders(conn, &self.keyring, &sent).await?;
        let numbered = opened
            .iter_mut()
            .filter(|f| matches!(f, Ok(Found::Numbered(..))));
        for (found, owner) in numbered.zip(owners) {
            let Ok(Found::Numbered(webhook, number, _, slot)) =
                std::mem::replace(found, Ok(Found::Is(Opened::Ended)))
            else {
                continue;
            };
            *found = Ok(match (owner, slot) {
                (None, _) => Found::Is(Opened::Stranger(webhook)),
                // It will end without effect, which costs its user nothing.
                (Some(user), _) if !self.policy.enrichment => {
                    Found::Is(Opened::Ready(webhook, (user, number)))
                }
                (Some(user), None) => Found::Unplaced(webhook, (user, number)),
                (Some(user), Some(Duration::ZERO)) => {
                    Found::Is(Opened::Ready(webhook, (user, number)))
                }
                (Some(_), Some(wait)) => Found::Is(Opened::Wait(wait)),
            });
        }
        Ok(())
    }

    async fn give_slots(
        &self,
        conn: &mut PgConnection,
        opened: &mut [Result<Found, StepError>],
    ) -> Result<(), StepError> {
        let unplaced: Vec<Unplaced> = opened
            .iter()
            .filter_map(|found| match found {
                Ok(Found::Unplaced(webhook, (user, _))) => Some(Unplaced {
                    message_sid: webhook.message_sid().to_string(),
                    user: *user,
                }),
                _ => None,
            })
            .collect();
        if unplaced.is_empty() {
            return Ok(());
        }
        let given = slots::give(conn, &self.policy.limit, &unplaced).await?;
        let unplaced = opened
            .iter_mut()
            .filter(|f| matches!(f, Ok(Found::Unplaced(..))));
        for (found, admission) in unplaced.zip(given) {
            let Ok(Found::Unplaced(webhook, owner)) =
                std::mem::replace(found, Ok(Found::Is(Opened::Ended)))
            else {
                continue;
            };
            *found = Ok(Found::Is(match admission {
                Admission::Now => Opened::Ready(webhook, owner),
                Admission::At { wait, .. } => Opened::Wait(wait),
                Admission::Refused { .. } => Opened::Refused(webhook, owner),
            }));
        }
        Ok(())
    }
}
