//! The settings of traces. Their names are OpenTelemetry's own.

use std::{collections::HashMap, fmt};

use url::Url;

use super::{parse::http_url, reader::Reader};

/// The path of OTLP over HTTP, under the endpoint.
const PATH: &str = "/v1/traces";

/// The collector of traces. `Debug` hides the headers, which may hold a token.
#[derive(Clone)]
pub struct TracesConfig {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, with the path for traces.
    pub url: String,
    /// `OTEL_EXPORTER_OTLP_HEADERS`.
    pub headers: HashMap<String, String>,
    /// `OTEL_SERVICE_NAME`.
    pub service: String,
    /// `OTEL_TRACES_SAMPLER_ARG`: the share of traces that is kept, from 0 to 1.
    pub share: f64,
}

impl TracesConfig {
    /// Reads the settings: `Some(None)` where no collector is set.
    pub fn read(r: &mut Reader<'_>) -> Option<Option<Self>> {
        let endpoint = r.optional("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        let headers = r.optional("OTEL_EXPORTER_OTLP_HEADERS", headers);
        let service = r.required("OTEL_SERVICE_NAME", |text| Ok(text.to_owned()));
        let share = r.required("OTEL_TRACES_SAMPLER_ARG", |text| match text.parse() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
            _ => Err("must be a number from 0 to 1".to_owned()),
        });
        let (endpoint, headers, service, share) = (endpoint?, headers?, service?, share?);
        Some(endpoint.map(|endpoint| Self {
            url: format!("{}{PATH}", endpoint.as_str().trim_end_matches('/')),
            headers: headers.unwrap_or_default(),
            service,
            share,
        }))
    }
}

impl fmt::Debug for TracesConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.headers.keys().collect();
        f.debug_struct("TracesConfig")
            .field("url", &self.url)
            .field("headers", &names)
            .field("service", &self.service)
            .field("share", &self.share)
            .finish()
    }
}

/// The address of the collector. It must hold no password: log lines name it.
fn endpoint(text: &str) -> Result<Url, String> {
    let url =
        http_url(text).map_err(|_| "must be a URL such as http://127.0.0.1:4318".to_owned())?;
    if url.username().is_empty() && url.password().is_none() && url.query().is_none() {
        Ok(url)
    } else {
        Err("must have no user, password or query: OTEL_EXPORTER_OTLP_HEADERS is for those".into())
    }
}

fn headers(text: &str) -> Result<HashMap<String, String>, String> {
    let pairs = text.split(',').map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let good = !name.is_empty()
            && name.bytes().all(is_name)
            && value.bytes().all(|b| (b' '..=b'~').contains(&b));
        good.then(|| (name.to_ascii_lowercase(), value.to_owned()))
    });
    pairs
        .collect::<Option<_>>()
        .ok_or_else(|| "must look like name=value,name=value".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Env;

    fn read(settings: &[(&str, &str)]) -> Result<Option<TracesConfig>, String> {
        let owned = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let env = Env::of(owned.collect());
        Reader::read(&env, TracesConfig::read).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn without_an_endpoint_there_are_no_traces() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[("OTEL_SERVICE_NAME", "x")]).unwrap().is_none());
    }

    #[test]
    fn the_path_for_traces_is_appended_and_headers_are_read_but_not_shown() {
        let config = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.example.com/x/"),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "Authorization=Bearer s3cret==, a=b",
            ),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ]);
        let config = config.unwrap().unwrap();
        assert_eq!(config.url, "https://otel.example.com/x/v1/traces");
        assert_eq!(config.headers["authorization"], "Bearer s3cret==");
        assert_eq!((config.headers["a"].as_str(), config.share), ("b", 0.25));
        assert_eq!(config.service, "pigeonhole");
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn mistakes_do_not_quote_the_value() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "s3cret:4318"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:s3cret@host"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=s3cret\nb"),
            ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ] {
            let good = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
            let mistakes = read(&[good, (name, value)]);
            let mistakes = mistakes.unwrap_err();
            assert!(
                mistakes.contains(name) && !mistakes.contains("s3cret"),
                "{mistakes}"
            );
        }
    }
}
