//! The account at Twilio: are our credentials its own, does it sign with a token that we take, is it active?

use ::twilio::rest::{
    AccountStatus, AskError, Client, Credentials, TwilioAccount, TwilioAccountProblem,
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    configuration::{part, unusable},
    finding::Finding,
    fix::Plan,
    number,
};
use crate::{
    config::{Env, TwilioConfig},
    services::Role,
};

const CREDENTIALS: &str = "twilio_credentials";
const SIGNING: &str = "twilio_signing";
const ACCOUNT: &str = "twilio_account";

/// Where tokens are shown.
const CONSOLE: &str = "copy the auth token from Twilio's console (TwilioAccount, API keys & tokens) into TWILIO_AUTH_TOKEN";

/// All about Twilio, and what would have to change there.
pub(super) async fn check(env: &Env, role: Role) -> (Vec<Finding>, Option<Plan>) {
    let Some(config) = part(env, TwilioConfig::read) else {
        return (vec![unusable(CREDENTIALS)], None);
    };
    let (mut findings, accepted) = match credentials(&config).await {
        Ok(answered) => answered,
        Err(finding) => return (vec![finding], None),
    };
    let Some((client, account)) = accepted else {
        return (findings, None);
    };
    findings.push(signing(&config, &account));
    findings.extend(retired(&config).await);
    findings.extend(standing(&account));
    let (more, plan) = number::check(env, role, &config, client).await;
    findings.extend(more);
    (findings, plan)
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

/// Tries each token. The first is the one that is used.
async fn credentials(
    config: &TwilioConfig,
) -> Result<(Vec<Finding>, Option<(Client, TwilioAccount)>), Finding> {
    let mut answers = Vec::new();
    for token in &config.auth_tokens {
        let client = client(config, token)?;
        let answer = client.account().await;
        answers.push((token, client, answer));
    }
    let works = |answer: &Result<TwilioAccount, AskError>| answer.is_ok();
    let other = answers
        .iter()
        .skip(1)
        .position(|(_, _, answer)| works(answer));
    let mut findings = Vec::new();
    for (at, (token, _, answer)) in answers.iter().enumerate() {
        findings.push(match answer {
            Ok(_) if at == 0 => {
                Finding::ok(CREDENTIALS, "Twilio takes the account's SID and auth token")
            }
            Ok(_) => continue,
            Err(error) => refused(at, token, *error, other),
        });
    }
    let accepted = answers
        .into_iter()
        .find_map(|(_, client, answer)| Some((client, answer.ok()?)));
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
        return trouble(CREDENTIALS, error);
    }
    if at > 0 {
        let says = format!(
            "number {} of TWILIO_AUTH_TOKEN is not valid, or not any more",
            at + 1
        );
        let fix = "move it to TWILIO_AUTH_TOKENS_RETIRED, so that the log can name it when it is still in use";
        return Finding::warning(CREDENTIALS, says, fix);
    }
    if !is_auth_token(token) {
        return Finding::fault(
            CREDENTIALS,
            "Twilio refuses TWILIO_AUTH_TOKEN, which does not look like an auth token: that has 32 digits from 0 to 9 \
             and a to f. The secret of an API key looks like this; API keys never sign webhooks",
            CONSOLE,
        );
    }
    match other {
        Some(other) => Finding::fault(
            CREDENTIALS,
            format!(
                "Twilio refuses the first of TWILIO_AUTH_TOKEN, with which SMS are sent, and takes number {}",
                other + 2
            ),
            "put the one that is taken first in TWILIO_AUTH_TOKEN, and the other in TWILIO_AUTH_TOKENS_RETIRED",
        ),
        None => Finding::fault(
            CREDENTIALS,
            "Twilio refuses TWILIO_ACCOUNT_SID with TWILIO_AUTH_TOKEN (code 20003): the token was changed, or is \
             another account's",
            CONSOLE,
        ),
    }
}

fn is_auth_token(token: &SecretString) -> bool {
    let token = token.expose_secret();
    let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    token.len() == 32 && token.bytes().all(digit)
}

/// What keeps us from asking, or Twilio from answering.
pub(super) fn trouble(check: &'static str, error: AskError) -> Finding {
    let says = format!("{error}");
    match error {
        AskError::NoConnection => Finding::fault(
            check,
            says,
            "let this machine connect to api.twilio.com and messaging.twilio.com by HTTPS, and resolve their names; \
             see TWILIO_API_BASE_URL",
        ),
        AskError::Refused {
            reason: TwilioAccountProblem::Suspended,
            ..
        } => Finding::fault(check, says, REVIVE),
        AskError::Refused { .. } => Finding::fault(check, says, CONSOLE),
        AskError::Unreadable => Finding::fault(
            check,
            says,
            "set TWILIO_API_BASE_URL to https://api.twilio.com, or leave it out",
        ),
        AskError::Unavailable(_) | AskError::Throttled | AskError::NotThere => {
            Finding::unchecked(check, format!("could not be checked: {says}"))
        }
    }
}

/// Is the token that signs webhooks among those that we take?
fn signing(config: &TwilioConfig, account: &TwilioAccount) -> Finding {
    let primary = |tokens: &[SecretString]| {
        tokens
            .iter()
            .position(|token| account.is_primary(token) == Some(true))
    };
    let told = config
        .auth_tokens
        .first()
        .is_some_and(|token| account.is_primary(token).is_some());
    match (told, primary(&config.auth_tokens)) {
        (false, _) => Finding::ok(SIGNING, "Twilio does not tell which token signs webhooks"),
        (true, Some(0)) => Finding::ok(
            SIGNING,
            "TWILIO_AUTH_TOKEN is the primary auth token, which signs webhooks",
        ),
        (true, Some(at)) => Finding::ok(
            SIGNING,
            format!(
                "number {} of TWILIO_AUTH_TOKEN is the primary auth token, which signs webhooks",
                at + 1
            ),
        ),
        (true, None) if primary(&config.retired_tokens).is_some() => Finding::fault(
            SIGNING,
            "webhooks are signed with the account's primary auth token, which is among TWILIO_AUTH_TOKENS_RETIRED: all \
             are refused",
            "move it back to TWILIO_AUTH_TOKEN until the new token is the primary one",
        ),
        (true, None) => Finding::fault(
            SIGNING,
            "TWILIO_AUTH_TOKEN is the account's secondary token. Webhooks are signed with the primary one, so all are \
             refused",
            "add the primary auth token to TWILIO_AUTH_TOKEN after a comma, or promote the secondary one in Twilio's \
             console",
        ),
    }
}

/// Tokens that nobody is to use any more should not open the account either.
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
                    "number {} of TWILIO_AUTH_TOKENS_RETIRED still opens the account",
                    at + 1
                ),
                "delete the secondary auth token in Twilio's console, or promote it",
            ));
        }
    }
    findings
}

const REVIVE: &str = "see Twilio's console: a suspended account mostly wants money";

fn standing(account: &TwilioAccount) -> Vec<Finding> {
    let mut findings = vec![match account.status {
        AccountStatus::Active => Finding::ok(ACCOUNT, "the account is active"),
        AccountStatus::Suspended => Finding::fault(
            ACCOUNT,
            "the account is suspended: no SMS is sent, and none comes in",
            REVIVE,
        ),
        AccountStatus::Closed => Finding::fault(
            ACCOUNT,
            "the account is closed",
            "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN to those of another account",
        ),
        AccountStatus::Other => {
            Finding::warning(ACCOUNT, "Twilio does not call the account active", REVIVE)
        }
    }];
    if account.trial {
        findings.push(Finding::warning(
            ACCOUNT,
            "it is a trial account, which sends to numbers only that it has verified",
            "upgrade the account in Twilio's console",
        ));
    }
    findings
}
