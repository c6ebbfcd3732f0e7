//! Where the public keys come from: a file that was read at the start, or a URL that is asked again when a token names a
//! key that is not known. While the URL does not answer, the last good set goes on serving.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Client, StatusCode, header, redirect::Policy};
use tokio::{
    sync::{Mutex, RwLock},
    task::JoinHandle,
    time::Instant,
};
use url::Url;

use super::keys::{Keys, NoKeys};
use crate::config::Jwks;

/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The largest set, in bytes.
const LARGEST: usize = 256 * 1024;

/// The least time between two requests: anybody can make up tokens that name unknown keys.
const PAUSE: Duration = Duration::from_mins(1);

/// The same while there are no keys at all, and so nobody can be served.
const PAUSE_WITHOUT_KEYS: Duration = Duration::from_secs(2);

/// After this, a set is asked for anew even if it has every key that is wanted: some may have been withdrawn.
const STALE: Duration = Duration::from_hours(1);

/// The keys, and how to get newer ones.
pub(super) struct KeySource {
    keys: Arc<RwLock<Keys>>,
    remote: Option<Arc<Remote>>,
}

struct Remote {
    url: Url,
    client: Client,
    keys: Arc<RwLock<Keys>>,
    asked: Mutex<Option<Instant>>,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The set has no such key.
    Unknown,
    /// No set could be had so far.
    NoSet,
}

/// Why a set was not taken. The texts are for the log.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the server cannot be asked: {0}")]
    Http(reqwest::Error),
    #[error("the server answered {0}")]
    Status(StatusCode),
    #[error("the answer is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("{0}")]
    NoKeys(#[from] NoKeys),
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error.without_url()) // it may hold a password
    }
}

impl KeySource {
    /// Of a URL, nothing has been asked yet.
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
        let keys = Arc::new(RwLock::new(Keys::default()));
        let remote = Remote {
            url,
            client,
            keys: keys.clone(),
            asked: Mutex::new(None),
        };
        Ok(Self {
            keys,
            remote: Some(Arc::new(remote)),
        })
    }

    /// The key, after a look for newer ones if it is not known.
    pub(super) async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, NoKey> {
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
            None if self.keys.read().await.is_empty() => Err(NoKey::NoSet),
            None => Err(NoKey::Unknown),
        }
    }

    /// Asks for the keys now, so that the first token need not wait.
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
        let asked = self.asked.try_lock();
        asked.is_ok_and(|asked| asked.is_none_or(|at| at.elapsed() > STALE))
    }

    /// In a task of its own: a client that goes away must not take the answer with it.
    fn start_refresh(self: &Arc<Self>) -> JoinHandle<()> {
        let remote = self.clone();
        tokio::spawn(async move { remote.refresh().await })
    }

    async fn refresh(&self) {
        let mut asked = self.asked.lock().await;
        let pause = if self.keys.read().await.is_empty() {
            PAUSE_WITHOUT_KEYS
        } else {
            PAUSE
        };
        if asked.is_some_and(|at| at.elapsed() < pause) {
            return; // also whoever waited for the lock while another asked
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
        *asked = Some(Instant::now());
    }

    async fn fetch(&self) -> Result<Keys, FetchError> {
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
            if body.len() + chunk.len() > LARGEST {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Keys::parse(&body)?)
    }
}
