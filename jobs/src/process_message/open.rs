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
use twilio::{InboundWebhook, Keyword, MessageSid};
use uuid::Uuid;

use super::rate_limit::{self, Unplaced};
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
    /// It is a keyword, which came in at this time.
    Keyword(Box<InboundWebhook>, (Keyword, DateTime<Utc>), Option<Owner>),
    /// Its user has sent too many; this is how long it would have to wait.
    Refused(Box<InboundWebhook>, Owner, Duration),
    /// It may be processed. When it came, by the database's clock.
    Ready(Box<InboundWebhook>, Owner, DateTime<Utc>),
}

/// A message, and how long ago it came in.
pub(crate) type Asked = (Opened, Duration);

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
    type Answer = Result<Asked, StepError>;

    async fn run(&self, sids: &[MessageSid]) -> Result<Vec<Self::Answer>, StepError> {
        let mut conn = self.pool.acquire().await?;
        let texts: Vec<String> = sids.iter().map(ToString::to_string).collect();
        let stored = inbound_messages::load_all(&mut conn, &self.keyring, &texts).await?;
        let came: Vec<(DateTime<Utc>, Duration)> = stored
            .iter()
            .map(|stored| match stored {
                Some(Ok(message)) => (message.received_at, message.age),
                Some(Err(_)) | None => Default::default(), // there will be no message to go with it
            })
            .collect();
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
            .zip(came)
            .map(|(found, (came, age))| Ok((found?.opened(came), age)))
            .collect())
    }
}

/// What is known of a message before its user is.
enum Meaning {
    Keyword(Keyword),
    /// How long until its slot, if it has one.
    Content(Option<Duration>),
}

/// A message on its way through the batch.
enum Found {
    Is(Opened),
    /// Sent from a number that may be somebody's, and when.
    Numbered(Box<InboundWebhook>, E164, DateTime<Utc>, Meaning),
    /// Sent by a user, and without a place within their limit.
    Unplaced(Box<InboundWebhook>, Owner),
    /// It may be processed.
    Placed(Box<InboundWebhook>, Owner),
}

impl Found {
    fn opened(self, came: DateTime<Utc>) -> Opened {
        match self {
            Self::Is(opened) => opened,
            Self::Numbered(webhook, _, at, Meaning::Keyword(keyword)) => {
                Opened::Keyword(webhook, (keyword, at), None)
            }
            Self::Numbered(webhook, _, _, Meaning::Content(_)) => Opened::Stranger(webhook),
            Self::Unplaced(webhook, owner) | Self::Placed(webhook, owner) => {
                Opened::Ready(webhook, owner, came)
            }
        }
    }
}

/// What the message says, and where it came from.
fn read(
    sid: &MessageSid,
    stored: Option<Result<StoredMessage, StoreError>>,
) -> Result<Found, StepError> {
    let stored = stored.ok_or_else(|| StepError::NoSuchMessage(sid.clone()))??;
    // One that has failed is here because its job was requeued, or its process died before the job was buried.
    if !matches!(stored.state, MessageState::Received | MessageState::Failed) {
        return Ok(Found::Is(Opened::Ended));
    }
    let fields = stored
        .fields
        .ok_or_else(|| StepError::Erased(sid.clone()))?;
    let webhook = Box::new(InboundWebhook::from_fields(fields)?);
    let meaning = match Keyword::of(&webhook) {
        Some(keyword) => Meaning::Keyword(keyword),
        None => Meaning::Content(stored.slot_in),
    };
    // A short code, a name or another channel's address is nobody's phone number.
    Ok(match (webhook.from().phone().map(E164::parse), meaning) {
        (Some(Ok(number)), meaning) => {
            Found::Numbered(webhook, number, stored.received_at, meaning)
        }
        (Some(Err(_)) | None, Meaning::Keyword(keyword)) => Found::Is(Opened::Keyword(
            webhook,
            (keyword, stored.received_at),
            None,
        )),
        (Some(Err(_)) | None, Meaning::Content(_)) => Found::Is(Opened::Stranger(webhook)),
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
            let Ok(Found::Numbered(webhook, number, at, meaning)) =
                std::mem::replace(found, Ok(Found::Is(Opened::Ended)))
            else {
                continue;
            };
            *found = Ok(match (owner, meaning) {
                // It is no message to be counted.
                (owner, Meaning::Keyword(keyword)) => {
                    let owner = owner.map(|user| (user, number));
                    Found::Is(Opened::Keyword(webhook, (keyword, at), owner))
                }
                (None, _) => Found::Is(Opened::Stranger(webhook)),
                // It will end without effect, which costs its user nothing.
                (Some(user), _) if !self.policy.enrichment => {
                    Found::Placed(webhook, (user, number))
                }
                (Some(user), Meaning::Content(None)) => Found::Unplaced(webhook, (user, number)),
                (Some(user), Meaning::Content(Some(Duration::ZERO))) => {
                    Found::Placed(webhook, (user, number))
                }
                (Some(_), Meaning::Content(Some(wait))) => Found::Is(Opened::Wait(wait)),
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
        let given = rate_limit::give(conn, &self.policy.limit, &unplaced).await?;
        let unplaced = opened
            .iter_mut()
            .filter(|f| matches!(f, Ok(Found::Unplaced(..))));
        for (found, admission) in unplaced.zip(given) {
            let Ok(Found::Unplaced(webhook, owner)) =
                std::mem::replace(found, Ok(Found::Is(Opened::Ended)))
            else {
                continue;
            };
            *found = Ok(match admission {
                Admission::Now => Found::Placed(webhook, owner),
                Admission::At { wait, .. } => Found::Is(Opened::Wait(wait)),
                Admission::Refused { wait } => Found::Is(Opened::Refused(webhook, owner, wait)),
            });
        }
        Ok(())
    }
}
