//! A fake Twilio API, a fake file host, and the download step between them.

use std::{path::Path, sync::Arc, time::Duration};

use axum::body::Bytes;
use chrono::{DateTime, Utc};
use jobs::{CleanupDeps, DownloadDeps, MediaStore, StepError, download};
use queue::JobError;
use store::{
    media::{Media, MediaState},
    users,
};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use twilio::{
    InboundWebhook, MessageSid,
    media::{Downloader, DownloaderSettings},
    rest::Credentials,
};
use url::Url;
use uuid::Uuid;

use super::file_server::{FileAnswer, FileServer};
use crate::{database::Database, settings::hex};

/// The size limit of these tests.
pub(crate) const MAX_BYTES: usize = 5 * 1024 * 1024;

/// The harness of the download step, with its own database and folder.
pub(crate) struct MediaHarness {
    pub(crate) database: Database,
    pub(crate) api: FileServer,
    pub(crate) cdn: FileServer,
    pub(crate) deps: DownloadDeps,
    pub(crate) folder: TempDir,
    credentials: Credentials,
}

/// A stored message with files.
pub(crate) struct StoredMessage {
    pub(crate) webhook: InboundWebhook,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) user: Uuid,
}

impl StoredMessage {
    pub(crate) fn sid(&self) -> &MessageSid {
        self.webhook.message_sid()
    }
}

impl MediaHarness {
    pub(crate) async fn start() -> Self {
        Self::with_timeout(Duration::from_secs(20)).await
    }

    pub(crate) async fn with_timeout(timeout: Duration) -> Self {
        let (api, cdn) = (FileServer::start().await, FileServer::start().await);
        let database = Database::create().await;
        let folder = tempfile::tempdir().unwrap();
        let account = format!("AC{}", hex());
        let credentials = Credentials {
            username: account.clone(),
            account: account.parse().unwrap(),
            secret: "the-token".to_owned().into(),
        };
        let settings = DownloaderSettings {
            api_base_url: api.url("").parse().unwrap(),
            credentials: credentials.clone(),
            max_bytes: MAX_BYTES as u64,
            timeout,
            more_hosts: vec![cdn.addr.to_string()],
        };
        let deps = DownloadDeps {
            pool: database.pool.clone().into(),
            keyring: Arc::new(database.settings.keyring()),
            downloader: Downloader::new(settings).unwrap(),
            media_store: store_in(&folder.path().join("media")),
            permits: Arc::new(Semaphore::new(16)),
        };
        Self {
            database,
            api,
            cdn,
            deps,
            folder,
            credentials,
        }
    }

    pub(crate) fn cleanup_deps(&self, keep_media: Duration) -> CleanupDeps {
        CleanupDeps {
            pool: self.deps.pool.clone(),
            media_store: self.deps.media_store.clone(),
            downloader: self.deps.downloader.clone(),
            keep_messages: Duration::MAX,
            keep_media,
            delete_at_twilio: false,
        }
    }

    /// The API path of a file, as a message announces it.
    pub(crate) fn path(&self, message: &str, media: &str) -> String {
        let account = &self.credentials.account;
        format!("/2010-04-01/Accounts/{account}/Messages/{message}/Media/{media}")
    }

    /// A message with one file for each entry, with the declared type, at Twilio's API.
    pub(crate) async fn message(&self, files: Vec<(&str, Vec<FileAnswer>)>) -> StoredMessage {
        let sid = format!("MM{}", hex());
        let mut urls = Vec::new();
        for (declared, answers) in files {
            let path = self.path(&sid, &format!("ME{}", hex()));
            self.api.answers(&path, answers);
            urls.push((declared, self.api.url(&path)));
        }
        self.announce(&sid, &urls).await
    }

    /// A message with one file, which Twilio's API redirects to the file host.
    pub(crate) async fn usual(&self, declared: &str, file: FileAnswer) -> StoredMessage {
        let path = format!("/{}", hex());
        self.cdn.answers(&path, [file]);
        let to = self.cdn.url(&path);
        self.message(vec![(declared, vec![FileAnswer::Redirect(to)])])
            .await
    }

    /// A message that announces these URLs.
    pub(crate) async fn announce(&self, sid: &str, urls: &[(&str, String)]) -> StoredMessage {
        let mut fields: Vec<(String, String)> = [
            ("MessageSid", sid),
            ("AccountSid", self.credentials.account.as_str()),
            ("From", crate::database::NUMBER),
            ("To", "+15005550006"),
            ("NumMedia", &urls.len().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (at, (declared, url)) in urls.iter().enumerate() {
            fields.push((format!("MediaUrl{at}"), url.clone()));
            fields.push((format!("MediaContentType{at}"), (*declared).to_owned()));
        }
        let received_at = sqlx::query_scalar(
            "insert into pigeonhole.inbound_messages (message_sid, account_sid, sender_index)
             values ($1, $2, 'x') returning received_at",
        )
        .bind(sid)
        .bind(self.credentials.account.as_str())
        .fetch_one(&self.database.pool)
        .await
        .unwrap();
        StoredMessage {
            webhook: InboundWebhook::from_fields(fields).unwrap(),
            received_at,
            user: self.database.user,
        }
    }

    pub(crate) async fn download(&self, message: &StoredMessage) -> Result<Vec<Media>, StepError> {
        download(
            &self.deps,
            &message.webhook,
            message.user,
            message.received_at,
        )
        .await
    }

    /// Downloads the files, which must all reach a final state.
    pub(crate) async fn ended(&self, message: &StoredMessage) -> Vec<Media> {
        self.download(message).await.unwrap()
    }

    /// The final state of the only file.
    pub(crate) async fn state(&self, message: &StoredMessage) -> MediaState {
        let media = self.ended(message).await;
        assert_eq!(media.len(), 1);
        media[0].state
    }

    /// The job error that a failed download becomes.
    pub(crate) async fn failure(&self, message: &StoredMessage) -> JobError {
        self.download(message).await.unwrap_err().into()
    }

    /// The bytes of a stored file.
    pub(crate) async fn opened(&self, media: &Media) -> Vec<u8> {
        let object = media.object(&self.deps.keyring).unwrap().unwrap();
        self.deps
            .media_store
            .read_all(&object, MAX_BYTES as u64)
            .await
            .unwrap()
    }

    /// All files in the store's folder.
    pub(crate) fn files(&self) -> Vec<std::path::PathBuf> {
        files_in(&self.folder.path().join("media"))
    }

    pub(crate) async fn run(&self, statement: &'static str) -> u64 {
        let done = sqlx::query(statement).execute(&self.database.pool).await;
        done.unwrap().rows_affected()
    }

    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.database.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn another_user(&self) -> Uuid {
        let user = Uuid::new_v4();
        let mut conn = self.database.pool.acquire().await.unwrap();
        users::ensure(&mut conn, user).await.unwrap();
        user
    }
}

pub(crate) fn store_in(folder: &Path) -> MediaStore {
    MediaStore::at(&Url::from_file_path(folder).unwrap(), &[]).unwrap()
}

fn files_in(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_in(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// A JPEG of this length, as far as its header shows.
pub(crate) fn jpeg(length: usize) -> Bytes {
    let mut bytes = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xc0\0\x11\x08\x01\xe0\x02\x80\x03"
        .to_vec();
    bytes.extend((bytes.len()..length).map(|at| u8::try_from(at * 7 % 253).unwrap()));
    bytes.into()
}

/// A PNG header with these dimensions.
pub(crate) fn png(width: u32, height: u32) -> Bytes {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0, 1, 2, 3, 4]);
    bytes.into()
}
