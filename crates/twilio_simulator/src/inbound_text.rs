//! A text that a person sends to the account, and the parameters of its webhook.

use crate::{account::SimulatedAccount, ids::random_hex, samples};

/// A message that a person sends to the account's number.
#[derive(Debug, Clone, Default)]
pub struct InboundText {
    /// The sender's number.
    pub from: String,
    /// The text.
    pub body: String,
    /// The MIME type of each attachment. The simulated API serves a file of each common type.
    pub media: Vec<String>,
    /// Parameters to add or to replace. An empty value sends an empty parameter.
    pub fields: Vec<(String, String)>,
}

impl InboundText {
    /// The parameters of the webhook, with a new SID. The API at `api_base_url` has the files.
    pub(crate) fn parameters(
        &self,
        account: &SimulatedAccount,
        api_base_url: &str,
    ) -> Vec<(String, String)> {
        let kind = if self.media.is_empty() { "SM" } else { "MM" };
        let sid = format!("{kind}{}", random_hex());
        let units = self.body.encode_utf16().count();
        let segments = units.div_ceil(153).max(1).to_string();
        let mut parameters: Vec<(String, String)> = [
            ("ToCountry", "US"),
            ("ToState", ""),
            ("SmsMessageSid", &sid),
            ("NumMedia", &self.media.len().to_string()),
            ("ToCity", ""),
            ("FromZip", ""),
            ("SmsSid", &sid),
            ("FromState", ""),
            ("SmsStatus", "received"),
            ("FromCity", ""),
            ("Body", &self.body),
            ("FromCountry", "US"),
            ("To", &account.number),
            ("ToZip", ""),
            ("NumSegments", &segments),
            ("MessageSid", &sid),
            ("AccountSid", account.sid.as_str()),
            ("From", &self.from),
            ("ApiVersion", "2010-04-01"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let base = api_base_url.trim_end_matches('/');
        for (index, media_type) in self.media.iter().enumerate() {
            let file = samples::new_sid(media_type);
            let path = format!(
                "/2010-04-01/Accounts/{}/Messages/{sid}/Media/{file}",
                account.sid
            );
            parameters.push((format!("MediaContentType{index}"), media_type.clone()));
            parameters.push((format!("MediaUrl{index}"), format!("{base}{path}")));
        }
        for (name, value) in &self.fields {
            match parameters.iter_mut().find(|(known, _)| known == name) {
                Some(parameter) => parameter.1.clone_from(value),
                None => parameters.push((name.clone(), value.clone())),
            }
        }
        parameters
    }
}

/// The value of a parameter; empty if there is none.
pub(crate) fn parameter<'a>(parameters: &'a [(String, String)], name: &str) -> &'a str {
    let found = parameters.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value)
}
