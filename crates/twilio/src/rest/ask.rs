//! Asking about the account and its settings, and changing those. All of it may be asked twice
//! without harm.

use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

use super::{Client, Unread, error, read, retry_after};
use crate::rest::{AccountProblem, CreateError, Unclear};

/// Why Twilio has not answered a question about the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There was no connection.
    #[error("there is no connection to Twilio's API")]
    NoConnection,
    /// No whole answer, or a 5xx.
    #[error("Twilio's API does not answer as it should: {}", .0.label())]
    Unavailable(Unclear),
    /// Too many requests.
    #[error("Twilio has had too many requests")]
    Throttled,
    /// What was asked for is not there, or not this account's.
    #[error("Twilio does not have it, or not in this account")]
    NotThere,
    /// Twilio does not let us.
    #[error("Twilio refuses us: {} (HTTP {status}, code {})", reason.label(), error::shown(*code))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Twilio's code, if its answer has one.
        code: Option<u32>,
        /// What it means.
        reason: AccountProblem,
    },
    /// Not what Twilio answers.
    #[error("what answers is not Twilio's API, or one that we do not know")]
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
                reason: AccountProblem::Request,
            },
        }
    }
}

impl Client {
    /// What the request is answered with, as JSON.
    pub(super) async fn answer<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, AskError> {
        let failed = |error: &reqwest::Error| AskError::from(error::of_failure(error));
        let mut answer = self.0.ask(request).await.map_err(|error| failed(&error))?;
        let status = answer.status();
        let body = read(&mut answer).await;
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
