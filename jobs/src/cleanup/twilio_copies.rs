//! Has Twilio delete the files of a message that has ended. Twilio keeps them until it is asked to
//! delete them.

use queue::{Attempt, EnqueueError, Job, JobArgs, JobError, NewJob};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use store::media;
use twilio::{MediaSid, MessageSid};

use crate::{CleanupDeps, DownloadError, StepError};

/// Delete the files of this message at Twilio.
#[derive(Debug, Serialize, Deserialize)]
pub struct CleanupTwilioCopies {
    /// The message, which has ended.
    pub message: MessageSid,
}

impl JobArgs for CleanupTwilioCopies {
    const NAME: &'static str = "cleanup_twilio_copies";

    fn subject(&self) -> Option<String> {
        Some(self.message.to_string())
    }
}

impl Job<CleanupDeps> for CleanupTwilioCopies {
    async fn run(&self, deps: &CleanupDeps, _: &Attempt) -> Result<(), JobError> {
        Ok(self.delete(deps).await?)
    }
}

impl CleanupTwilioCopies {
    /// Enqueues a job for each of these messages that has none yet.
    pub(crate) async fn enqueue(
        conn: &mut PgConnection,
        messages: impl IntoIterator<Item = MessageSid>,
    ) -> Result<(), StepError> {
        let job = |message: MessageSid| {
            let key = format!("{}:{message}", Self::NAME);
            Ok(NewJob::of(&Self { message })?.unique_key(key))
        };
        let jobs = messages
            .into_iter()
            .map(job)
            .collect::<Result<Vec<_>, EnqueueError>>()?;
        queue::enqueue_all(conn, &jobs).await?;
        Ok(())
    }

    /// Each deletion is recorded at once. Killed in between, the next attempt continues with the
    /// next file.
    async fn delete(&self, deps: &CleanupDeps) -> Result<(), StepError> {
        let files = {
            let mut conn = deps.pool.acquire().await?;
            media::still_at_twilio(&mut conn, self.message.as_str()).await?
        };
        for (id, media_sid) in files {
            let media_sid = match media_sid.parse::<MediaSid>() {
                Ok(media_sid) => media_sid,
                Err(error) => {
                    tracing::error!(message.sid = %self.message, %error, "a stored media SID cannot be read");
                    continue;
                }
            };
            let deleted = deps.downloader.delete(&self.message, &media_sid).await;
            deleted.map_err(DownloadError::Twilio)?;
            let mut conn = deps.pool.acquire().await?;
            media::deleted_at_twilio(&mut conn, id).await?;
        }
        Ok(())
    }
}
