//! Finds messages that we may have sent.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Client, ListError, MAX_ANSWER,
    message::{MessagePage, MessageRecord},
};
use crate::metrics::ApiCall;

/// Messages in a page of the list.
const PAGE_SIZE: u32 = 100;

/// The most pages that we read. Our limits allow fewer than a thousand messages to one number in a
/// month.
const MAX_PAGES: usize = 10;

/// The longest time that Twilio's clock may be behind ours.
const CLOCK_MARGIN: TimeDelta = TimeDelta::minutes(1);

impl Client {
    /// Returns the account's messages to this number that were created since then, newest first,
    /// and perhaps some slightly older ones.
    ///
    /// A new message may be missing, as Twilio's list lags. Twilio's filter by `DateSent` does not
    /// help: messages in the sender's queue have no such date.
    pub async fn messages_to(
        &self,
        to: &str,
        since: DateTime<Utc>,
    ) -> Result<Vec<MessageRecord>, ListError> {
        ApiCall::ListMessages.measure(self.list(to, since)).await
    }

    async fn list(&self, to: &str, since: DateTime<Utc>) -> Result<Vec<MessageRecord>, ListError> {
        let since = since - CLOCK_MARGIN;
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("To", to)
            .append_pair("PageSize", &PAGE_SIZE.to_string())
            .finish();
        let mut next = format!("{}?{query}", self.0.path);
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let page = self.page(&next).await?;
            let all = page.messages.len();
            let recent = page.messages.into_iter().filter(|m| m.created >= since);
            let known = found.len();
            found.extend(recent);
            // Twilio's order need not be exact: only a page without recent messages ends the
            // search.
            let done = all > 0 && found.len() == known;
            match page.next {
                Some(uri) if !done => next = uri,
                _ => {
                    found.sort_by_key(|message| std::cmp::Reverse(message.created));
                    return Ok(found);
                }
            }
        }
        Err(ListError::TooLong)
    }

    #[tracing::instrument(name = "twilio.list_messages", level = "debug", skip_all, fields(http.response.status_code = tracing::field::Empty))]
    async fn page(&self, uri: &str) -> Result<MessagePage, ListError> {
        // The request carries credentials, so it goes only to the path of the list.
        if uri
            .strip_prefix(&self.0.path)
            .is_none_or(|rest| !rest.starts_with('?'))
        {
            return Err(ListError::Unreadable);
        }
        let body = self.read(&self.0.url(uri), MAX_ANSWER).await?;
        MessagePage::read(&body).ok_or(ListError::Unreadable)
    }
}
