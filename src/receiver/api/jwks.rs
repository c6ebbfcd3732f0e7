//! The source of the public keys: a file that is read at the start, or a URL. The URL is read again
//! when a token names an unknown key. While the URL cannot be read, the last valid set stays in
//! use.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Client, StatusCode, header, redirect::Policy};
use tokio::{
    sync::{Mutex, RwLock},
    task::JoinHandle,
    time::Instant,
};
use url::Url;

use crate::{
    config::Jwks,
    token_keys::{TokenKeys, TokenKeysError},
};

/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The largest set, in bytes.
const MAX_SET: usize = 256 * 1024;

/// The shortest time between two requests: any client can invent tokens that name unknown keys.
const PAUSE: Duration = Duration::from_mins(1);

/// The same while there are no keys, so no client can be served.
const PAUSE_WITHOUT_KEYS: Duration = Duration::from_secs(2);

/// A set that is older is read again even if it has the key: keys may have been withdrawn.
const STALE: Duration = Duration::from_hours(1);

/// The keys, and where to read newer ones.
pub(super) struct KeySource {
    keys: Arc<RwLock<TokenKeys>>,
    remote: Option<Arc<Remote>>,
}

struct Remote {
    url: Url,
    client: Client,
    keys: Arc<RwLock<TokenKeys>>,
    /// When the URL was read last.
    read_at: Mutex<Option<Instant>>,
}

/// Why a key was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyLookupError {
    /// The set has no such key.
    Unknown,
    /// No set could be read so far.
    NoSet,
}

/// Why a set could not be read. The texts are for the log.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the server cannot be reached: {0}")]
    Http(reqwest::Error),
    #[error("the server returned {0}")]
    Status(StatusCode),
    #[error("the response is larger than {MAX_SET} bytes")]
    TooLarge,
    #[error("{0}")]
    Keys(#[from] TokenKeysError),
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error.without_url()) // it may hold a password
    }
}

impl KeySource {
    /// Makes the source. A URL is not read yet.
    pub(super) fn new(jwks: &Jwks) -> Result<Self, reqwest::Error> {
        let url = match jwks {
            Jwks::File(keys) => {
                return Ok(Self {
                    keys: Arc::new(RwLock::new(keys.clone())),
                    remote: None,
                });
            }
            Jwks::Url(url) => url.clone(),
        };
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .build()?;
        let keys = Arc::new(RwLock::new(TokenKeys::default()));
        let remote = Remote {
            url,
            client,
            keys: keys.clone(),
            read_at: Mutex::new(None),
        };
        Ok(Self {
            keys,
            remote: Some(Arc::new(remote)),
        })
    }

    /// Returns the key. Reads the URL again if the key is unknown.
    pub(super) async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, KeyLookupError> {
        let known = self.known(id, algorithm).await;
        match (known, &self.remote) {
            (Some(key), Some(remote)) if remote.is_stale() => {
                drop(remote.start_refresh());
                return Ok(key);
            }
            (Some(key), _) => return Ok(key),
            (None, Some(remote)) => {
                if remote.start_refresh().await.is_err() {
                    tracing::error!(
                        "the task that reads JWT_JWKS has ended; this is a bug, please report it"
                    );
                }
            }
            (None, None) => {}
        }
        match self.known(id, algorithm).await {
            Some(key) => Ok(key),
            None if self.keys.read().await.is_empty() => Err(KeyLookupError::NoSet),
            None => Err(KeyLookupError::Unknown),
        }
    }

    /// Starts to read the URL, so that the first token does not wait.
    pub(super) fn warm_up(&self) {
        if let Some(remote) = &self.remote {
            drop(remote.start_refresh());
        }
    }

    async fn known(&self, id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        self.keys.read().await.find(id, algorithm).cloned()
    }
}

impl Remote {
    fn is_stale(&self) -> bool {
        let read_at = self.read_at.try_lock();
        read_at.is_ok_and(|read_at| read_at.is_none_or(|at| at.elapsed() > STALE))
    }

    /// Runs in its own task, so that a client that disconnects does not cancel it.
    fn start_refresh(self: &Arc<Self>) -> JoinHandle<()> {
        let remote = self.clone();
        tokio::spawn(async move { remote.refresh().await })
    }

    async fn refresh(&self) {
        let mut read_at = self.read_at.lock().await;
        let pause = if self.keys.read().await.is_empty() {
            PAUSE_WITHOUT_KEYS
        } else {
            PAUSE
        };
        if read_at.is_some_and(|at| at.elapsed() < pause) {
            return; // another request read the URL while this one waited for the lock
        }
        match self.fetch().await {
            Ok(keys) => {
                tracing::info!(?keys, "keys of bearer tokens read");
                *self.keys.write().await = keys;
            }
            Err(error) => {
                tracing::error!(%error, "JWT_JWKS cannot be read: the keys stay as they are");
            }
        }
        *read_at = Some(Instant::now());
    }

    async fn fetch(&self) -> Result<TokenKeys, FetchError> {
        let request = self.client.get(self.url.clone());
        let mut response = request
            .header(header::ACCEPT, "application/json")
            .send()
            .await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_SET {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(TokenKeys::parse(&body)?)
    }
}
