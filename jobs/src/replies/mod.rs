//! Replies to messages: which messages get one, and what it says.

use std::{collections::BTreeMap, time::Duration};

use store::{
    E164,
    sends::{NewReply, ReplyKind},
};
use twilio::InboundWebhook;
use uuid::Uuid;

/// How long after its message a reply may still be sent.
pub(crate) const LIFE: Duration = Duration::from_hours(1);

/// The longest template in characters: two SMS segments in GSM 7-bit, with room for the
/// placeholder's value.
const LONGEST: usize = 300;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const MEGABYTE: u64 = 1024 * 1024;

/// Which messages are replied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyTo {
    /// All messages, as far as the limits allow.
    All,
    /// Messages that could not be processed as they were.
    Problems,
    /// No messages.
    None,
}

/// What operators decide about replies.
#[derive(Debug, Clone)]
pub struct Replies {
    /// Which messages are replied to.
    pub to: ReplyTo,
    /// Our own number. It never gets a reply, as it would reply to itself.
    pub own_number: Option<E164>,
    /// Templates that replace default ones.
    pub templates: ReplyTemplates,
}

impl Replies {
    /// No replies, for a configuration that cannot send SMS.
    pub fn none() -> Self {
        Self {
            to: ReplyTo::None,
            own_number: None,
            templates: ReplyTemplates::default(),
        }
    }

    /// The reply to a message, if one may be sent.
    ///
    /// Only phones get replies. Short codes, sender names and addresses of other channels get none,
    /// and neither does our own number.
    pub(crate) fn reply(
        &self,
        webhook: &InboundWebhook,
        user_id: Option<Uuid>,
        notice: Notice,
    ) -> Option<NewReply> {
        let wanted = match self.to {
            ReplyTo::All => true,
            ReplyTo::Problems => notice != Notice::Processed,
            ReplyTo::None => false,
        };
        let to = E164::parse(webhook.from().phone()?).ok()?;
        let ours = webhook.to().as_str() == to.as_str() || self.own_number.as_ref() == Some(&to);
        (wanted && !ours).then(|| NewReply {
            message_sid: webhook.message_sid().to_string(),
            user_id,
            kind: notice.kind(),
            to,
            body: self.templates.fill(notice),
            trace: None,
        })
    }
}

/// What a reply says, with the values of its placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The message was processed.
    Processed,
    /// No user has linked the number.
    NotLinked,
    /// The user has sent too many messages, and may send again after this time.
    RateLimited(Duration),
    /// The message could not be processed.
    Failed,
    /// An attachment is larger than this many bytes.
    MediaTooLarge(u64),
    /// An attachment has a type that is not supported.
    MediaUnsupported,
}

impl Notice {
    pub(crate) fn kind(self) -> ReplyKind {
        match self {
            Self::Processed => ReplyKind::Processed,
            Self::NotLinked => ReplyKind::NotLinked,
            Self::RateLimited(_) => ReplyKind::RateLimited,
            Self::Failed => ReplyKind::Failed,
            Self::MediaTooLarge(_) => ReplyKind::MediaTooLarge,
            Self::MediaUnsupported => ReplyKind::MediaUnsupported,
        }
    }
}

/// Templates of replies that replace default ones.
#[derive(Debug, Clone, Default)]
pub struct ReplyTemplates(BTreeMap<&'static str, String>);

impl ReplyTemplates {
    /// Sets the template of this kind, which replaces [`default_reply_template`]. The error does
    /// not quote the template.
    pub fn set(&mut self, kind: ReplyKind, template: &str) -> Result<(), String> {
        check(kind, template)?;
        self.0.insert(kind.as_str(), template.to_owned());
        Ok(())
    }

    fn fill(&self, notice: Notice) -> String {
        let kind = notice.kind();
        let template = self
            .0
            .get(kind.as_str())
            .map_or(default_reply_template(kind), String::as_str);
        match notice {
            Notice::RateLimited(wait) => template.replace("{wait}", &as_text(wait)),
            Notice::MediaTooLarge(bytes) => template.replace("{limit}", &megabytes(bytes)),
            Notice::Processed | Notice::NotLinked | Notice::Failed | Notice::MediaUnsupported => {
                template.to_owned()
            }
        }
    }
}

/// The default template of a kind of reply. Values replace the placeholders `{wait}` and `{limit}`.
pub const fn default_reply_template(kind: ReplyKind) -> &'static str {
    match kind {
        ReplyKind::Processed => "Got it! What you sent is ready for your review in the app.",
        ReplyKind::NotLinked => {
            "We do not know this number yet. Link it to your account in the app, then send your message again."
        }
        ReplyKind::RateLimited => {
            "That was more than we can take from you for now. Please send it again in {wait}."
        }
        ReplyKind::Failed => {
            "Sorry, we could not make anything of your last message. Please send it again a little later."
        }
        ReplyKind::MediaTooLarge => {
            "Your attachment is too large for us: {limit} is the most. Please send a smaller one."
        }
        ReplyKind::MediaUnsupported => {
            "We cannot read this kind of attachment. Please send a picture, a recording, a video, a contact or text."
        }
    }
}

/// The placeholder that a template of this kind may have.
const fn placeholder(kind: ReplyKind) -> Option<&'static str> {
    match kind {
        ReplyKind::RateLimited => Some("{wait}"),
        ReplyKind::MediaTooLarge => Some("{limit}"),
        ReplyKind::Processed
        | ReplyKind::NotLinked
        | ReplyKind::Failed
        | ReplyKind::MediaUnsupported => None,
    }
}

fn check(kind: ReplyKind, template: &str) -> Result<(), String> {
    if template.trim().is_empty() {
        return Err("must not be empty: REPLIES says which messages are replied to".to_owned());
    }
    if template.chars().count() > LONGEST {
        return Err(format!("must have at most {LONGEST} characters"));
    }
    let rest = placeholder(kind).map_or_else(
        || template.to_owned(),
        |placeholder| template.replace(placeholder, ""),
    );
    if rest.contains(['{', '}']) {
        let known = placeholder(kind).unwrap_or("nothing");
        return Err(format!(
            "has a placeholder that is not known: {known} is filled in"
        ));
    }
    Ok(())
}

/// Minutes up to an hour, then hours. Rounded up, so that a user who waits that long does not come
/// too early.
fn as_text(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let (count, unit) = if seconds > HOUR {
        (seconds.div_ceil(HOUR), "hour")
    } else {
        (seconds.div_ceil(MINUTE).max(1), "minute")
    };
    if (count, unit) == (60, "minute") {
        return "1 hour".to_owned();
    }
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

fn megabytes(bytes: u64) -> String {
    match (bytes / MEGABYTE, bytes % MEGABYTE) {
        (whole, 0) => format!("{whole} MB"),
        (_, _) => format!("{} KB", bytes / 1024),
    }
}

#[cfg(test)]
mod tests;
