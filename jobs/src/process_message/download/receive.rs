//! Streams one file from Twilio through all checks into the media store, without holding all of it
//! in memory.

use sha2::{Digest, Sha256};
use store::media::{FileFacts, MediaObject, Refusal};
use tokio::sync::Mutex;
use twilio::{
    MediaSid, MessageSid,
    media::{
        Download, Downloader, MAX_PIXELS, dimensions,
        kind::{Judgement, MediaClass, MediaKind, judge},
    },
    webhook::MediaItem,
};

use super::error::DownloadError;
use crate::{MediaStore, MediaWriter};

/// How many bytes are read before anything is stored: enough for the dimensions of nearly every
/// image.
const HEAD: usize = 64 * 1024;

/// What became of the file.
pub(super) enum Received {
    Stored(FileFacts),
    Refused(Refusal),
}

/// Fetches, checks and stores the file.
pub(super) async fn receive(
    downloader: &Downloader,
    store: &MediaStore,
    message: &MessageSid,
    media: &MediaSid,
    item: &MediaItem,
    object: &MediaObject,
) -> Result<Received, DownloadError> {
    let fetched = downloader.fetch(message, media).await;
    let mut download = fetched.map_err(DownloadError::Twilio)?;
    let head = head(&mut download).await?;
    let kind = match judge(&head, item.content_type.as_deref()) {
        Judgement::Allowed(kind) => kind,
        Judgement::Skipped => return Ok(Received::Refused(Refusal::Skipped)),
        Judgement::NotSupported => return Ok(Received::Refused(Refusal::TypeNotSupported)),
    };
    let early = match checked_dimensions(kind, &head) {
        Ok(dimensions) => dimensions,
        Err(why) => return Ok(Received::Refused(why)),
    };
    let mut writer = store.create(object)?;
    let (bytes, sha256) = match copy(&mut download, head, &mut writer).await {
        Ok(copied) => copied,
        Err(error) => {
            writer.abort().await;
            return Err(error);
        }
    };
    writer.finish().await?;
    let dimensions = match (kind.class, early) {
        // They are further behind in the file, or not in it.
        (MediaClass::Image, None) => {
            match dimensions_of_whole_file(store, kind, object, bytes).await? {
                Ok(dimensions) => dimensions,
                Err(why) => return Ok(Received::Refused(why)),
            }
        }
        (_, early) => early,
    };
    Ok(Received::Stored(FileFacts {
        content_type: kind.mime,
        bytes,
        sha256,
        dimensions,
    }))
}

/// The first bytes, or the whole file if it is shorter.
async fn head(download: &mut Download) -> Result<Vec<u8>, DownloadError> {
    let mut head = Vec::new();
    while head.len() < HEAD {
        match download.chunk().await.map_err(DownloadError::Twilio)? {
            Some(chunk) => head.extend_from_slice(&chunk),
            None => break,
        }
    }
    Ok(head)
}

/// The dimensions of an image, if these bytes hold them. An error if they are too large.
fn checked_dimensions(kind: MediaKind, bytes: &[u8]) -> Result<Option<(u32, u32)>, Refusal> {
    if kind.class != MediaClass::Image {
        return Ok(None);
    }
    match dimensions(bytes) {
        Some((width, height)) if u64::from(width) * u64::from(height) > MAX_PIXELS => {
            Err(Refusal::TooManyPixels)
        }
        dimensions => Ok(dimensions),
    }
}

async fn copy(
    download: &mut Download,
    head: Vec<u8>,
    writer: &mut MediaWriter,
) -> Result<(u64, [u8; 32]), DownloadError> {
    let mut digest = Sha256::new();
    digest.update(&head);
    writer.write(&head).await?;
    let mut bytes = head.len() as u64;
    drop(head);
    while let Some(chunk) = download.chunk().await.map_err(DownloadError::Twilio)? {
        digest.update(&chunk);
        writer.write(&chunk).await?;
        bytes += chunk.len() as u64;
    }
    Ok((bytes, digest.finalize().into()))
}

/// The dimensions of an image, read from the whole file. Only this function holds a whole file in
/// memory; few images need it, and only one at a time is read.
async fn dimensions_of_whole_file(
    store: &MediaStore,
    kind: MediaKind,
    object: &MediaObject,
    bytes: u64,
) -> Result<Result<Option<(u32, u32)>, Refusal>, DownloadError> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    let _guard = ONE_AT_A_TIME.lock().await;
    let file = store.read_all(object, bytes).await?;
    Ok(checked_dimensions(kind, &file))
}
