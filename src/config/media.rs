//! The settings of the files of messages: where they are stored, and for how long.

use std::time::Duration;

use jobs::{MediaStore, MediaStoreError};
use twilio::rest::Credentials;
use url::Url;

use super::{
    parse::{boolean, list, positive},
    reader::Reader,
    twilio_account::TwilioConfig,
};

/// One MB, as phones and Twilio count it.
const MB: u64 = 1024 * 1024;

/// The settings that the clouds' clients get, under the names that these clients know. Without
/// them, the clients ask the machine that they run on.
const CLOUD: [&str; 8] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
];

/// The media store.
#[derive(Clone)]
pub struct MediaStoreConfig {
    /// `MEDIA_STORE`.
    pub url: Url,
    /// The settings of `CLOUD` that are set.
    options: Vec<(String, String)>,
}

impl std::fmt::Debug for MediaStoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.options.iter().map(|(name, _)| name);
        write!(f, "MediaStoreConfig({}, ", self.url)?;
        f.debug_list().entries(names).finish()?;
        f.write_str(")")
    }
}

impl MediaStoreConfig {
    /// Reads the settings.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let url = r.required("MEDIA_STORE", store_url)?;
        let text = |name: &str| Some((name.to_owned(), r.text(name)?.to_owned()));
        let mut options: Vec<_> = CLOUD.into_iter().filter_map(text).collect();
        let endpoint = r.text("AWS_ENDPOINT_URL").unwrap_or_default();
        // A client refuses http unless it is allowed. Here the operator has asked for it.
        if endpoint.starts_with("http://") {
            options.push(("AWS_ALLOW_HTTP".to_owned(), "true".to_owned()));
        }
        Some(Self { url, options })
    }

    /// Opens the store. Creates the folder of a store that is one.
    pub fn open(&self) -> Result<MediaStore, MediaStoreError> {
        MediaStore::at(&self.url, &self.options)
    }
}

fn store_url(text: &str) -> Result<Url, String> {
    let wrong =
        "must be file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix";
    let url = Url::parse(text).map_err(|_| wrong)?;
    let usable = match url.scheme() {
        "file" => url.to_file_path().is_ok_and(|path| path.parent().is_some()),
        "s3" | "gs" | "az" => url.has_host() && url.password().is_none(),
        _ => false,
    };
    let plain = url.query().is_none() && url.fragment().is_none();
    if usable && plain {
        Ok(url)
    } else {
        Err(wrong.to_owned())
    }
}

/// The files of messages.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// Where they are stored.
    pub store: MediaStoreConfig,
    /// `MAX_MEDIA_SIZE_MB`, in bytes.
    pub max_bytes: u64,
    /// `MEDIA_RETENTION_DAYS`.
    pub retention: Duration,
    /// `DELETE_MEDIA_AT_TWILIO`.
    pub delete_at_twilio: bool,
    /// `MEDIA_EXTRA_HOSTS`.
    pub extra_hosts: Vec<String>,
    /// `TWILIO_API_BASE_URL`.
    pub api_base_url: Url,
    /// `TWILIO_ACCOUNT_SID` and the first of `TWILIO_AUTH_TOKEN`.
    pub credentials: Credentials,
}

impl MediaConfig {
    /// Reads the settings.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let store = MediaStoreConfig::read(r);
        let max_mb = r.required("MAX_MEDIA_SIZE_MB", positive);
        let retention = r.required("MEDIA_RETENTION_DAYS", |text| match text.parse() {
            Ok(days @ 0..=3650) => Ok(Duration::from_secs(days * 24 * 60 * 60)),
            _ => Err("must be a number of days from 0 to 3650".to_owned()),
        });
        let delete_at_twilio = r.required("DELETE_MEDIA_AT_TWILIO", boolean);
        let extra_hosts = r.optional("MEDIA_EXTRA_HOSTS", |text| list(text, host_and_port));
        let twilio = TwilioConfig::read(r)?;
        Some(Self {
            store: store?,
            max_bytes: u64::from(max_mb?.get()) * MB,
            retention: retention?,
            delete_at_twilio: delete_at_twilio?,
            extra_hosts: extra_hosts?.unwrap_or_default(),
            api_base_url: twilio.api_base_url.clone(),
            credentials: twilio.credentials()?,
        })
    }
}

/// A host and a port as a URL with an explicit port has them, so that the two can be compared.
fn host_and_port(text: &str) -> Result<String, String> {
    let wrong =
        || format!("must be hosts with their ports, such as 127.0.0.1:4000, and not {text:?}");
    let port = text
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse::<u16>().ok());
    let url = Url::parse(&format!("ftp://{text}")).map_err(|_| wrong())?;
    let bare = matches!(url.path(), "" | "/") && url.username().is_empty() && url.query().is_none();
    match (url.host_str(), port) {
        (Some(host), Some(port)) if bare => Ok(format!("{host}:{port}")),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_folder_or_a_bucket() {
        for good in [
            "file:///var/lib/pigeonhole/media",
            "s3://bucket",
            "s3://bucket/prefix",
            "gs://bucket/prefix",
            "az://container",
        ] {
            assert!(store_url(good).is_ok(), "{good}");
        }
        for wrong in [
            "/var/lib/media",
            "file:///",
            "file://host/media",
            "s3:bucket",
            "s3://key:secret@bucket",
            "gs://bucket?x=1",
            "https://bucket.s3.amazonaws.com",
            "memory:///",
        ] {
            assert!(store_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_is_parsed_as_in_a_url() {
        assert_eq!(host_and_port("127.0.0.1:4000").unwrap(), "127.0.0.1:4000");
        assert_eq!(
            host_and_port("CDN.example.com:80").unwrap(),
            "cdn.example.com:80"
        );
        assert_eq!(host_and_port("[::1]:21").unwrap(), "[::1]:21");
        for wrong in [
            "example.com",
            ":80",
            "a:b",
            "u@h:1",
            "h:1/x",
            "http://h:1",
            "h:70000",
        ] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }
}
