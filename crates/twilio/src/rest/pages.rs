//! Reads lists page by page. Nothing here changes anything at Twilio, so every request may be
//! repeated.
//!
//! A request carries our credentials. So the address of the next page is never taken as it stands:
//! only its query is used, and its path must be that of the list.

use std::ops::ControlFlow;

use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::{Client, CreateError, ListError, Unclear, Unread, error, read_body, retry_after};

/// The longest page, in bytes. A thousand messages of 1600 characters are much shorter.
const MAX_PAGE: usize = 16 * 1024 * 1024;

/// Rows in a page. Twilio's maximum.
const PAGE_SIZE: usize = 1000;

/// The most rows of a list that we read. Twilio filters by whole days, so most of them may not be
/// wanted.
const MAX_ROWS: usize = 1_000_000;

/// The most pages that we read. Twilio may return pages that are not full.
const MAX_PAGES: usize = 2 * MAX_ROWS / PAGE_SIZE;

/// One page of a list.
pub(super) trait Page: DeserializeOwned {
    /// What the list consists of.
    type Row;

    /// The rows, and the address of the next page.
    fn into_parts(self) -> (Vec<Self::Row>, Option<String>);
}

/// The paging of the newer APIs, such as Monitor's.
#[derive(serde::Deserialize)]
pub(super) struct PageMeta {
    pub(super) next_page_url: Option<String>,
}

impl Client {
    /// Reads the answer to a GET request.
    pub(super) async fn read(&self, url: &str, limit: usize) -> Result<Vec<u8>, ListError> {
        let failed = |error: &reqwest::Error| match error::of_failure(error) {
            CreateError::Unclear(why) => ListError::Unavailable(why),
            _ => ListError::Unavailable(Unclear::ConnectionLost),
        };
        let request = self.0.http.get(url);
        let mut answer = self.0.ask(request).await.map_err(|error| failed(&error))?;
        let status = answer.status();
        let body = read_body(&mut answer, limit).await;
        if !status.is_success() {
            let body = body.unwrap_or_default();
            return Err(error::of_list_answer(
                status.as_u16(),
                retry_after(&answer),
                &body,
            ));
        }
        body.map_err(|error| match error {
            Unread::Failed(error) => failed(&error),
            Unread::TooLong => ListError::TooLong,
        })
    }

    /// Reads the answer to a GET request as JSON. `None` if Twilio does not know the resource.
    pub(super) async fn read_json<T: DeserializeOwned>(
        &self,
        url: &str,
    ) -> Result<Option<T>, ListError> {
        match self.read(url, MAX_PAGE).await {
            Ok(body) => serde_json::from_slice(&body)
                .map(Some)
                .map_err(|_| ListError::Unreadable),
            Err(ListError::Account { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Passes the list at `base` and `path` to `take`, page by page, until `take` breaks. Returns
    /// whether Twilio knows the list.
    pub(super) async fn read_pages<P: Page>(
        &self,
        base: &str,
        path: &str,
        filter: &[(&str, &str)],
        mut take: impl FnMut(Vec<P::Row>) -> ControlFlow<()>,
    ) -> Result<bool, ListError> {
        let mut query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(filter)
            .append_pair("PageSize", &PAGE_SIZE.to_string())
            .finish();
        let mut rows = 0;
        for _ in 0..MAX_PAGES {
            let page: Option<P> = self.read_json(&format!("{base}{path}?{query}")).await?;
            let Some(page) = page else {
                return Ok(false);
            };
            let (page, next) = page.into_parts();
            rows += page.len();
            if rows > MAX_ROWS {
                return Err(ListError::TooLong);
            }
            if take(page).is_break() {
                return Ok(true);
            }
            match next.filter(|next| !next.is_empty()) {
                Some(next) => {
                    query = query_of(&next, path)
                        .ok_or(ListError::Unreadable)?
                        .to_owned();
                }
                None => return Ok(true),
            }
        }
        Err(ListError::TooLong)
    }
}

/// The query of the next page's address, with or without a host, if its path is the list's.
fn query_of<'a>(next: &'a str, path: &str) -> Option<&'a str> {
    let target = match next.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/')?..],
        None => next,
    };
    let query = target.strip_prefix(path)?.strip_prefix('?')?;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    query.bytes().all(is_plain).then_some(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/v1/Alerts";

    #[test]
    fn only_the_query_of_the_next_page_is_used() {
        for next in [
            "/v1/Alerts?Page=1&PageToken=PA1",
            "https://monitor.twilio.com/v1/Alerts?Page=1&PageToken=PA1",
            "https://elsewhere.example/v1/Alerts?Page=1&PageToken=PA1",
        ] {
            assert_eq!(query_of(next, PATH), Some("Page=1&PageToken=PA1"), "{next}");
        }
        for next in [
            "",
            "?Page=1",
            "/v1/Alerts",
            "/v1/AlertsOf?Page=1",
            "/v1/Alerts/NO1?Page=1",
            "/v2/Alerts?Page=1",
            "@elsewhere.example/v1/Alerts?Page=1",
            "https://elsewhere.example",
            "/v1/Alerts?Page=1 HTTP/1.1",
            "/v1/Alerts?Page=1#x",
        ] {
            assert_eq!(query_of(next, PATH), None, "{next}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_address_of_a_page_makes_it_panic(next: String) {
            query_of(&next, PATH);
            query_of(&format!("https://{next}"), PATH);
            query_of(&format!("{PATH}?{next}"), PATH);
        }
    }
}
