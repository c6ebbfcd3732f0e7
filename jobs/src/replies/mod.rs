//! What we reply to messages: to whom, when, and in which words.

use std::{collections::BTreeMap, time::Duration};

use store::{
    E164,
    sends::{NewReply, ReplyKind},
};
use twilio::InboundWebhook;
use uuid::Uuid;

/// How long after its message a reply is still of use.
pub(crate) const LIFE: Duration = Duration::from_hours(1);

/// The most characters of a template: two segments where all are in GSM 7-bit, which leaves room for what is filled in.
const LONGEST: usize = 300;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const MEGABYTE: u64 = 1024 * 1024;

/// Which messages are replied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyTo {
    /// Each, as far as the limits allow.
    All,
    /// Those that could not be taken as they were.
    Problems,
    /// None.
    None,
}

/// What operators decide about replies.
#[derive(Debug, Clone)]
pub struct Replies {
    /// Which messages are replied to.
    pub to: ReplyTo,
    /// Our own number, which is never replied to: it would answer itself.
    pub own_number: Option<E164>,
    /// The words, where they are not the default ones.
    pub words: Words,
}

impl Replies {
    /// Nothing is replied, as when there is nobody to send from.
    pub fn none() -> Self {
        Self {
            to: ReplyTo::None,
            own_number: None,
            words: Words::default(),
        }
    }

    /// The reply to a message, if one may be sent.
    ///
    /// Only a phone that sent a text message gets one. A short code or a sender with a name cannot, a number on another
    /// channel is no phone here, and our own number would answer itself.
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
            body: self.words.fill(notice),
        })
    }
}

/// What a reply is to say, with what is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The message was processed.
    Processed,
    /// The number is nobody's.
    NotLinked,
    /// Its user has sent too many, and may send again after this time.
    RateLimited(Duration),
    /// It could not be processed.
    Failed,
    /// What was attached is larger than so many bytes.
    MediaTooLarge(u64),
    /// What was attached is of a type that is not taken.
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

/// The words of replies: a template for each kind.
#[derive(Debug, Clone, Default)]
pub struct Words(BTreeMap<&'static str, String>);

impl Words {
    /// Another template for this kind than [`default_words`]. What is wrong with it is said without quoting it.
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
            .map_or(default_words(kind), String::as_str);
        match notice {
            Notice::RateLimited(wait) => template.replace("{wait}", &in_words(wait)),
            Notice::MediaTooLarge(bytes) => template.replace("{limit}", &megabytes(bytes)),
            Notice::Processed | Notice::NotLinked | Notice::Failed | Notice::MediaUnsupported => {
                template.to_owned()
            }
        }
    }
}

/// What a reply says where nobody has set other words. `{wait}` and `{limit}` are filled in.
pub const fn default_words(kind: ReplyKind) -> &'static str {
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

/// What may be filled in.
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

/// Minutes up to an hour, then hours; rounded up, so that nobody comes back too early.
fn in_words(wait: Duration) -> String {
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
