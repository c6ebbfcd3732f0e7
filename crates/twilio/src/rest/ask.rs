//! Requests that read or change the account's settings. All of them may safely be repeated.

use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

use super::{Client, MAX_ANSWER, Unread, error, read_body, retry_after};
use crate::rest::{CreateError, TwilioAccountProblem, Unclear};

/// Why a request about the account failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There was no connection.
    #[error("there is no connection to Twilio's API")]
    NoConnection,
    /// The answer was incomplete, or a 5xx.
    #[error("Twilio's API does not answer correctly: {}", .0.label())]
    Unavailable(Unclear),
    /// Too many requests.
    #[error("Twilio has had too many requests")]
    Throttled,
    /// The resource does not exist, or belongs to another account.
    #[error("Twilio does not know it, or not in this account")]
    NotThere,
    /// Twilio refuses the request.
    #[error("Twilio refuses us: {} (HTTP {status}, code {})", reason.label(), error::shown(*code))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Twilio's code, if its answer has one.
        code: Option<u32>,
        /// The meaning of the code.
        reason: TwilioAccountProblem,
    },
    /// The answer is not in Twilio's format.
    #[error("the answer is not from Twilio's API, or from an unknown version of it")]
    Unreadable,
}

impl From<CreateError> for AskError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::NotProcessed {
                why: super::NotProcessed::NoConnection,
                ..
            } => Self::NoConnection,
            CreateError::NotProcessed { .. } => Self::Throttled,
            CreateError::Unclear(why) => Self::Unavailable(why),
            CreateError::Account {
                status,
                code,
                reason,
            } => Self::Refused {
                status,
                code,
                reason,
            },
            CreateError::Refused { status, code, .. } => Self::Refused {
                status,
                code,
                reason: TwilioAccountProblem::Request,
            },
        }
    }
}

impl Client {
    /// Sends the request and parses its JSON answer.
    pub(super) async fn answer<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, AskError> {
        let failed = |error: &reqwest::Error| AskError::from(error::of_failure(error));
        let mut answer = self.0.ask(request).await.map_err(|error| failed(&error))?;
        let status = answer.status();
        let body = read_body(&mut answer, MAX_ANSWER).await;
        if status == StatusCode::NOT_FOUND {
            return Err(AskError::NotThere);
        }
        if !status.is_success() {
            let body = body.unwrap_or_default();
            let error = error::of_answer(status.as_u16(), retry_after(&answer), &body);
            return Err(error.into());
        }
        let body = body.map_err(|error| match error {
            Unread::Failed(error) => failed(&error),
            Unread::TooLong => AskError::Unreadable,
        })?;
        serde_json::from_slice(&body).map_err(|_| AskError::Unreadable)
    }
}
