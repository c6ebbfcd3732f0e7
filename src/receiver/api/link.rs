//! `POST /api/user/phone-number`: a user says that a number is theirs, and is sent a code to it.

use std::net::IpAddr;

use axum::{
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use jobs::SendVerification;
use queue::NewJob;
use sqlx::PgConnection;
use store::{
    phone_number_claims::{self, Issued},
    sends::{self, NewSend, Purpose},
    user_phone_numbers,
};
use uuid::Uuid;

use super::{
    Api, Inner,
    answer::Answer,
    body::Json,
    call::{Call, in_time},
    error::ApiError,
    idempotency::Repeat,
    limits::{self, Limits},
    number::Number,
    openapi::{Always, OfPosts},
    schema::{LinkRequest, Linked, Refusal},
};
use crate::metrics::receiver::{self as metrics, Step};

/// Link a phone number
///
/// Sends a code by SMS to the number, which is the user's once they have entered the code. To have another SMS sent, ask
/// again: while the code is good, the same one is sent. There may be a number of SMS only in a time, and a moment has
/// to pass between two.
///
/// The answer says nothing of whether the number is linked already, to whomever: `PHONE_NUMBER_ALREADY_LINKED` is never
/// answered. Whoever proves a number has it from then on.
#[utoipa::path(
    post,
    path = "/api/user/phone-number",
    operation_id = "linkPhoneNumber",
    tag = "phone number",
    params(("Idempotency-Key" = inline(Option<String>), Header, nullable = false, max_length = 255,
        pattern = "^[!#-\\[\\]-~]{1,255}$",
        description = "Any text, new for each request. A repeat with the same key and body is answered as the first was, and sends nothing.")),
    request_body = LinkRequest,
    responses(
        (status = 201, description = "A code is on its way", body = Linked),
        (status = 409, description = "The user has another number: unlink it first", body = Refusal),
        OfPosts,
        Always,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn link(State(api): State<Api>, request: Request) -> Response {
    let (call, body) = Call::of("link", request);
    call.answer("link", Box::pin(api.0.link(&call, body))).await
}

/// The outcome of a request that had a code sent, and was not answered before.
const LINKED: &str = "linked";

/// What is asked for.
struct Ask {
    user: Uuid,
    as_entered: String,
    number: Number,
    ip: IpAddr,
    repeat: Repeat,
    trace: String,
}

impl Inner {
    async fn link(&self, call: &Call, body: Body) -> Result<Answer, ApiError> {
        let user = self.user(call).await?;
        let json = Json::read(&call.head.headers, body).await?;
        let entered = json
            .text("phoneNumber")
            .ok_or(ApiError::MissingPhoneNumber)?;
        let number = Number::parse(entered)?;
        if !self.verification.countries.contains(&number.country) {
            return Err(ApiError::CountryNotAllowed);
        }
        let ask = Ask {
            user,
            as_entered: entered.to_owned(),
            number,
            ip: self.client_ip(call),
            repeat: Repeat::of(call, &json.bytes)?,
            trace: call.trace.clone(),
        };
        let answer = in_time(async {
            let mut tx = self.begin(user).await?;
            let answer = self.send_code(&mut tx, &ask).await?;
            tx.commit().await?;
            Ok(answer)
        })
        .await?;
        self.waker.wake();
        if answer.outcome == LINKED {
            metrics::verification(Step::Asked);
        }
        Ok(answer)
    }

    async fn send_code(&self, conn: &mut PgConnection, ask: &Ask) -> Result<Answer, ApiError> {
        let (keyring, user, number) = (&*self.keyring, ask.user, &ask.number.e164);
        if let Some(before) = ask.repeat.answered_before(conn, keyring, user).await? {
            return Ok(before);
        }
        if user_phone_numbers::has_another(conn, keyring, user, number).await? {
            return Err(ApiError::HasDifferentPhone);
        }
        let limits = Limits::of(&self.verification, user, &ask.number, ask.ip);
        limits.check(conn, keyring).await?;
        // The claim waits for whoever else is at work on this user; under the lock of all limits, all others would, too.
        let life = self.verification.code_life;
        let issued = phone_number_claims::claim(conn, keyring, user, number, life).await?;
        limits.lock(conn, keyring).await?;
        limits::check_resend(conn, keyring, user, &ask.number).await?;
        limits.record(conn, keyring).await?;
        self.enqueue(conn, ask, &issued).await?;
        let body = Linked {
            message: "Verification code sent to phone number".to_owned(),
            phone_number: ask.as_entered.clone(),
        };
        let answer = Answer::json(LINKED, StatusCode::CREATED, &body)?;
        ask.repeat.keep(conn, keyring, user, &answer).await?;
        Ok(answer)
    }

    async fn enqueue(
        &self,
        conn: &mut PgConnection,
        ask: &Ask,
        issued: &Issued,
    ) -> Result<(), ApiError> {
        let minutes = (issued.life.as_secs() / 60).max(1);
        let send = NewSend {
            user_id: ask.user,
            purpose: Purpose::Verification,
            to: ask.number.e164.clone(),
            body: self.verification.text(issued.code.as_str(), minutes),
            life: issued.life,
        };
        let send = sends::insert(conn, &self.keyring, &send).await?;
        let job = NewJob::of(&SendVerification { send })?.trace(Some(ask.trace.clone()));
        queue::enqueue_all(conn, &[job]).await?;
        tracing::info!(%send, "verification SMS enqueued");
        Ok(())
    }
}
