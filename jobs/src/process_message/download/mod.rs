//! A message's files: fetched, judged and stored, each once.
//!
//! What a `kill -9` leaves, from one line to the next:
//!
//! - before `media::begin` commits: nothing;
//! - after it: a row that says `storing` and names an object, which may be there, in part or whole. The next attempt
//!   begins anew under another name, and the old name is garbage by the same commit;
//! - after `media::stored` commits: a file that is stored, which the next attempt leaves alone.
//!
//! No connection to the database is held while a file comes.

mod receive;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use store::media::{self, Begun, Media, NewMedia, Refusal};
use tokio::sync::Semaphore;
use twilio::{
    InboundWebhook,
    media::{Downloader, MediaError},
    webhook::MediaItem,
};
use uuid::Uuid;

use crate::{Deps, MediaStore, MediaStoreError, StepError, metrics};
use receive::{Received, receive};

/// For this long after it was told of, Twilio may not have a file yet.
/// <https://help.twilio.com/articles/44750147594523>
const SPREADING: TimeDelta = TimeDelta::minutes(5);

/// Between looks at whether it has.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What jobs that fetch files need besides.
#[derive(Debug, Clone)]
pub struct MediaDeps {
    /// The database and the keys.
    pub deps: Deps,
    /// Asks Twilio for files.
    pub downloader: Downloader,
    /// Keeps them.
    pub store: MediaStore,
    /// How many files may be under way at once in this process.
    pub at_once: Arc<Semaphore>,
}

/// Why a file is not to be had for now.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// Twilio has no such file, and the message is so new that it may have one later.
    #[error("Twilio does not have the media file yet")]
    NotYet {
        /// When to look again.
        look_again: Duration,
    },
    /// Twilio does not give it, for now.
    #[error(transparent)]
    Twilio(MediaError),
    /// It cannot be kept, for now.
    #[error(transparent)]
    Store(#[from] MediaStoreError),
    /// Another attempt has begun to store it meanwhile, or its row is gone.
    #[error("the media file is not this attempt's to store any more")]
    Overtaken,
}

/// All files that a message brings, each as far as it can come: stored, refused, gone or erased. Files that have come so
/// far before are not fetched again.
///
/// An error means that at least one is not to be had for now; what is, is stored. `received_at` is when the message came,
/// by the database's clock. [`store::StoreError::UserGone`] if the user was deleted meanwhile.
#[tracing::instrument(name = "step.download", level = "debug", skip_all)]
pub async fn download(
    deps: &MediaDeps,
    message: &InboundWebhook,
    user_id: Uuid,
    received_at: DateTime<Utc>,
) -> Result<Vec<Media>, StepError> {
    let files = message.media().iter().map(|item| {
        let file = File {
            message,
            user_id,
            received_at,
            item,
        };
        one(deps, file)
    });
    join_all(files).await.into_iter().collect()
}

/// One of a message's files.
#[derive(Clone, Copy)]
struct File<'a> {
    message: &'a InboundWebhook,
    user_id: Uuid,
    received_at: DateTime<Utc>,
    item: &'a MediaItem,
}

async fn one(deps: &MediaDeps, file: File<'_>) -> Result<Media, StepError> {
    let Ok(_permit) = deps.at_once.acquire().await else {
        // Nobody closes it.
        return Err(DownloadError::Overtaken.into());
    };
    let sid = file.message.message_sid();
    let media_sid = deps.downloader.media_sid(sid, &file.item.url);
    let begun = {
        let mut conn = deps.deps.pool.acquire().await?;
        let new = NewMedia {
            message_sid: sid.as_str(),
            user_id: file.user_id,
            position: file.item.index,
            media_sid: media_sid.as_ref().ok().map(twilio::MediaSid::as_str),
        };
        media::begin(&mut conn, &deps.deps.keyring, new).await?
    };
    let object = match begun {
        Begun::Ended(media) => return Ok(*media),
        Begun::Write(object) => object,
    };
    let received = match media_sid {
        Ok(media_sid) => receive(deps, sid, &media_sid, file.item, &object).await,
        Err(why) => Err(DownloadError::Twilio(MediaError::Forbidden(why))),
    };
    let mut conn = deps.deps.pool.acquire().await?;
    let kept = match received {
        Ok(Received::Stored(facts)) => media::stored(&mut conn, &object, &facts).await?,
        Ok(Received::Refused(why)) => media::refused(&mut conn, &object, why).await?,
        Err(DownloadError::Twilio(error)) => match what_now(&mut conn, file, error).await? {
            Some(why) => media::refused(&mut conn, &object, why).await?,
            None => media::gone(&mut conn, &object).await?,
        },
        Err(error) => return Err(error.into()),
    };
    if !kept {
        return Err(DownloadError::Overtaken.into());
    }
    let ended = media::load(&mut conn, object.media_id).await?;
    let ended = ended.ok_or(DownloadError::Overtaken)?;
    metrics::media_file(ended.state, ended.bytes);
    let outcome = ended.state.label();
    tracing::info!(message.sid = %sid, position = ended.position, outcome, "media file");
    Ok(ended)
}

/// What an error of Twilio's makes of the file: a refusal, `None` for gone, or another attempt.
async fn what_now(
    conn: &mut sqlx::PgConnection,
    file: File<'_>,
    error: MediaError,
) -> Result<Option<Refusal>, StepError> {
    let (sid, position) = (file.message.message_sid(), file.item.index);
    tracing::warn!(message.sid = %sid, position, why = error.label(), "a media file did not come");
    match error {
        MediaError::Forbidden(_) => Ok(Some(Refusal::Forbidden)),
        MediaError::TooLarge { .. } => Ok(Some(Refusal::TooLarge)),
        MediaError::NotFound => {
            let age = store::now(conn).await? - file.received_at;
            if age > SPREADING {
                return Ok(None);
            }
            let age = age.to_std().unwrap_or_default();
            let look_again = (age / 4).clamp(LOOKS.0, LOOKS.1);
            Err(DownloadError::NotYet { look_again }.into())
        }
        MediaError::Account { .. } | MediaError::Throttled { .. } | MediaError::Unavailable(_) => {
            Err(DownloadError::Twilio(error).into())
        }
    }
}
