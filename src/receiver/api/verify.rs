//! `POST /api/user/phone-number/verify`: a user enters the code of the SMS.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use sqlx::PgConnection;
use store::{
    E164,
    pending_verifications::{self, CodeCheck},
};
use uuid::Uuid;

use super::{
    error::ApiError,
    extractors::SignedInUser,
    idempotency::{IdempotencyKey, RepeatableRequest},
    json_body::JsonBody,
    number::SmsNumber,
    openapi::{AllResponses, PostResponses},
    response::ApiResponse,
    schema::{RefusalCode, Verified, VerifyRequest},
    state::{ApiState, in_time},
};
use crate::metrics::receiver::{self as metrics, VerificationStep};

/// Enter the code
///
/// If the code is right, the number is linked to the user. A code is valid once, for a few minutes,
/// and for at most five guesses. The response does not tell why a code is refused.
#[utoipa::path(
    post,
    path = "/api/user/phone-number/verify",
    operation_id = "verifyPhoneNumber",
    tag = "phone number",
    params(("Idempotency-Key" = inline(Option<String>), Header, nullable = false, max_length = 255,
        pattern = "^[!#-\\[\\]-~]{1,255}$",
        description = "Any text, new for each request. A repeat with the same key and body gets the response of the first request, and does not count as a guess.")),
    request_body = VerifyRequest,
    responses(
        (status = 200, description = "The number is linked to the user", body = Verified),
        PostResponses,
        AllResponses,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn verify(
    State(api): State<Arc<ApiState>>,
    SignedInUser(user): SignedInUser,
    key: Result<IdempotencyKey, ApiError>,
    body: JsonBody,
) -> Result<ApiResponse, ApiError> {
    let entered = body.text("phoneNumber").zip(body.text("code"));
    let (number, code) = entered.ok_or(ApiError::MissingFields)?;
    if code.len() != 6 || !code.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ApiError::InvalidCodeFormat);
    }
    let guess = CodeGuess {
        user,
        number: SmsNumber::parse(number).ok().map(|number| number.e164),
        code: code.to_owned(),
        repeatable: key?.with_body(&body.bytes),
    };
    in_time(async {
        let mut tx = api.begin(user).await?;
        let (response, step) = guess.check(&api, &mut tx).await?;
        tx.commit().await?; // also after a wrong guess: it counts
        step.into_iter().for_each(metrics::verification);
        Ok(response)
    })
    .await
}

/// The number and the code that a user entered.
struct CodeGuess {
    user: Uuid,
    /// `None` if it is no phone number. No code was ever sent to it.
    number: Option<E164>,
    code: String,
    repeatable: RepeatableRequest,
}

impl CodeGuess {
    /// Returns the response, and the step for metrics unless the request is a repeat.
    async fn check(
        &self,
        api: &ApiState,
        conn: &mut PgConnection,
    ) -> Result<(ApiResponse, Option<VerificationStep>), ApiError> {
        let (keyring, user) = (&*api.keyring, self.user);
        if let Some(earlier) = self
            .repeatable
            .earlier_response(conn, keyring, user)
            .await?
        {
            return Ok((earlier, None));
        }
        let checked = match &self.number {
            Some(number) => {
                pending_verifications::check(conn, keyring, user, number, &self.code).await?
            }
            None => CodeCheck::NoCode,
        };
        let (response, step) = match checked {
            CodeCheck::Proved => {
                let body = Verified {
                    message: "Phone number verified successfully".to_owned(),
                    verified: true,
                };
                let response = ApiResponse::json("verified", StatusCode::OK, &body)?;
                (response, VerificationStep::Right)
            }
            CodeCheck::Wrong => (verification_failed()?, VerificationStep::Wrong),
            CodeCheck::NoCode => (verification_failed()?, VerificationStep::NoCode),
            CodeCheck::TooMany(wait) => {
                let limit = "checks_hour";
                return Err(ApiError::RateLimited { limit, wait });
            }
        };
        self.repeatable
            .store_response(conn, keyring, user, &response)
            .await?;
        Ok((response, Some(step)))
    }
}

/// The refusal as a response that repeats get, too: the guess was counted.
fn verification_failed() -> Result<ApiResponse, ApiError> {
    let error = ApiError::VerificationFailed;
    let body = error.refusal(RefusalCode::VerificationFailed);
    ApiResponse::json(error.label(), error.status(), &body)
}
