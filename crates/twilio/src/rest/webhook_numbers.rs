//! Finds the numbers whose messages come to our webhook.

use std::{collections::HashMap, ops::ControlFlow};

use serde::Deserialize;

use super::{
    Client, ListError,
    pages::{Page, PageMeta},
};
use crate::{metrics::ApiCall, signed_url::SignedUrl};

#[derive(Deserialize)]
struct NumbersPage {
    incoming_phone_numbers: Vec<AccountNumber>,
    next_page_uri: Option<String>,
}

#[derive(Deserialize)]
struct AccountNumber {
    sid: String,
    phone_number: String,
    sms_url: Option<String>,
    sms_application_sid: Option<String>,
}

impl Page for NumbersPage {
    type Row = AccountNumber;

    fn into_parts(self) -> (Vec<AccountNumber>, Option<String>) {
        (self.incoming_phone_numbers, self.next_page_uri)
    }
}

#[derive(Deserialize)]
struct ServicesPage {
    services: Vec<AccountService>,
    meta: Option<PageMeta>,
}

#[derive(Deserialize)]
struct AccountService {
    sid: String,
    inbound_request_url: Option<String>,
    #[serde(default)]
    use_inbound_webhook_on_number: bool,
}

impl Page for ServicesPage {
    type Row = AccountService;

    fn into_parts(self) -> (Vec<AccountService>, Option<String>) {
        (self.services, self.meta.and_then(|meta| meta.next_page_url))
    }
}

#[derive(Deserialize)]
struct ServiceNumbersPage {
    phone_numbers: Vec<ServiceNumber>,
    meta: Option<PageMeta>,
}

#[derive(Deserialize)]
struct ServiceNumber {
    sid: String,
}

impl Page for ServiceNumbersPage {
    type Row = ServiceNumber;

    fn into_parts(self) -> (Vec<ServiceNumber>, Option<String>) {
        (
            self.phone_numbers,
            self.meta.and_then(|meta| meta.next_page_url),
        )
    }
}

#[derive(Deserialize)]
struct Application {
    sms_url: Option<String>,
}

impl Client {
    /// Returns the account's numbers, in E.164, whose messages Twilio sends to this webhook: by the
    /// number's messaging service, by its `TwiML` application, or by its own settings, in this
    /// order.
    pub async fn numbers_with_webhook(&self, url: &str) -> Result<Vec<String>, ListError> {
        ApiCall::ListNumbers.measure(self.list_numbers(url)).await
    }

    #[tracing::instrument(name = "twilio.list_numbers", level = "debug", skip_all, fields(http.response.status_code = tracing::field::Empty))]
    async fn list_numbers(&self, url: &str) -> Result<Vec<String>, ListError> {
        let account = &self.0.credentials.account;
        let path = format!("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json");
        let numbers = self.all::<NumbersPage>(&self.0.base, &path).await?;
        let by_service = self.webhooks_by_service().await?;
        let mut applications: HashMap<String, String> = HashMap::new();
        let mut ours = Vec::new();
        for number in numbers {
            let application = number.sms_application_sid.filter(|sid| !sid.is_empty());
            let webhook = if let Some(webhook) = by_service.get(&number.sid) {
                webhook.clone()
            } else if let Some(sid) = application {
                if let Some(webhook) = applications.get(&sid) {
                    webhook.clone()
                } else {
                    let webhook = self.application_webhook(&sid).await?;
                    applications.insert(sid, webhook.clone());
                    webhook
                }
            } else {
                number.sms_url.unwrap_or_default()
            };
            if is_same_webhook(&webhook, url) {
                ours.push(number.phone_number);
            }
        }
        Ok(ours)
    }

    /// The webhook of each number whose messaging service has one. It replaces the number's own,
    /// even if it is not set. The keys are SIDs.
    async fn webhooks_by_service(&self) -> Result<HashMap<String, String>, ListError> {
        let base = self.0.on_host("messaging");
        let services = self.all::<ServicesPage>(&base, "/v1/Services").await?;
        let mut webhooks = HashMap::new();
        for service in services {
            if service.use_inbound_webhook_on_number || !is_plain_sid(&service.sid) {
                continue;
            }
            let webhook = service.inbound_request_url.unwrap_or_default();
            let path = format!("/v1/Services/{}/PhoneNumbers", service.sid);
            let numbers = self.all::<ServiceNumbersPage>(&base, &path).await?;
            webhooks.extend(
                numbers
                    .into_iter()
                    .map(|number| (number.sid, webhook.clone())),
            );
        }
        Ok(webhooks)
    }

    /// The webhook of a `TwiML` application; empty if there is none.
    async fn application_webhook(&self, sid: &str) -> Result<String, ListError> {
        if !is_plain_sid(sid) {
            return Ok(String::new());
        }
        let account = &self.0.credentials.account;
        let path = format!("/2010-04-01/Accounts/{account}/Applications/{sid}.json");
        let found: Option<Application> = self.read_json(&self.0.url(&path)).await?;
        Ok(found.and_then(|found| found.sms_url).unwrap_or_default())
    }

    /// Reads a whole list. A list that Twilio does not know is empty.
    async fn all<P: Page>(&self, base: &str, path: &str) -> Result<Vec<P::Row>, ListError> {
        let mut rows = Vec::new();
        self.read_pages::<P>(base, path, &[], |page| {
            rows.extend(page);
            ControlFlow::Continue(())
        })
        .await?;
        Ok(rows)
    }
}

/// The SID becomes part of a path.
fn is_plain_sid(sid: &str) -> bool {
    sid.len() == 34 && sid.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Whether Twilio's requests to the first URL arrive at the second one. Connection overrides, a
/// password, the scheme's own port and the case of the host make no difference. A path must be
/// equal.
fn is_same_webhook(configured: &str, ours: &str) -> bool {
    let split = |url: &str| {
        let url = SignedUrl::split(url.trim())?;
        let scheme = url.scheme.to_ascii_lowercase();
        let usual = if scheme == "https" { "443" } else { "80" };
        let port = url.port.filter(|port| !port.is_empty()).unwrap_or(usual);
        let host = url.host.to_ascii_lowercase();
        let query = url.query.map(str::to_owned);
        Some((scheme, host, port.to_owned(), url.path.to_owned(), query))
    };
    split(configured).is_some_and(|configured| Some(configured) == split(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "https://sms.example.com/api/sms/webhook";

    #[test]
    fn overrides_passwords_and_the_usual_port_make_no_difference() {
        for url in [
            OURS,
            "https://sms.example.com/api/sms/webhook#rc=3&rp=all",
            " https://sms.example.com/api/sms/webhook ",
            "https://sms.example.com:443/api/sms/webhook",
            "HTTPS://SMS.example.com/api/sms/webhook",
            "https://user:p@ss@sms.example.com/api/sms/webhook",
        ] {
            assert!(is_same_webhook(url, OURS), "{url}");
            assert!(is_same_webhook(OURS, url), "{url}");
        }
    }

    #[test]
    fn another_host_port_path_or_query_is_another_webhook() {
        for url in [
            "",
            "/api/sms/webhook",
            "http://sms.example.com/api/sms/webhook",
            "https://sms.example.com:8443/api/sms/webhook",
            "https://sms.example.com/api/sms/webhook/",
            "https://sms.example.com/api/sms/Webhook",
            "https://sms.example.com/api/sms/webhook?a=1",
            "https://sms.example.com.evil.example/api/sms/webhook",
            "https://sms.example.com@evil.example/api/sms/webhook",
        ] {
            assert!(!is_same_webhook(url, OURS), "{url}");
        }
        assert!(!is_same_webhook("", ""));
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_it_panic(body: Vec<u8>, url: String) {
            drop(serde_json::from_slice::<NumbersPage>(&body));
            drop(serde_json::from_slice::<ServicesPage>(&body));
            drop(serde_json::from_slice::<ServiceNumbersPage>(&body));
            drop(serde_json::from_slice::<Application>(&body));
            is_same_webhook(&url, OURS);
            is_same_webhook(&format!("https://{url}"), OURS);
        }
    }
}
