//! Compares the webhook settings at Twilio with the settings that the receiver needs.

use twilio::rest::Inbound;

use super::{
    change::{ProposedChange, without_password},
    finding::Finding,
};
use crate::config::WEBHOOK_PATH;

const FIX: &str = "pigeonhole doctor --fix";

/// Twilio's names for the settings of a number or of a messaging service.
#[derive(Debug, Clone, Copy)]
pub(super) struct SettingNames {
    pub(super) url: &'static str,
    pub(super) method: &'static str,
    pub(super) fallback_url: &'static str,
    pub(super) fallback_method: &'static str,
}

pub(super) const NUMBER_SETTINGS: SettingNames = SettingNames {
    url: "SmsUrl",
    method: "SmsMethod",
    fallback_url: "SmsFallbackUrl",
    fallback_method: "SmsFallbackMethod",
};

pub(super) const SERVICE_SETTINGS: SettingNames = SettingNames {
    url: "InboundRequestUrl",
    method: "InboundMethod",
    fallback_url: "FallbackUrl",
    fallback_method: "FallbackMethod",
};

/// Checks the settings and lists the changes that would correct them. `whose` is "the number's" or
/// "the messaging service's".
pub(super) fn judge(
    inbound: &Inbound,
    public_base_url: &str,
    whose: &str,
    names: SettingNames,
) -> (Vec<Finding>, Vec<ProposedChange>) {
    let mut check = WebhookCheck {
        ours: format!("{public_base_url}{WEBHOOK_PATH}"),
        public_base_url,
        whose,
        names,
        findings: Vec::new(),
        changes: Vec::new(),
    };
    check.url(&inbound.url);
    check.method(&inbound.method);
    check.fallback(inbound);
    (check.findings, check.changes)
}

struct WebhookCheck<'a> {
    ours: String,
    public_base_url: &'a str,
    whose: &'a str,
    names: SettingNames,
    findings: Vec<Finding>,
    changes: Vec<ProposedChange>,
}

impl WebhookCheck<'_> {
    fn ok(&mut self, check: &'static str, says: impl Into<String>) {
        self.findings.push(Finding::ok(check, says));
    }

    fn fault(&mut self, check: &'static str, says: impl Into<String>) {
        self.findings.push(Finding::fault(check, says, FIX));
    }

    fn change(&mut self, name: &'static str, old: &str, new: impl Into<String>) {
        self.changes
            .push(ProposedChange::new(name, old, new.into()));
    }

    /// The receiver's URL as it should be set at Twilio.
    fn wanted(&self, overrides: &str) -> String {
        format!("{}#{}", self.ours, with_retries(overrides))
    }

    fn url(&mut self, configured: &str) {
        let (url, overrides) = split(configured);
        let whose = self.whose;
        if url == self.ours {
            self.ok(
                "twilio_webhook",
                format!("{whose} webhook is the receiver's"),
            );
            if retries(overrides) {
                let says = "Twilio retries when the receiver fails";
                return self.ok("twilio_retries", says);
            }
            self.fault(
                "twilio_retries",
                format!(
                    "{whose} webhook lacks #rc=3&rp=all: Twilio does not retry after a 5xx or a late response, and the \
                     message is lost"
                ),
            );
            return self.change(self.names.url, configured, self.wanted(overrides));
        }
        let says = if url.is_empty() {
            format!("{whose} webhook is not set: messages do not reach the receiver")
        } else {
            format!(
                "{whose} webhook is {}, but the receiver's URL is {}. Both must be exactly equal, because the signature \
                 covers the URL",
                without_password(url),
                self.ours
            )
        };
        self.fault("twilio_webhook", says);
        self.change(self.names.url, configured, self.wanted(""));
    }

    fn method(&mut self, method: &str) {
        if method == "POST" {
            return self.ok("twilio_method", "Twilio sends POST requests");
        }
        let whose = self.whose;
        self.fault(
            "twilio_method",
            format!(
                "{whose} webhook uses the method {method:?}, but the receiver accepts only POST"
            ),
        );
        self.change(self.names.method, method, "POST");
    }

    fn fallback(&mut self, inbound: &Inbound) {
        let (check, whose) = ("twilio_fallback", self.whose);
        let (url, method) = (&inbound.fallback_url, &inbound.fallback_method);
        let (fallback, _) = split(url);
        let below = format!("{}/", self.public_base_url);
        if url.is_empty() {
            self.findings.push(Finding::warning(
                check,
                format!("{whose} webhook has no fallback: a message is lost when all its retries fail"),
                format!(
                    "{FIX} sets the receiver as its own fallback, which doubles the time for retries; a second deployment is \
                     better"
                ),
            ));
            self.change(self.names.fallback_url, "", self.wanted(""));
            if method != "POST" {
                self.change(self.names.fallback_method, method, "POST");
            }
        } else if method != "POST" {
            self.fault(
                check,
                format!(
                    "{whose} fallback uses the method {method:?}, but a receiver accepts only POST"
                ),
            );
            self.change(self.names.fallback_method, method, "POST");
        } else if fallback == self.ours {
            self.ok(check, "the fallback is the receiver itself");
        } else if fallback.starts_with(&below) {
            self.fault(
                check,
                format!("{whose} fallback is a path at which the receiver accepts no messages"),
            );
            self.change(self.names.fallback_url, url, self.wanted(""));
        } else {
            self.ok(
                check,
                "the fallback is another deployment; run pigeonhole doctor there too",
            );
        }
    }
}

/// Splits a URL before its fragment, which holds Twilio's connection overrides.
fn split(url: &str) -> (&str, &str) {
    url.split_once('#').unwrap_or((url, ""))
}

/// Whether Twilio retries after any failure. By default it retries once, and only if it could not
/// connect.
fn retries(overrides: &str) -> bool {
    let value = |wanted: &str| {
        // If a name stands twice, Twilio uses the last one.
        let mut pairs = overrides
            .split('&')
            .rev()
            .filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == wanted)
    };
    let times = value("rc").is_none_or(|(_, times)| times != "0");
    let reasons = value("rp").map_or("", |(_, reasons)| reasons);
    let reasons: Vec<_> = reasons.split(',').collect();
    let all = reasons.contains(&"all")
        || ["5xx", "ct", "rt"]
            .iter()
            .all(|reason| reasons.contains(reason));
    times && all
}

/// The same overrides with our values for retries.
fn with_retries(overrides: &str) -> String {
    let others = overrides
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("rc=") && !pair.starts_with("rp="));
    let mut all: Vec<_> = others.collect();
    all.extend(["rc=3", "rp=all"]);
    all.join("&")
}

#[cfg(test)]
mod tests {
    use super::{super::finding::FindingStatus, *};

    const BASE: &str = "https://sms.example.com";

    fn judged(inbound: &Inbound) -> (Vec<&'static str>, Vec<(&'static str, String)>) {
        let (findings, changes) = judge(inbound, BASE, "the number's", NUMBER_SETTINGS);
        let bad = findings
            .iter()
            .filter(|found| found.status != FindingStatus::Ok);
        let changes = changes.into_iter().map(ProposedChange::into_parts);
        (bad.map(|found| found.check).collect(), changes.collect())
    }

    fn good() -> Inbound {
        let url = format!("{BASE}/api/sms/webhook#rc=3&rp=all");
        Inbound {
            url: url.clone(),
            method: "POST".to_owned(),
            fallback_url: url,
            fallback_method: "POST".to_owned(),
        }
    }

    #[test]
    fn correct_settings_need_no_change() {
        assert_eq!(judged(&good()), (vec![], vec![]));
        let elsewhere = Inbound {
            fallback_url: "https://b.example.com/api/sms/webhook".to_owned(),
            ..good()
        };
        assert_eq!(judged(&elsewhere), (vec![], vec![]));
    }

    #[test]
    fn other_overrides_are_kept() {
        let url = format!("{BASE}/api/sms/webhook#ct=2000&rp=ct&e=dublin");
        let (bad, changes) = judged(&Inbound { url, ..good() });
        assert_eq!(bad, ["twilio_retries"]);
        let wanted = format!("{BASE}/api/sms/webhook#ct=2000&e=dublin&rc=3&rp=all");
        assert_eq!(changes, [("SmsUrl", wanted)]);
    }

    #[test]
    fn twilio_retries_only_with_the_right_overrides() {
        for (overrides, expected) in [
            ("", false),
            ("rc=3", false),
            ("rp=ct", false),
            ("rc=0&rp=all", false),
            ("rp=all", true),
            ("rc=5&rp=5xx,ct,rt", true),
            ("rp=4xx,5xx", false),
        ] {
            assert_eq!(retries(overrides), expected, "{overrides}");
        }
    }

    #[test]
    fn the_url_must_match_exactly() {
        for url in [
            "https://sms.example.com/api/sms/webhook/#rc=3&rp=all",
            "https://SMS.example.com/api/sms/webhook#rc=3&rp=all",
            "https://sms.example.com:443/api/sms/webhook#rc=3&rp=all",
            "http://sms.example.com/api/sms/webhook#rc=3&rp=all",
            "",
        ] {
            let url = url.to_owned();
            let (bad, changes) = judged(&Inbound { url, ..good() });
            assert_eq!(bad, ["twilio_webhook"]);
            assert_eq!(changes, [("SmsUrl", good().url)]);
        }
    }
}
