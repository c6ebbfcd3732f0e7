//! Fetches a media file in chunks, up to a size limit.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{
    RequestBuilder, Response, StatusCode,
    header::{LOCATION, RETRY_AFTER},
};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use url::Url;

use super::{
    error::{Forbidden, MediaError, MediaUnavailable},
    resolver::PublicOnly,
    url::{folder, media_sid, redirect},
};
use crate::{
    MediaSid, MessageSid,
    metrics::ApiCall,
    rest::{ClientError, Credentials, retry_after_seconds},
};

/// The time limit of a connection, including name look-up and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest pause between two chunks.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Twilio uses one redirect.
const MAX_REDIRECTS: usize = 3;

/// The settings of a downloader.
#[derive(Debug, Clone)]
pub struct DownloaderSettings {
    /// The base URL of Twilio's API: `https://api.twilio.com`, except in tests.
    pub api_base_url: Url,
    /// Our credentials, which are sent only to that URL.
    pub credentials: Credentials,
    /// The largest file, in bytes.
    pub max_bytes: u64,
    /// The time limit of a whole file.
    pub timeout: Duration,
    /// Further hosts, each as `host:port`, that may also use http and private addresses. They are
    /// for tests; in production the list is empty.
    pub more_hosts: Vec<String>,
}

/// Fetches media files. It is cheap to clone.
#[derive(Clone)]
pub struct Downloader(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    /// The API's base URL, without a final slash.
    base: String,
    settings: DownloaderSettings,
}

/// A file that is being fetched.
pub struct Download {
    answer: Response,
    read: u64,
    limit: u64,
}

impl Downloader {
    /// Makes the client.
    pub fn new(settings: DownloaderSettings) -> Result<Self, ClientError> {
        let url = &settings.api_base_url;
        let usable = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.query().is_none()
            && url.fragment().is_none();
        if !usable {
            return Err(ClientError::BaseUrl);
        }
        let names = settings.more_hosts.iter().map(|host| {
            let name = host
                .rsplit_once(':')
                .map_or(host.as_str(), |(name, _)| name);
            name.to_owned()
        });
        let trusted: HashSet<String> = names.chain(url.host_str().map(str::to_owned)).collect();
        // The client must do nothing on its own. A redirect could lead to any host, a proxy would
        // learn the URLs, and a decompressor can turn a small answer into a huge one.
        let http = reqwest::Client::builder()
            .dns_resolver(Arc::new(PublicOnly {
                trusted: Arc::new(trusted),
            }))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(ClientError::Http)?;
        ApiCall::FetchMedia.start();
        ApiCall::DeleteMedia.start();
        Ok(Self(Arc::new(Inner {
            http,
            base: String::from(url.clone()).trim_end_matches('/').to_owned(),
            settings,
        })))
    }

    /// The largest file, in bytes.
    pub fn max_bytes(&self) -> u64 {
        self.0.settings.max_bytes
    }

    /// Returns the file that this `MediaUrl` of this message names, if it may be fetched.
    pub fn media_sid(&self, message: &MessageSid, media_url: &str) -> Result<MediaSid, Forbidden> {
        let account = &self.0.settings.credentials.account;
        media_sid(&self.0.base, account, message, media_url)
    }

    /// Requests a file of this message, and returns when its first bytes arrive.
    #[tracing::instrument(name = "twilio.fetch_media", level = "debug", skip_all, fields(http.response.status_code = tracing::field::Empty))]
    pub async fn fetch(
        &self,
        message: &MessageSid,
        media: &MediaSid,
    ) -> Result<Download, MediaError> {
        ApiCall::FetchMedia
            .measure(self.follow(message, media))
            .await
    }

    async fn follow(&self, message: &MessageSid, media: &MediaSid) -> Result<Download, MediaError> {
        let until = Instant::now() + self.0.settings.timeout;
        let mut url = self.0.url_of(message, media, "")?;
        let mut answer = self
            .0
            .ask(self.0.signed(self.0.http.get(url.clone())), until)
            .await?;
        let mut at = AnsweredBy::Api;
        for _ in 0..MAX_REDIRECTS {
            let Some(location) = location(&answer)? else {
                return self.judge(answer, at);
            };
            url = redirect(&url, location, &self.0.settings.more_hosts)
                .map_err(MediaError::Forbidden)?;
            answer = self.0.ask(self.0.http.get(url.clone()), until).await?;
            at = AnsweredBy::FileHost;
        }
        match location(&answer)? {
            None => self.judge(answer, at),
            Some(_) => Err(MediaError::Forbidden(Forbidden::TooManyRedirects)),
        }
    }

    /// Deletes a file of this message at Twilio. It succeeds if the file is already deleted.
    #[tracing::instrument(name = "twilio.delete_media", level = "debug", skip_all, fields(http.response.status_code = tracing::field::Empty))]
    pub async fn delete(&self, message: &MessageSid, media: &MediaSid) -> Result<(), MediaError> {
        ApiCall::DeleteMedia
            .measure(self.remove(message, media))
            .await
    }

    async fn remove(&self, message: &MessageSid, media: &MediaSid) -> Result<(), MediaError> {
        let until = Instant::now() + self.0.settings.timeout;
        let url = self.0.url_of(message, media, ".json")?;
        let answer = self
            .0
            .ask(self.0.signed(self.0.http.delete(url)), until)
            .await?;
        match answer.status() {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
            _ => match refusal(&answer, AnsweredBy::Api) {
                MediaError::NotFound => Ok(()),
                error => Err(error),
            },
        }
    }

    fn judge(&self, answer: Response, at: AnsweredBy) -> Result<Download, MediaError> {
        if answer.status() != StatusCode::OK {
            return Err(refusal(&answer, at));
        }
        let limit = self.0.settings.max_bytes;
        if answer.content_length().is_some_and(|length| length > limit) {
            return Err(MediaError::TooLarge { limit });
        }
        Ok(Download {
            answer,
            read: 0,
            limit,
        })
    }
}

impl Download {
    /// Returns the next chunk of the file, or `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, MediaError> {
        let chunk = self.answer.chunk().await;
        let Some(chunk) = chunk.map_err(|error| MediaError::of_failure(&error))? else {
            return Ok(None);
        };
        self.read = self.read.saturating_add(chunk.len() as u64);
        if self.read > self.limit {
            return Err(MediaError::TooLarge { limit: self.limit });
        }
        Ok(Some(chunk))
    }
}

impl Inner {
    fn url_of(
        &self,
        message: &MessageSid,
        media: &MediaSid,
        ending: &str,
    ) -> Result<Url, MediaError> {
        let folder = folder(&self.base, &self.settings.credentials.account, message);
        format!("{folder}{media}{ending}")
            .parse()
            .map_err(|_| MediaError::Forbidden(Forbidden::Url))
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        let Credentials {
            username, secret, ..
        } = &self.settings.credentials;
        request.basic_auth(username, Some(secret.expose_secret()))
    }

    /// Sends a request. The time limit also covers the body.
    async fn ask(&self, request: RequestBuilder, until: Instant) -> Result<Response, MediaError> {
        let left = until.saturating_duration_since(Instant::now());
        let answer = request.timeout(left).send().await;
        let answer = answer.map_err(|error| MediaError::of_failure(&error))?;
        tracing::Span::current().record("http.response.status_code", answer.status().as_u16());
        Ok(answer)
    }
}

/// The server that answers.
#[derive(Clone, Copy)]
enum AnsweredBy {
    /// Twilio's API, which has our credentials.
    Api,
    /// A host of Twilio's files.
    FileHost,
}

/// Returns the target of a redirect, if the answer is one.
fn location(answer: &Response) -> Result<Option<&str>, MediaError> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = answer
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    // Twilio never sends a header that is not ASCII.
    location
        .map(Some)
        .ok_or(MediaError::Forbidden(Forbidden::Redirect))
}

/// Classifies an answer without a file.
fn refusal(answer: &Response, at: AnsweredBy) -> MediaError {
    let status = answer.status().as_u16();
    let unavailable = MediaError::Unavailable;
    match (status, at) {
        (404 | 410, _) => MediaError::NotFound,
        (401 | 403, AnsweredBy::Api) => MediaError::Account { status },
        (400..=403, AnsweredBy::FileHost) => unavailable(MediaUnavailable::HostRefuses(status)),
        (429, _) => MediaError::Throttled {
            retry_after: answer
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| retry_after_seconds(value.to_str().ok()?)),
        },
        (408, _) => unavailable(MediaUnavailable::Timeout),
        (500..=599, _) => unavailable(MediaUnavailable::ServerError(status)),
        _ => unavailable(MediaUnavailable::UnexpectedAnswer(status)),
    }
}

impl fmt::Debug for Downloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Downloader").field(&self.0.settings).finish()
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The `Debug` of the answer would show its URL.
        write!(f, "Download({} bytes so far)", self.read)
    }
}
