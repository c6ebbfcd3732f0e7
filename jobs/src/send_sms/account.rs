//! Pauses a kind of job when Twilio refuses our account: no SMS can be sent then. The jobs wait, at
//! no cost in attempts, until an operator has fixed the account and resumes the kind.

use queue::admin;
use twilio::rest::TwilioAccountProblem;

use crate::{SendDeps, StepError};

/// Pauses the kind for all workers. `pigeonhole jobs stats` shows the reason and the cure.
pub(super) async fn pause(
    deps: &SendDeps,
    kind: &'static str,
    status: u16,
    code: Option<u32>,
    problem: TwilioAccountProblem,
) -> Result<(), StepError> {
    let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
    let reason = format!(
        "Twilio refuses our account (HTTP {status}, code {code}): {cure}; then `pigeonhole jobs resume {kind}`",
        cure = cure(problem),
    );
    let mut conn = deps.pool.acquire().await?;
    let pause = admin::pause(&mut conn, kind, Some(&reason)).await?;
    if pause.changed {
        tracing::error!(kind, problem = problem.label(), reason, "paused");
    }
    Ok(())
}

fn cure(problem: TwilioAccountProblem) -> &'static str {
    match problem {
        TwilioAccountProblem::Credentials => {
            "set TWILIO_ACCOUNT_SID and the first of TWILIO_AUTH_TOKEN to those of the account"
        }
        TwilioAccountProblem::Suspended => {
            "the account is suspended or closed: see Twilio's console"
        }
        TwilioAccountProblem::SenderNotUsable => {
            "set TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID to one that may send SMS"
        }
        TwilioAccountProblem::Registration => {
            "register the number for the country it sends to (A2P 10DLC, toll-free verification)"
        }
        TwilioAccountProblem::Trial => "upgrade the trial account",
        TwilioAccountProblem::Request => {
            "check VERIFICATION_MESSAGE and PUBLIC_BASE_URL, from which the request is made"
        }
    }
}
