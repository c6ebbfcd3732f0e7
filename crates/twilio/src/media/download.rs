//! Fetches one media file, in pieces, and no more of it than allowed.

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
    error::{Forbidden, MediaError, Unavailable},
    resolver::PublicOnly,
    url::{folder, media_sid, redirect},
};
use crate::{
    MediaSid, MessageSid,
    metrics::Call,
    rest::{ClientError, Credentials, retry_after_seconds},
};

/// How long a connection may take, with the look-up of the name and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long nothing may come.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Twilio needs one.
const MAX_REDIRECTS: usize = 3;

/// How files are fetched.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address of Twilio's API, which is `https://api.twilio.com` but for tests.
    pub api_base_url: Url,
    /// Who we are. Goes to that address only.
    pub credentials: Credentials,
    /// The most bytes of a file.
    pub max_bytes: u64,
    /// How long a file may take in all.
    pub timeout: Duration,
    /// Hosts, each as `host:port`, that may be asked besides Twilio's, over http and inside, too.
    /// For tests: empty in production.
    pub more_hosts: Vec<String>,
}

/// Fetches media files. Cheap to clone.
#[derive(Clone)]
pub struct Downloader(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    /// The API's address, without a slash at its end.
    base: String,
    settings: Settings,
}

/// A file on its way.
pub struct Download {
    answer: Response,
    read: u64,
    limit: u64,
}

impl Downloader {
    /// Makes the client.
    pub fn new(settings: Settings) -> Result<Self, ClientError> {
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
        // Nothing here may act on its own: no redirect, which would go anywhere, no proxy, which would be told where
        // to go, no decompression, which makes much of little.
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
        Call::FetchMedia.start();
        Call::DeleteMedia.start();
        Ok(Self(Arc::new(Inner {
            http,
            base: String::from(url.clone()).trim_end_matches('/').to_owned(),
            settings,
        })))
    }

    /// The most bytes of a file.
    pub fn max_bytes(&self) -> u64 {
        self.0.settings.max_bytes
    }

    /// The file that this `MediaUrl` of this message names, if it may be fetched at all.
    pub fn media_sid(&self, message: &MessageSid, media_url: &str) -> Result<MediaSid, Forbidden> {
        let account = &self.0.settings.credentials.account;
        media_sid(&self.0.base, account, message, media_url)
    }

    /// Asks for a file of this message, and answers when it begins to come.
    #[tracing::instrument(name = "twilio.fetch_media", level = "debug", skip_all, fields(http.response.status_code = tracing::field::Empty))]
    pub async fn fetch(
        &self,
        message: &MessageSid,
        media: &MediaSid,
    ) -> Result<Download, MediaError> {
        Call::FetchMedia.measure(self.follow(message, media)).await
    }

    async fn follow(&self, message: &MessageSid, media: &MediaSid) -> Result<Download, MediaError> {
        let until = Instant::now() + self.0.settings.timeout;
        let mut url = self.0.url_of(message, media, "")?;
        let mut answer = self
            .0
            .ask(self.0.signed(self.0.http.get(url.clone())), until)
            .await?;
        let mut at = Place::Api;
        for _ in 0..MAX_REDIRECTS {
            let Some(location) = location(&answer)? else {
                return self.judge(answer, at);
            };
            url = redirect(&url, location, &self.0.settings.more_hosts)
                .map_err(MediaError::Forbidden)?;
            answer = self.0.ask(self.0.http.get(url.clone()), until).await?;
            at = Place::FileHost;
        }
        match location(&answer)? {
            None => self.judge(answer, at),
            Some(_) => Err(MediaError::Forbidden(Forbidden::TooManyRedirects)),
        }
    }

    /// Has Twilio delete a file of this message. It does not matter if that has happened before.
    #[tracing::instrument(name = "twilio.delete_media", level = "debug", skip_all, fields(http.response.status_code = tracing::field::Empty))]
    pub async fn delete(&self, message: &MessageSid, media: &MediaSid) -> Result<(), MediaError> {
        Call::DeleteMedia.measure(self.remove(message, media)).await
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
            _ => match refusal(&answer, Place::Api) {
                MediaError::NotFound => Ok(()),
                error => Err(error),
            },
        }
    }

    fn judge(&self, answer: Response, at: Place) -> Result<Download, MediaError> {
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
    /// The next piece of the file; `None` at its end.
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

    /// The limit is on the body, too.
    async fn ask(&self, request: RequestBuilder, until: Instant) -> Result<Response, MediaError> {
        let left = until.saturating_duration_since(Instant::now());
        let answer = request.timeout(left).send().await;
        let answer = answer.map_err(|error| MediaError::of_failure(&error))?;
        tracing::Span::current().record("http.response.status_code", answer.status().as_u16());
        Ok(answer)
    }
}

/// Who answers.
#[derive(Clone, Copy)]
enum Place {
    /// Twilio's API, which has our credentials.
    Api,
    /// Where it keeps its files.
    FileHost,
}

/// Where an answer sends us, if it does.
fn location(answer: &Response) -> Result<Option<&str>, MediaError> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = answer
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    // Letters that a URL cannot have are nothing that Twilio sends.
    location
        .map(Some)
        .ok_or(MediaError::Forbidden(Forbidden::Redirect))
}

/// What an answer says that brings no file.
fn refusal(answer: &Response, at: Place) -> MediaError {
    let status = answer.status().as_u16();
    let unavailable = MediaError::Unavailable;
    match (status, at) {
        (404 | 410, _) => MediaError::NotFound,
        (401 | 403, Place::Api) => MediaError::Account { status },
        (400..=403, Place::FileHost) => unavailable(Unavailable::HostRefuses(status)),
        (429, _) => MediaError::Throttled {
            retry_after: answer
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| retry_after_seconds(value.to_str().ok()?)),
        },
        (408, _) => unavailable(Unavailable::Timeout),
        (500..=599, _) => unavailable(Unavailable::ServerError(status)),
        _ => unavailable(Unavailable::UnexpectedAnswer(status)),
    }
}

impl fmt::Debug for Downloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Downloader").field(&self.0.settings).finish()
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The answer's own would show its URL.
        write!(f, "Download({} bytes so far)", self.read)
    }
}
