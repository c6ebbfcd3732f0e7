//! Fetches, checks and stores a message's files, each once.
//!
//! What a `kill -9` leaves:
//!
//! - before `media::begin` commits: nothing;
//! - after it: a row in state `storing` that names an object. The object may exist, in part or
//!   whole. The next attempt stores the file under another name, and its first commit marks the old
//!   object as garbage;
//! - after `media::stored` commits: a stored file, which the next attempt does not fetch again.
//!
//! No database connection is held while a file is transferred.

mod error;
mod receive;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use store::media::{self, Media, MediaStart, NewMedia, Refusal};
use twilio::{InboundWebhook, media::MediaError, webhook::MediaItem};
use uuid::Uuid;

pub use self::error::DownloadError;
use self::receive::{Received, receive};
use crate::{DownloadDeps, StepError, metrics};

/// For this long after its webhook, Twilio may not have a file yet.
/// <https://help.twilio.com/articles/44750147594523>
const SPREADING: TimeDelta = TimeDelta::minutes(5);

/// The shortest and the longest wait before Twilio is asked again.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Fetches all files of a message. Each ends as stored, refused, gone or erased; a file that has
/// ended so before is not fetched again.
///
/// An error means that at least one file cannot be stored for now; the others are stored.
/// `received_at` is when the message arrived, by the database's clock.
/// [`store::StoreError::UserGone`] if the user was deleted meanwhile.
#[tracing::instrument(name = "step.download", level = "debug", skip_all)]
pub async fn download(
    deps: &DownloadDeps,
    message: &InboundWebhook,
    user_id: Uuid,
    received_at: DateTime<Utc>,
) -> Result<Vec<Media>, StepError> {
    let files = message.media().iter().map(|item| {
        let file = MessageFile {
            message,
            user_id,
            received_at,
            item,
        };
        download_one(deps, file)
    });
    join_all(files).await.into_iter().collect()
}

/// One of a message's files.
#[derive(Clone, Copy)]
struct MessageFile<'a> {
    message: &'a InboundWebhook,
    user_id: Uuid,
    received_at: DateTime<Utc>,
    item: &'a MediaItem,
}

async fn download_one(deps: &DownloadDeps, file: MessageFile<'_>) -> Result<Media, StepError> {
    // The semaphore is never closed. If it were, the downloads would only not be limited.
    let _permit = deps.permits.acquire().await.ok();
    let sid = file.message.message_sid();
    let media_sid = deps.downloader.media_sid(sid, &file.item.url);
    let begun = {
        let mut conn = deps.pool.acquire().await?;
        let new = NewMedia {
            message_sid: sid.as_str(),
            user_id: file.user_id,
            position: file.item.index,
            media_sid: media_sid.as_ref().ok().map(twilio::MediaSid::as_str),
        };
        media::begin(&mut conn, &deps.keyring, new).await?
    };
    let object = match begun {
        MediaStart::Ended(media) => return Ok(*media),
        MediaStart::Write(object) => object,
    };
    let received = match media_sid {
        Ok(media_sid) => {
            receive(
                &deps.downloader,
                &deps.media_store,
                sid,
                &media_sid,
                file.item,
                &object,
            )
            .await
        }
        Err(why) => Err(DownloadError::Twilio(MediaError::Forbidden(why))),
    };
    let mut conn = deps.pool.acquire().await?;
    let kept = match received {
        Ok(Received::Stored(facts)) => media::stored(&mut conn, &object, &facts).await?,
        Ok(Received::Refused(why)) => media::refused(&mut conn, &object, why).await?,
        Err(DownloadError::Twilio(error)) => match ending_of(&mut conn, file, error).await? {
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

/// How a file ends that Twilio does not return: a refusal, or `None` for gone. An error means
/// another attempt.
async fn ending_of(
    conn: &mut sqlx::PgConnection,
    file: MessageFile<'_>,
    error: MediaError,
) -> Result<Option<Refusal>, StepError> {
    let (sid, position) = (file.message.message_sid(), file.item.index);
    tracing::warn!(message.sid = %sid, position, why = error.label(), "Twilio did not return a media file");
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
