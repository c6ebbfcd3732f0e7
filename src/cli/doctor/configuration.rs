//! The settings: all that is wrong with them, and what is allowed and seldom meant.

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
        Ok(()) => vec![Finding::ok(CHECK, "all settings can be used")],
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

/// Twilio would speak to us in clear.
fn public_url(env: &Env) -> Option<Finding> {
    let receiver = Reader::read(env, ReceiverConfig::read).ok()?;
    let in_clear = receiver.public_base_url.starts_with("http://");
    in_clear.then(|| {
        Finding::warning(
            "public_url",
            "PUBLIC_BASE_URL begins with http://, so texts and numbers come from Twilio in clear",
            "put the receiver behind TLS and begin PUBLIC_BASE_URL with https://",
        )
    })
}

/// What of the settings a check needs; `None` if it is wrong, which [`check`] has told.
pub(super) fn part<T>(env: &Env, read: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> Option<T> {
    Reader::read(env, read).ok()
}

/// The settings of a check are wrong.
pub(super) fn unusable(check: &'static str) -> Finding {
    Finding::unchecked(
        check,
        "could not be checked: its settings are wrong, see configuration",
    )
}
