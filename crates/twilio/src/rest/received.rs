//! The messages that Twilio received for us, and their files.

use std::{fmt, ops::ControlFlow};

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Deserializer};

use super::{Client, ListError, pages::Page};
use crate::{MediaSid, MessageSid, metrics::ApiCall};

/// One inbound message in Twilio's list.
#[derive(Clone, PartialEq, Eq)]
pub struct InboundRecord {
    /// The message's SID.
    pub sid: MessageSid,
    /// The sender, as a webhook has it. It is empty if Twilio does not tell.
    pub from: String,
    /// The number that received it.
    pub to: String,
    /// The text. It is absent or empty if there is none, or if it was redacted.
    pub body: Option<String>,
    /// The number of its files.
    pub num_media: u32,
    /// The number of its segments.
    pub num_segments: u32,
    /// The messaging service that received it.
    pub messaging_service_sid: Option<String>,
    /// When it was sent, by Twilio's clock, to the second.
    pub sent: DateTime<Utc>,
}

impl fmt::Debug for InboundRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundRecord")
            .field("sid", &self.sid)
            .field("num_media", &self.num_media)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

/// A file of an inbound message.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaRecord {
    /// Its URL, as the `MediaUrl` of a webhook has it.
    pub url: String,
    /// Its declared content type.
    pub content_type: String,
}

impl fmt::Debug for MediaRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // If the account does not protect its files, whoever has the URL can read them.
        f.debug_struct("MediaRecord")
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}

/// A page of messages. A record that we need and cannot read makes the whole page unreadable: to
/// leave it out would lose a message in silence.
#[derive(Deserialize)]
struct MessagesPage {
    messages: Vec<Message>,
    next_page_uri: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    sid: String,
    direction: Option<String>,
    from: Option<String>,
    to: Option<String>,
    body: Option<String>,
    #[serde(default, deserialize_with = "number")]
    num_media: u32,
    #[serde(default, deserialize_with = "number")]
    num_segments: u32,
    messaging_service_sid: Option<String>,
    date_created: Option<String>,
    date_sent: Option<String>,
}

impl Page for MessagesPage {
    type Row = Message;

    fn into_parts(self) -> (Vec<Message>, Option<String>) {
        (self.messages, self.next_page_uri)
    }
}

impl Message {
    /// When it was sent, or created if Twilio does not tell.
    fn sent(&self) -> Option<DateTime<Utc>> {
        let date = self.date_sent.as_deref().or(self.date_created.as_deref())?;
        Some(DateTime::parse_from_rfc2822(date).ok()?.to_utc())
    }

    fn is_inbound(&self) -> bool {
        self.direction.as_deref() == Some("inbound")
    }

    fn into_record(self, sent: DateTime<Utc>) -> Option<InboundRecord> {
        Some(InboundRecord {
            sid: self.sid.parse().ok()?,
            from: self.from.unwrap_or_default(),
            to: self.to.unwrap_or_default(),
            body: self.body,
            num_media: self.num_media,
            num_segments: self.num_segments,
            messaging_service_sid: self.messaging_service_sid.filter(|sid| !sid.is_empty()),
            sent,
        })
    }
}

/// A number that Twilio writes as a string. What is no number counts as 0.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let number = match &value {
        serde_json::Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64().and_then(|number| number.try_into().ok()),
    };
    Ok(number.unwrap_or_default())
}

/// The most messages that are collected, because they are held in memory.
const MAX_FOUND: usize = 50_000;

/// Collects the wanted messages of a list that is sorted from new to old.
struct InboundSearch<'a> {
    to: &'a str,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    found: Vec<InboundRecord>,
    is_readable: bool,
}

impl InboundSearch<'_> {
    fn is_too_long(&self) -> bool {
        self.found.len() > MAX_FOUND
    }

    /// Takes a page. Breaks if it has no message that is new enough, or one that cannot be read, or
    /// if there are too many.
    fn take(&mut self, page: Vec<Message>) -> ControlFlow<()> {
        let mut are_all_old = !page.is_empty();
        for message in page {
            let Some(sent) = message.sent() else {
                self.is_readable &= !message.is_inbound();
                continue;
            };
            // Twilio's order need not be exact, so one old message does not end the search.
            are_all_old &= sent < self.from;
            let is_wanted = message.is_inbound()
                && message.to.as_deref() == Some(self.to)
                && (self.from..self.until).contains(&sent);
            if is_wanted {
                match message.into_record(sent) {
                    Some(record) => self.found.push(record),
                    None => self.is_readable = false,
                }
            }
        }
        if are_all_old || !self.is_readable || self.is_too_long() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

#[derive(Deserialize)]
struct MediaPage {
    media_list: Vec<Media>,
    next_page_uri: Option<String>,
}

#[derive(Deserialize)]
struct Media {
    sid: MediaSid,
    content_type: Option<String>,
}

impl Page for MediaPage {
    type Row = Media;

    fn into_parts(self) -> (Vec<Media>, Option<String>) {
        (self.media_list, self.next_page_uri)
    }
}

impl Client {
    /// Returns the messages to this number of ours that were sent from `from` until before `until`,
    /// newest first.
    ///
    /// Twilio's dates have no fractions of a second, so `from` counts as its whole second. The list
    /// lags, so a new message may be missing. Twilio's filter knows whole days only.
    ///
    /// [`ListError::TooLong`] if they are more than 50,000. Those of a shorter time are fewer.
    pub async fn inbound_messages(
        &self,
        to: &str,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<InboundRecord>, ListError> {
        ApiCall::ListInbound
            .measure(self.list_inbound(to, from.trunc_subsecs(0), until))
            .await
    }

    #[tracing::instrument(name = "twilio.list_inbound", level = "debug", skip_all, fields(http.response.status_code = tracing::field::Empty))]
    async fn list_inbound(
        &self,
        to: &str,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<InboundRecord>, ListError> {
        let day = |time: DateTime<Utc>| time.format("%Y-%m-%d").to_string();
        let (first, last) = (day(from), day(until));
        let filter = [
            ("To", to),
            ("DateSent>", first.as_str()),
            ("DateSent<", last.as_str()),
        ];
        let mut search = InboundSearch {
            to,
            from,
            until,
            found: Vec::new(),
            is_readable: true,
        };
        let known = self
            .read_pages::<MessagesPage>(&self.0.base, &self.0.path, &filter, |page| {
                search.take(page)
            })
            .await?;
        // Every account has this list.
        if !known || !search.is_readable {
            return Err(ListError::Unreadable);
        }
        if search.is_too_long() {
            return Err(ListError::TooLong);
        }
        let mut found = search.found;
        found.sort_by_key(|message| std::cmp::Reverse(message.sent));
        Ok(found)
    }

    /// Returns the files of a message. A message that was deleted has none.
    pub async fn media_of(&self, message: &MessageSid) -> Result<Vec<MediaRecord>, ListError> {
        ApiCall::ListMedia.measure(self.list_media(message)).await
    }

    #[tracing::instrument(name = "twilio.list_media", level = "debug", skip_all, fields(http.response.status_code = tracing::field::Empty))]
    async fn list_media(&self, message: &MessageSid) -> Result<Vec<MediaRecord>, ListError> {
        let account = &self.0.credentials.account;
        let folder = format!("/2010-04-01/Accounts/{account}/Messages/{message}/Media");
        let base = &self.0.base;
        let mut found = Vec::new();
        self.read_pages::<MediaPage>(base, &format!("{folder}.json"), &[], |page| {
            found.extend(page.into_iter().map(|media| MediaRecord {
                url: format!("{base}{folder}/{}", media.sid),
                content_type: media.content_type.unwrap_or_default(),
            }));
            ControlFlow::Continue(())
        })
        .await?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
