//! Parses the webhook of an inbound message. A value of this type needs no further checks.
//!
//! It keeps all parameters in order, even unknown ones, as Twilio adds parameters without notice.
//! It never shows a value: errors name the parameter only, and `Debug` prints the SID.
//!
//! Source: Twilio docs, [inbound
//! messages](https://www.twilio.com/docs/messaging/guides/webhook-request).

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::media_item;
pub use crate::media_item::{MAX_MEDIA, MediaItem};
pub use crate::payload::PayloadError;
use crate::payload::{first, optional, required};
use crate::{AccountSid, Address, MessageSid};

/// The webhook of one inbound message. It is serialised as a list of pairs and checked again when
/// it is read.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<(String, String)>")]
pub struct InboundWebhook {
    fields: Vec<(String, String)>,
    message_sid: MessageSid,
    account_sid: AccountSid,
    from: Address,
    to: Address,
    num_media: u32,
    media: Vec<MediaItem>,
}

/// Whether a message has media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Text alone.
    Sms,
    /// At least one media file.
    Mms,
}

/// A place that the sender shared.
#[derive(Clone, Copy, PartialEq)]
pub struct Location<'a> {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// `Address`, unless absent or empty.
    pub address: Option<&'a str>,
    /// `Label`, unless absent or empty.
    pub label: Option<&'a str>,
}

impl fmt::Debug for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Location([sealed])")
    }
}

/// Optional parameters that must not occur twice.
const SINGLE: [&str; 6] = [
    "Body",
    "OptOutType",
    "Latitude",
    "Longitude",
    "Address",
    "Label",
];

impl InboundWebhook {
    /// Checks the parameters and keeps all of them.
    pub fn from_fields(fields: Vec<(String, String)>) -> Result<Self, PayloadError> {
        for name in SINGLE {
            optional(&fields, name, name)?;
        }
        let sid = required(&fields, "MessageSid")?;
        let account = required(&fields, "AccountSid")?;
        Ok(Self {
            message_sid: sid
                .parse()
                .map_err(|_| PayloadError::Malformed("MessageSid"))?,
            account_sid: account
                .parse()
                .map_err(|_| PayloadError::Malformed("AccountSid"))?,
            from: address(&fields, "From")?,
            to: address(&fields, "To")?,
            num_media: num_media(&fields)?,
            media: media_item::read(&fields)?,
            fields,
        })
    }

    /// Every parameter, in the order received.
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    /// The first value of any parameter, known or not.
    pub fn field(&self, name: &str) -> Option<&str> {
        first(&self.fields, name)
    }

    /// The message's SID, which identifies repeats of this webhook.
    pub fn message_sid(&self) -> &MessageSid {
        &self.message_sid
    }

    /// The account that the message belongs to. A valid signature does not prove that it is ours:
    /// compare it.
    pub fn account_sid(&self) -> &AccountSid {
        &self.account_sid
    }

    /// The sender.
    pub fn from(&self) -> &Address {
        &self.from
    }

    /// The address that received it.
    pub fn to(&self) -> &Address {
        &self.to
    }

    /// The text; empty if there is none.
    pub fn body(&self) -> &str {
        self.field("Body").unwrap_or_default()
    }

    /// The number of media that the message claims to have. [`media`](Self::media) has the real
    /// ones.
    pub fn num_media(&self) -> u32 {
        self.num_media
    }

    /// The media that have a URL, by index, at most [`MAX_MEDIA`].
    pub fn media(&self) -> &[MediaItem] {
        &self.media
    }

    /// Whether `NumMedia` differs from the number of media URLs, including those above
    /// [`MAX_MEDIA`].
    pub fn media_count_disagrees(&self) -> bool {
        u32::try_from(media_item::count_announced(&self.fields)) != Ok(self.num_media)
    }

    /// Whether the message has media. The media URLs decide, even if `NumMedia` differs: a file
    /// without a URL cannot be fetched, and a file with a URL must not be lost.
    pub fn kind(&self) -> MessageKind {
        if self.media.is_empty() {
            MessageKind::Sms
        } else {
            MessageKind::Mms
        }
    }

    /// The place that was shared, if both coordinates are numbers in range.
    pub fn location(&self) -> Option<Location<'_>> {
        let filled = |name| self.field(name).filter(|value| !value.is_empty());
        let degrees = |name, limit: f64| {
            let value: f64 = self.field(name)?.trim().parse().ok()?;
            // A NaN is in no range.
            (-limit..=limit).contains(&value).then_some(value)
        };
        Some(Location {
            latitude: degrees("Latitude", 90.0)?,
            longitude: degrees("Longitude", 180.0)?,
            address: filled("Address"),
            label: filled("Label"),
        })
    }

    /// `STOP`, `START` or `HELP`, if the Messaging Service has Advanced Opt-Out.
    pub fn opt_out_type(&self) -> Option<&str> {
        self.field("OptOutType").filter(|value| !value.is_empty())
    }
}

impl TryFrom<Vec<(String, String)>> for InboundWebhook {
    type Error = PayloadError;

    fn try_from(fields: Vec<(String, String)>) -> Result<Self, PayloadError> {
        Self::from_fields(fields)
    }
}

impl Serialize for InboundWebhook {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fields.serialize(serializer)
    }
}

impl fmt::Debug for InboundWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InboundWebhook({}, [sealed])", self.message_sid)
    }
}

/// Absent or empty means none: Twilio leaves many parameters empty.
fn num_media(fields: &[(String, String)]) -> Result<u32, PayloadError> {
    match optional(fields, "NumMedia", "NumMedia")? {
        None | Some("") => Ok(0),
        Some(number) => number
            .parse()
            .map_err(|_| PayloadError::Malformed("NumMedia")),
    }
}

fn address(fields: &[(String, String)], name: &'static str) -> Result<Address, PayloadError> {
    let text = required(fields, name)?.to_owned();
    text.try_into().map_err(|_| PayloadError::Malformed(name))
}
