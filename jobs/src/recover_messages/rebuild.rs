//! Makes a message as its webhook would have brought it: from the parameters of its failed webhook,
//! or else from Twilio's list.

use store::{inbound_messages::MessageSource, recovery::UnrecoverableReason};
use twilio::{
    AccountSid, InboundWebhook,
    rest::{InboundRecord, MediaRecord},
    webhook::MAX_MEDIA,
};

/// The parameters that Twilio adds to a request to the fallback URL. They tell of the request and
/// not of the message.
const OF_FALLBACK: [&str; 2] = ["ErrorCode", "ErrorUrl"];

/// A message as its webhook would have brought it.
#[derive(Debug)]
pub(super) struct RebuiltMessage {
    pub(super) webhook: InboundWebhook,
    pub(super) source: MessageSource,
}

/// Makes the message from the parameters of its failed webhook. `None` if they do not agree with
/// the list: the list says what Twilio still has, so a text that was redacted does not come back.
pub(super) fn from_alert(
    record: &InboundRecord,
    account: &AccountSid,
    mut parameters: Vec<(String, String)>,
) -> Option<RebuiltMessage> {
    parameters.retain(|(name, _)| !OF_FALLBACK.contains(&name.as_str()));
    let webhook = readable(parameters)?;
    let agrees = webhook.message_sid() == &record.sid
        && webhook.account_sid() == account
        && webhook.from().as_str() == record.from
        && webhook.to().as_str() == record.to
        && webhook.body() == record.body.as_deref().unwrap_or_default()
        && webhook.num_media() == record.num_media;
    agrees.then_some(RebuiltMessage {
        webhook,
        source: MessageSource::Alert,
    })
}

/// Makes the message from its record in the list and the files that Twilio still has of it.
pub(super) fn from_list(
    record: &InboundRecord,
    account: &AccountSid,
    media: &[MediaRecord],
) -> Result<RebuiltMessage, UnrecoverableReason> {
    let body = record.body.as_deref().unwrap_or_default();
    if body.is_empty() && media.is_empty() {
        return Err(UnrecoverableReason::Redacted);
    }
    let media = &media[..media.len().min(usize::from(MAX_MEDIA))];
    let sid = record.sid.as_str();
    let (files, segments) = (media.len().to_string(), record.num_segments.to_string());
    let mut fields: Vec<(String, String)> = [
        ("SmsMessageSid", sid),
        ("NumMedia", &files),
        ("SmsSid", sid),
        ("SmsStatus", "received"),
        ("Body", body),
        ("To", &record.to),
        ("NumSegments", &segments),
        ("MessageSid", sid),
        ("AccountSid", account.as_str()),
        ("From", &record.from),
        ("ApiVersion", "2010-04-01"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    if let Some(service) = &record.messaging_service_sid {
        fields.push(("MessagingServiceSid".to_owned(), service.clone()));
    }
    for (at, file) in media.iter().enumerate() {
        fields.push((format!("MediaContentType{at}"), file.content_type.clone()));
        fields.push((format!("MediaUrl{at}"), file.url.clone()));
    }
    Ok(RebuiltMessage {
        webhook: readable(fields).ok_or(UnrecoverableReason::Unreadable)?,
        source: MessageSource::List,
    })
}

/// The receiver refuses these as well: Postgres cannot store a NUL character in a text.
fn readable(fields: Vec<(String, String)>) -> Option<InboundWebhook> {
    let has_nul = fields.iter().any(|(name, value)| {
        let has = |text: &str| text.contains('\0');
        has(name) || has(value)
    });
    InboundWebhook::from_fields(fields)
        .ok()
        .filter(|_| !has_nul)
}

#[cfg(test)]
mod tests;
