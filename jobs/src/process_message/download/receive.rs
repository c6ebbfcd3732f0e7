//! One file, from Twilio through all judgements into the store, without ever being held as a whole.

use sha2::{Digest, Sha256};
use store::media::{Facts, Object, Refusal};
use twilio::{
    MediaSid, MessageSid,
    media::{
        Download, MAX_PIXELS, dimensions,
        kind::{Judgement, MediaClass, MediaKind, judge},
    },
    webhook::MediaItem,
};

use super::{DownloadError, MediaDeps};
use crate::media_store::MediaWriter;

/// As many first bytes are looked at before anything is stored: enough for the dimensions of nearly every image.
const HEAD: usize = 64 * 1024;

/// How it went.
pub(super) enum Received {
    Stored(Facts),
    Refused(Refusal),
}

pub(super) async fn receive(
    deps: &MediaDeps,
    message: &MessageSid,
    media: &MediaSid,
    item: &MediaItem,
    object: &Object,
) -> Result<Received, DownloadError> {
    let fetched = deps.downloader.fetch(message, media).await;
    let mut download = fetched.map_err(DownloadError::Twilio)?;
    let head = head(&mut download).await?;
    let kind = match judge(&head, item.content_type.as_deref()) {
        Judgement::Allowed(kind) => kind,
        Judgement::Skipped => return Ok(Received::Refused(Refusal::Skipped)),
        Judgement::NotSupported => return Ok(Received::Refused(Refusal::TypeNotSupported)),
    };
    let seen = match measured(kind, &head) {
        Ok(seen) => seen,
        Err(why) => return Ok(Received::Refused(why)),
    };
    let mut writer = deps.store.create(object)?;
    let (bytes, sha256) = match copy(&mut download, head, &mut writer).await {
        Ok(copied) => copied,
        Err(error) => {
            writer.abort().await;
            return Err(error);
        }
    };
    writer.finish().await?;
    let dimensions = match (kind.class, seen) {
        // They stand further behind, or nowhere.
        (MediaClass::Image, None) => match measured_as_a_whole(deps, kind, object, bytes).await? {
            Ok(dimensions) => dimensions,
            Err(why) => return Ok(Received::Refused(why)),
        },
        (_, seen) => seen,
    };
    Ok(Received::Stored(Facts {
        content_type: kind.mime,
        bytes,
        sha256,
        dimensions,
    }))
}

/// The first bytes, or all if there are no more.
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

/// The dimensions of an image, if they stand in these bytes and are bearable.
fn measured(kind: MediaKind, bytes: &[u8]) -> Result<Option<(u32, u32)>, Refusal> {
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

/// By the whole file. This is the one place that holds one; few images come here, and one at a time.
async fn measured_as_a_whole(
    deps: &MediaDeps,
    kind: MediaKind,
    object: &Object,
    bytes: u64,
) -> Result<Result<Option<(u32, u32)>, Refusal>, DownloadError> {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = TURN.lock().await;
    let file = deps.store.read_all(object, bytes).await?;
    Ok(measured(kind, &file))
}
