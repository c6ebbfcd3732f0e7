//! What is set at Twilio for messages that come in, and what should be.

use twilio::rest::Inbound;

use super::{finding::Finding, fix::Change};
use crate::config::WEBHOOK_PATH;

const FIX: &str = "pigeonhole doctor --fix";

/// How Twilio names the settings of a number, or of a messaging service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) url: &'static str,
    pub(super) method: &'static str,
    pub(super) fallback_url: &'static str,
    pub(super) fallback_method: &'static str,
}

pub(super) const OF_A_NUMBER: Names = Names {
    url: "SmsUrl",
    method: "SmsMethod",
    fallback_url: "SmsFallbackUrl",
    fallback_method: "SmsFallbackMethod",
};

pub(super) const OF_A_SERVICE: Names = Names {
    url: "InboundRequestUrl",
    method: "InboundMethod",
    fallback_url: "FallbackUrl",
    fallback_method: "FallbackMethod",
};

/// Judges the settings, and says what would have to change. `whose` is the number's or the messaging service's.
pub(super) fn judge(
    inbound: &Inbound,
    public_base_url: &str,
    whose: &str,
    names: Names,
) -> (Vec<Finding>, Vec<Change>) {
    let mut judge = Judge {
        ours: format!("{public_base_url}{WEBHOOK_PATH}"),
        public_base_url,
        whose,
        names,
        findings: Vec::new(),
        changes: Vec::new(),
    };
    judge.url(&inbound.url);
    judge.method(&inbound.method);
    judge.fallback(inbound);
    (judge.findings, judge.changes)
}

struct Judge<'a> {
    ours: String,
    public_base_url: &'a str,
    whose: &'a str,
    names: Names,
    findings: Vec<Finding>,
    changes: Vec<Change>,
}

impl Judge<'_> {
    fn ok(&mut self, check: &'static str, says: impl Into<String>) {
        self.findings.push(Finding::ok(check, says));
    }

    fn fault(&mut self, check: &'static str, says: impl Into<String>) {
        self.findings.push(Finding::fault(check, says, FIX));
    }

    fn change(&mut self, name: &'static str, old: &str, new: impl Into<String>) {
        self.changes.push(Change::new(name, old, new.into()));
    }

    /// The receiver's URL as Twilio should have it.
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
                let says = "Twilio tries again when the receiver fails";
                return self.ok("twilio_retries", says);
            }
            self.fault(
                "twilio_retries",
                format!(
                    "{whose} webhook lacks #rc=3&rp=all: Twilio does not try again after a 5xx or an answer that comes \
                     too late, and such messages are lost"
                ),
            );
            return self.change(self.names.url, configured, self.wanted(overrides));
        }
        let says = if url.is_empty() {
            format!("{whose} webhook is not set: messages to it reach nobody")
        } else {
            format!(
                "{whose} webhook is {}, and the receiver answers at {}: letter for letter, as signatures cover it",
                without_password(url),
                self.ours
            )
        };
        self.fault("twilio_webhook", says);
        self.change(self.names.url, configured, self.wanted(""));
    }

    fn method(&mut self, method: &str) {
        if method == "POST" {
            return self.ok("twilio_method", "Twilio asks with POST");
        }
        let whose = self.whose;
        self.fault(
            "twilio_method",
            format!(
                "{whose} webhook is requested with {method:?}, which the receiver refuses: it takes POST"
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
                format!("{whose} webhook has no fallback: a message whose tries have all failed is lost"),
                format!(
                    "{FIX} names the receiver again, which gives it as much time once more; better is a second deployment"
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
                    "{whose} fallback is requested with {method:?}, which a receiver refuses: it takes POST"
                ),
            );
            self.change(self.names.fallback_method, method, "POST");
        } else if fallback == self.ours {
            self.ok(check, "the fallback is the receiver once more");
        } else if fallback.starts_with(&below) {
            self.fault(
                check,
                format!("{whose} fallback is a path at which the receiver takes no messages"),
            );
            self.change(self.names.fallback_url, url, self.wanted(""));
        } else {
            self.ok(
                check,
                "the fallback is another deployment's; run its own doctor there",
            );
        }
    }
}

/// A URL up to its fragment, and the fragment: Twilio's connection overrides.
fn split(url: &str) -> (&str, &str) {
    url.split_once('#').unwrap_or((url, ""))
}

/// Will Twilio try again after any failure? By default it does so once, and only when it could not connect.
fn retries(overrides: &str) -> bool {
    let value = |wanted: &str| {
        // The last counts.
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

/// The same overrides, but for those about trying again.
fn with_retries(overrides: &str) -> String {
    let others = overrides
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("rc=") && !pair.starts_with("rp="));
    let mut all: Vec<_> = others.collect();
    all.extend(["rc=3", "rp=all"]);
    all.join("&")
}

/// A URL as it may be shown.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://…{}", &rest[at..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Status, *};

    const BASE: &str = "https://sms.example.com";

    fn judged(inbound: &Inbound) -> (Vec<&'static str>, Vec<(&'static str, String)>) {
        let (findings, changes) = judge(inbound, BASE, "the number's", OF_A_NUMBER);
        let bad = findings.iter().filter(|found| found.status != Status::Ok);
        let changes = changes.into_iter().map(Change::into_parts);
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
    fn what_is_right_is_left_alone() {
        assert_eq!(judged(&good()), (vec![], vec![]));
        let elsewhere = Inbound {
            fallback_url: "https://b.example.com/api/sms/webhook".to_owned(),
            ..good()
        };
        assert_eq!(judged(&elsewhere), (vec![], vec![]));
    }

    #[test]
    fn overrides_that_are_there_stay() {
        let url = format!("{BASE}/api/sms/webhook#ct=2000&rp=ct&e=dublin");
        let (bad, changes) = judged(&Inbound { url, ..good() });
        assert_eq!(bad, ["twilio_retries"]);
        let wanted = format!("{BASE}/api/sms/webhook#ct=2000&e=dublin&rc=3&rp=all");
        assert_eq!(changes, [("SmsUrl", wanted)]);
    }

    #[test]
    fn twilio_tries_again_only_where_it_is_told_to() {
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
    fn letters_count() {
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

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        for (url, shown) in [
            ("https://me:s3cret@h/a@b", "https://…@h/a@b"),
            ("https://h/a?x=@", "https://h/a?x=@"),
            ("none", "none"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
