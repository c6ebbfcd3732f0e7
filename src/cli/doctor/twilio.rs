//! Checks the account at Twilio: the credentials, the token that signs webhooks, and the state of
//! the account.

use ::twilio::rest::{
    AccountStatus, AskError, Client, Credentials, TwilioAccount, TwilioAccountProblem,
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    api_error::{COPY_TOKEN, SEE_CONSOLE, finding_of},
    configuration::{part, unusable},
    finding::Finding,
    fix::TwilioFix,
    number, recovery,
};
use crate::{
    config::{Env, TwilioConfig},
    services::Role,
};

const CREDENTIALS: &str = "twilio_credentials";
const SIGNING: &str = "twilio_signing";
const ACCOUNT: &str = "twilio_account";

/// All findings about Twilio, and the changes that would correct them.
pub(super) async fn check(env: &Env, role: Role) -> (Vec<Finding>, Option<TwilioFix>) {
    let Some(config) = part(env, TwilioConfig::read) else {
        return (vec![unusable(CREDENTIALS)], None);
    };
    let (mut findings, accepted) = match credentials(&config).await {
        Ok(found) => found,
        Err(finding) => return (vec![finding], None),
    };
    let Some((client, account)) = accepted else {
        return (findings, None);
    };
    findings.push(signing(&config, &account));
    findings.extend(retired(&config).await);
    findings.extend(standing(&account));
    let (more, fix) = number::check(env, role, &config, client.clone()).await;
    findings.extend(more);
    if role != Role::Receiver {
        findings.extend(recovery::check(env, &client).await);
    }
    (findings, fix)
}

fn client(config: &TwilioConfig, token: &SecretString) -> Result<Client, Finding> {
    let credentials = Credentials {
        account: config.account_sid.clone(),
        username: config.account_sid.to_string(),
        secret: token.clone(),
    };
    Client::new(config.api_base_url.clone(), credentials)
        .map_err(|error| Finding::failed(CREDENTIALS, error))
}

/// Tries each token. Pigeonhole uses the first one to send.
async fn credentials(
    config: &TwilioConfig,
) -> Result<(Vec<Finding>, Option<(Client, TwilioAccount)>), Finding> {
    let mut results = Vec::new();
    for token in &config.auth_tokens {
        let client = client(config, token)?;
        let result = client.account().await;
        results.push((token, client, result));
    }
    let other = results
        .iter()
        .skip(1)
        .position(|(_, _, result)| result.is_ok());
    let mut findings = Vec::new();
    for (at, (token, _, result)) in results.iter().enumerate() {
        findings.push(match result {
            Ok(_) if at == 0 => Finding::ok(
                CREDENTIALS,
                "Twilio accepts the account's SID and auth token",
            ),
            Ok(_) => continue,
            Err(error) => refused(at, token, *error, other),
        });
    }
    let accepted = results
        .into_iter()
        .find_map(|(_, client, result)| Some((client, result.ok()?)));
    Ok((findings, accepted))
}

fn refused(at: usize, token: &SecretString, error: AskError, other: Option<usize>) -> Finding {
    let credentials = matches!(
        error,
        AskError::NotThere
            | AskError::Refused {
                reason: TwilioAccountProblem::Credentials,
                ..
            }
    );
    if !credentials {
        return finding_of(CREDENTIALS, error);
    }
    if at > 0 {
        let says = format!("token number {} in TWILIO_AUTH_TOKEN is not valid", at + 1);
        let fix = "move it to TWILIO_AUTH_TOKENS_RETIRED: the log then reports requests that still use it";
        return Finding::warning(CREDENTIALS, says, fix);
    }
    if !is_auth_token(token) {
        return Finding::fault(
            CREDENTIALS,
            "Twilio refuses TWILIO_AUTH_TOKEN, which does not look like an auth token: an auth token has 32 digits from \
             0 to 9 and a to f. It looks like the secret of an API key, and API keys never sign webhooks",
            COPY_TOKEN,
        );
    }
    match other {
        Some(other) => Finding::fault(
            CREDENTIALS,
            format!(
                "Twilio refuses the first token in TWILIO_AUTH_TOKEN, which Pigeonhole uses to send, and accepts token number {}",
                other + 2
            ),
            "put the accepted token first in TWILIO_AUTH_TOKEN, and move the other to TWILIO_AUTH_TOKENS_RETIRED",
        ),
        None => Finding::fault(
            CREDENTIALS,
            "Twilio refuses TWILIO_ACCOUNT_SID with TWILIO_AUTH_TOKEN (code 20003): the token was changed, or it \
             belongs to another account",
            COPY_TOKEN,
        ),
    }
}

fn is_auth_token(token: &SecretString) -> bool {
    let token = token.expose_secret();
    let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    token.len() == 32 && token.bytes().all(digit)
}

/// Whether the receiver accepts the token that signs webhooks.
fn signing(config: &TwilioConfig, account: &TwilioAccount) -> Finding {
    let primary = |tokens: &[SecretString]| {
        tokens
            .iter()
            .position(|token| account.is_primary(token) == Some(true))
    };
    let is_known = config
        .auth_tokens
        .first()
        .is_some_and(|token| account.is_primary(token).is_some());
    match (is_known, primary(&config.auth_tokens)) {
        (false, _) => Finding::ok(SIGNING, "Twilio does not report which token signs webhooks"),
        (true, Some(0)) => Finding::ok(
            SIGNING,
            "TWILIO_AUTH_TOKEN is the primary auth token, which signs webhooks",
        ),
        (true, Some(at)) => Finding::ok(
            SIGNING,
            format!(
                "token number {} in TWILIO_AUTH_TOKEN is the primary auth token, which signs webhooks",
                at + 1
            ),
        ),
        (true, None) if primary(&config.retired_tokens).is_some() => Finding::fault(
            SIGNING,
            "Twilio signs webhooks with the account's primary auth token, which is among TWILIO_AUTH_TOKENS_RETIRED: \
             the receiver refuses all of them",
            "move it back to TWILIO_AUTH_TOKEN until the new token is the primary one",
        ),
        (true, None) => Finding::fault(
            SIGNING,
            "TWILIO_AUTH_TOKEN is the account's secondary token. Twilio signs webhooks with the primary token, so the \
             receiver refuses all of them",
            "add the primary auth token to TWILIO_AUTH_TOKEN after a comma, or promote the secondary one in Twilio's \
             console",
        ),
    }
}

/// A retired token should not give access to the account any more.
async fn retired(config: &TwilioConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, token) in config.retired_tokens.iter().enumerate() {
        let Ok(client) = client(config, token) else {
            continue;
        };
        if client.account().await.is_ok() {
            findings.push(Finding::warning(
                "twilio_retired_tokens",
                format!(
                    "token number {} in TWILIO_AUTH_TOKENS_RETIRED still gives access to the account",
                    at + 1
                ),
                "delete the secondary auth token in Twilio's console, or promote it",
            ));
        }
    }
    findings
}

fn standing(account: &TwilioAccount) -> Vec<Finding> {
    let mut findings = vec![match account.status {
        AccountStatus::Active => Finding::ok(ACCOUNT, "the account is active"),
        AccountStatus::Suspended => Finding::fault(
            ACCOUNT,
            "the account is suspended: Twilio sends and receives no SMS",
            SEE_CONSOLE,
        ),
        AccountStatus::Closed => Finding::fault(
            ACCOUNT,
            "the account is closed",
            "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN to those of another account",
        ),
        AccountStatus::Other => Finding::warning(
            ACCOUNT,
            "Twilio reports a state of the account that is not active",
            SEE_CONSOLE,
        ),
    }];
    if account.trial {
        findings.push(Finding::warning(
            ACCOUNT,
            "it is a trial account, which sends only to numbers that it has verified",
            "upgrade the account in Twilio's console",
        ));
    }
    findings
}
