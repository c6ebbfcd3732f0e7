//! Checks the settings: reports every wrong one, and those that are allowed but rarely intended.

use super::finding::Finding;
use crate::{
    config::{Env, LogConfig, Reader, ReceiverConfig},
    services::{Role, ServicesConfig},
};

const CHECK: &str = "configuration";

pub(super) fn check(env: &Env, role: Role) -> Vec<Finding> {
    let read = Reader::read(env, |r| {
        let (log, services) = (LogConfig::read(r), ServicesConfig::read(r, role));
        log.and(services).map(drop)
    });
    let mut findings = match read {
        Ok(()) => vec![Finding::ok(CHECK, "all settings are valid")],
        Err(mistakes) => {
            let fix = "set it in the environment or in .env; .env.example explains each setting";
            let mistakes = mistakes.iter();
            mistakes
                .map(|mistake| Finding::fault(CHECK, mistake, fix))
                .collect()
        }
    };
    findings.extend(public_url(env));
    findings
}

/// Without TLS, Twilio would send texts and numbers unencrypted.
fn public_url(env: &Env) -> Option<Finding> {
    let receiver = Reader::read(env, ReceiverConfig::read).ok()?;
    let in_clear = receiver.public_base_url.starts_with("http://");
    in_clear.then(|| {
        Finding::warning(
            "public_url",
            "PUBLIC_BASE_URL begins with http://, so Twilio sends texts and numbers unencrypted",
            "put the receiver behind TLS and begin PUBLIC_BASE_URL with https://",
        )
    })
}

/// The settings that one check needs. `None` if they are wrong; [`check`] has reported that.
pub(super) fn part<T>(env: &Env, read: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> Option<T> {
    Reader::read(env, read).ok()
}

/// The finding of a check whose settings are wrong.
pub(super) fn unusable(check: &'static str) -> Finding {
    Finding::unchecked(
        check,
        "could not be checked: its settings are wrong, see configuration",
    )
}
