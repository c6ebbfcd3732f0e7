//! The settings for inbound messages: those of a phone number and of a messaging service.

use std::fmt;

use serde::Deserialize;

use super::{AskError, Client};
use crate::PhoneNumberSid;

/// The webhooks for inbound messages. A text is empty if the setting is not set.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Inbound {
    /// The webhook's URL, with its connection overrides as its fragment.
    pub url: String,
    /// Its HTTP method.
    pub method: String,
    /// The URL that Twilio requests if the first one fails.
    pub fallback_url: String,
    /// The HTTP method of the fallback.
    pub fallback_method: String,
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may have a password in it.
        f.debug_struct("Inbound")
            .field("method", &self.method)
            .field("fallback_method", &self.fallback_method)
            .finish_non_exhaustive()
    }
}

/// A phone number of the account.
#[derive(Debug, Clone)]
pub struct IncomingNumber {
    /// The number's SID.
    pub sid: PhoneNumberSid,
    /// Whether it can send and receive text messages.
    pub sms: bool,
    /// The webhooks for its messages.
    pub inbound: Inbound,
    /// The `TwiML` application whose URLs Twilio uses instead, if one is set.
    pub application: Option<String>,
}

/// A messaging service.
#[derive(Debug, Clone)]
pub struct MessagingService {
    /// The webhooks for messages to its numbers, unless [`Self::by_number`].
    pub inbound: Inbound,
    /// Whether each number's own webhooks apply.
    pub by_number: bool,
}

/// A setting and its new value.
pub type SettingChange = (&'static str, String);

#[derive(Deserialize)]
struct Numbers {
    incoming_phone_numbers: Vec<Incoming>,
}

#[derive(Deserialize)]
struct Incoming {
    sid: PhoneNumberSid,
    phone_number: String,
    capabilities: Option<Capabilities>,
    sms_url: Option<String>,
    sms_method: Option<String>,
    sms_fallback_url: Option<String>,
    sms_fallback_method: Option<String>,
    sms_application_sid: Option<String>,
}

#[derive(Deserialize)]
struct Capabilities {
    #[serde(default, alias = "SMS")]
    sms: bool,
}

impl From<Incoming> for IncomingNumber {
    fn from(number: Incoming) -> Self {
        Self {
            sid: number.sid,
            sms: number.capabilities.is_none_or(|can| can.sms),
            inbound: Inbound {
                url: number.sms_url.unwrap_or_default(),
                method: number.sms_method.unwrap_or_default(),
                fallback_url: number.sms_fallback_url.unwrap_or_default(),
                fallback_method: number.sms_fallback_method.unwrap_or_default(),
            },
            application: number.sms_application_sid.filter(|sid| !sid.is_empty()),
        }
    }
}

#[derive(Deserialize)]
struct Service {
    inbound_request_url: Option<String>,
    inbound_method: Option<String>,
    fallback_url: Option<String>,
    fallback_method: Option<String>,
    #[serde(default)]
    use_inbound_webhook_on_number: bool,
}

impl From<Service> for MessagingService {
    fn from(service: Service) -> Self {
        Self {
            by_number: service.use_inbound_webhook_on_number,
            inbound: Inbound {
                url: service.inbound_request_url.unwrap_or_default(),
                method: service.inbound_method.unwrap_or_default(),
                fallback_url: service.fallback_url.unwrap_or_default(),
                fallback_method: service.fallback_method.unwrap_or_default(),
            },
        }
    }
}

impl Client {
    /// Returns the phone number in E.164, if it belongs to the account.
    pub async fn number(&self, number: &str) -> Result<Option<IncomingNumber>, AskError> {
        let query = [("PhoneNumber", number), ("PageSize", "20")];
        let request = self.0.http.get(self.0.url(&self.numbers(".json")));
        let found: Numbers = self.answer(request.query(&query)).await?;
        // Twilio's filter also finds numbers that contain this one.
        let found = found.incoming_phone_numbers.into_iter();
        Ok(found
            .filter(|found| found.phone_number == number)
            .map(Into::into)
            .next())
    }

    /// Changes settings of a number of the account.
    pub async fn change_number(
        &self,
        sid: &PhoneNumberSid,
        changes: &[SettingChange],
    ) -> Result<(), AskError> {
        let url = self.0.url(&self.numbers(&format!("/{sid}.json")));
        let request = self.0.http.post(url).form(changes);
        self.answer::<Incoming>(request).await.map(drop)
    }

    fn numbers(&self, rest: &str) -> String {
        let account = &self.0.credentials.account;
        format!("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers{rest}")
    }

    /// Returns the messaging service.
    pub async fn service(&self, sid: &str) -> Result<MessagingService, AskError> {
        let request = self.0.http.get(self.services(sid));
        Ok(self.answer::<Service>(request).await?.into())
    }

    /// Whether the number belongs to the messaging service.
    pub async fn service_has(&self, sid: &str, number: &PhoneNumberSid) -> Result<bool, AskError> {
        let url = format!("{}/PhoneNumbers/{number}", self.services(sid));
        match self
            .answer::<serde::de::IgnoredAny>(self.0.http.get(url))
            .await
        {
            Ok(_) => Ok(true),
            Err(AskError::NotThere) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Changes settings of a messaging service.
    pub async fn change_service(
        &self,
        sid: &str,
        changes: &[SettingChange],
    ) -> Result<(), AskError> {
        let request = self.0.http.post(self.services(sid)).form(changes);
        self.answer::<Service>(request).await.map(drop)
    }

    fn services(&self, sid: &str) -> String {
        format!("{}/v1/Services/{sid}", self.0.on_host("messaging"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_urls_as_they_may_contain_a_password() {
        let inbound = Inbound {
            url: "https://me:s3cret@example.com/".to_owned(),
            ..Inbound::default()
        };
        assert!(!format!("{inbound:?}").contains("s3cret"));
    }
}
