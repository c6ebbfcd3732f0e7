//! Sends one request to a model's service, and classifies the HTTP response.

use std::time::Duration;

use reqwest::{RequestBuilder, Response, header::HeaderMap};
use serde_json::Value;
use url::Url;

use super::{
    BadAnswer, ExtractError, ModelAccountProblem, ModelConfigError, ModelRefusal, ModelUnavailable,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest response in bytes. A usable one is much smaller.
const MAX_ANSWER: usize = 1024 * 1024;

/// The longest wait that a response can ask for.
const MAX_AFTER: Duration = Duration::from_hours(1);

/// A client that connects to the configured address only. It follows no redirect, which would send
/// the key and the message elsewhere, and uses no proxy from the environment. It does not retry;
/// the job does.
pub(super) fn client(timeout: Duration) -> Result<reqwest::Client, ModelConfigError> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        .build()
        .map_err(ModelConfigError::Http)
}

/// The base URL without a slash at its end.
pub(super) fn base(url: &Url) -> Result<String, ModelConfigError> {
    let usable = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if usable {
        Ok(url.as_str().trim_end_matches('/').to_owned())
    } else {
        Err(ModelConfigError::BaseUrl)
    }
}

/// How a service reports errors.
pub(super) struct Dialect {
    /// The error that the body of a 4xx names, if the status alone does not.
    pub(super) refine: fn(status: u16, body: &Value) -> Option<ExtractError>,
    /// How long to wait, if the body or a header of this service says so.
    pub(super) after: fn(&HeaderMap, &Value) -> Option<Duration>,
}

/// Sends one request and returns the body of a 200. An error quotes neither request nor response.
#[tracing::instrument(name = "model.ask", level = "debug", skip_all, fields(http.response.status_code = tracing::field::Empty))]
pub(super) async fn ask(request: RequestBuilder, dialect: &Dialect) -> Result<Value, ExtractError> {
    let mut answer = request.send().await.map_err(|error| of_failure(&error))?;
    let status = answer.status().as_u16();
    tracing::Span::current().record("http.response.status_code", status);
    let body = read(&mut answer).await;
    if status == 200 {
        let body = body?;
        return serde_json::from_slice(&body)
            .map_err(|_| ExtractError::BadAnswer(BadAnswer::Protocol));
    }
    // The status is enough if the body of an error cannot be read.
    let body: Value = body
        .ok()
        .and_then(|body| serde_json::from_slice(&body).ok())
        .unwrap_or_default();
    Err(of_status(status, answer.headers(), &body, dialect))
}

async fn read(answer: &mut Response) -> Result<Vec<u8>, ExtractError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| of_failure(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(ExtractError::BadAnswer(BadAnswer::TooLong));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn of_failure(error: &reqwest::Error) -> ExtractError {
    ExtractError::Unavailable(if error.is_timeout() {
        ModelUnavailable::Timeout
    } else {
        ModelUnavailable::Connection
    })
}

fn of_status(status: u16, headers: &HeaderMap, body: &Value, dialect: &Dialect) -> ExtractError {
    let account = |problem| ExtractError::Account { status, problem };
    if let Some(error) = (dialect.refine)(status, body) {
        return error;
    }
    match status {
        429 => {
            let after = retry_after(headers).or_else(|| (dialect.after)(headers, body));
            ExtractError::Throttled {
                after: after.map(|after| after.min(MAX_AFTER)),
            }
        }
        408 => ExtractError::Unavailable(ModelUnavailable::Timeout),
        500.. => ExtractError::Unavailable(ModelUnavailable::Server(status)),
        401 | 403 => account(ModelAccountProblem::Credentials),
        402 => account(ModelAccountProblem::Billing),
        404 => account(ModelAccountProblem::Model),
        300..400 | 405 => account(ModelAccountProblem::Address),
        400..500 => ExtractError::Refused(ModelRefusal::Request(status)),
        _ => ExtractError::BadAnswer(BadAnswer::Protocol),
    }
}

/// `Retry-After` in seconds. A date is ignored, as it would need a clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(reqwest::header::RETRY_AFTER)?;
    seconds(value.to_str().ok()?)
}

/// `34`, or `34.07`.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_plain_numbers() {
        assert_eq!(seconds(" 34 "), Some(Duration::from_secs(34)));
        assert_eq!(seconds("0.5"), Some(Duration::from_millis(500)));
        for bad in [
            "",
            "-1",
            "NaN",
            "inf",
            "1e300",
            "Fri, 31 Dec 1999 23:59:59 GMT",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_base_url_has_no_query_fragment_or_credentials() {
        let read = |text: &str| base(&text.parse().unwrap());
        assert_eq!(
            read("https://api.example/v1/").unwrap(),
            "https://api.example/v1"
        );
        for bad in [
            "ftp://a",
            "mailto:a",
            "https://a/?b",
            "https://a/#b",
            "https://key@a/",
            "https://:key@a/",
        ] {
            assert!(matches!(read(bad), Err(ModelConfigError::BaseUrl)), "{bad}");
        }
    }
}
