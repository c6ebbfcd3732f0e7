//! `POST /api/user/phone-number/verify`: a user enters the code that they were sent.

use axum::{
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use sqlx::PgConnection;
use store::{
    E164,
    phone_number_claims::{self, Checked},
};
use uuid::Uuid;

use super::{
    Api, Inner,
    answer::Answer,
    body::Json,
    call::{Call, in_time},
    error::ApiError,
    idempotency::Repeat,
    number::Number,
    openapi::{Always, OfPosts},
    schema::{Code, Verified, VerifyRequest},
};
use crate::metrics::receiver::{self as metrics, Step};

/// Enter the code
///
/// If it is right, the number is the user's from now on. A code is good once, for a few minutes, and until it was guessed
/// at five times. Why a code is not taken is not told.
#[utoipa::path(
    post,
    path = "/api/user/phone-number/verify",
    operation_id = "verifyPhoneNumber",
    tag = "phone number",
    params(("Idempotency-Key" = inline(Option<String>), Header, nullable = false, max_length = 255,
        pattern = "^[!#-\\[\\]-~]{1,255}$",
        description = "Any text, new for each request. A repeat with the same key and body is answered as the first was, and does not count as a guess.")),
    request_body = VerifyRequest,
    responses(
        (status = 200, description = "The number is the user's", body = Verified),
        OfPosts,
        Always,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn verify(State(api): State<Api>, request: Request) -> Response {
    let (call, body) = Call::of("verify", request);
    call.answer("verify", Box::pin(api.0.verify(&call, body)))
        .await
}

/// What was entered.
struct Guess {
    user: Uuid,
    /// `None` if it is none, for which no code was ever sent.
    number: Option<E164>,
    code: String,
    repeat: Repeat,
}

impl Inner {
    async fn verify(&self, call: &Call, body: Body) -> Result<Answer, ApiError> {
        let user = self.user(call).await?;
        let json = Json::read(&call.head.headers, body).await?;
        let entered = json.text("phoneNumber").zip(json.text("code"));
        let (number, code) = entered.ok_or(ApiError::MissingFields)?;
        if code.len() != 6 || !code.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ApiError::InvalidCodeFormat);
        }
        let guess = Guess {
            user,
            number: Number::parse(number).ok().map(|number| number.e164),
            code: code.to_owned(),
            repeat: Repeat::of(call, &json.bytes)?,
        };
        in_time(async {
            let mut tx = self.begin(user).await?;
            let (answer, step) = self.judge(&mut tx, &guess).await?;
            tx.commit().await?; // a wrong guess, too: it counts
            step.into_iter().for_each(metrics::verification);
            Ok(answer)
        })
        .await
    }

    /// The answer, and what it is a step of, unless it was given before.
    async fn judge(
        &self,
        conn: &mut PgConnection,
        guess: &Guess,
    ) -> Result<(Answer, Option<Step>), ApiError> {
        let (keyring, user) = (&*self.keyring, guess.user);
        if let Some(before) = guess.repeat.answered_before(conn, keyring, user).await? {
            return Ok((before, None));
        }
        let checked = match &guess.number {
            Some(number) => {
                phone_number_claims::check(conn, keyring, user, number, &guess.code).await?
            }
            None => Checked::NoCode,
        };
        let step = match checked {
            Checked::Proved => Some(Step::Right),
            Checked::Wrong => Some(Step::Wrong),
            Checked::NoCode => Some(Step::NoCode),
            Checked::TooMany(_) => None,
        };
        let answer = match checked {
            Checked::Proved => {
                let body = Verified {
                    message: "Phone number verified successfully".to_owned(),
                    verified: true,
                };
                Answer::json("verified", StatusCode::OK, &body)?
            }
            Checked::Wrong | Checked::NoCode => {
                let failed = ApiError::VerificationFailed;
                let body = failed.refusal(Code::VerificationFailed);
                Answer::json(failed.label(), failed.status(), &body)?
            }
            Checked::TooMany(wait) => {
                let limit = "checks_hour";
                return Err(ApiError::RateLimited { limit, wait });
            }
        };
        guess.repeat.keep(conn, keyring, user, &answer).await?;
        Ok((answer, step))
    }
}
