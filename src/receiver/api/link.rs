//! `POST /api/user/phone-number`: a user asks to link a number and gets a code by SMS to that
//! number.

use std::{net::IpAddr, sync::Arc};

use axum::{Extension, extract::State, http::StatusCode};
use sqlx::PgConnection;
use store::{
    pending_verifications::{self, IssuedCode},
    sends::{self, NewVerification},
    user_phone_numbers,
};
use uuid::Uuid;

use super::{
    error::ApiError,
    extractors::{ClientAddress, SignedInUser},
    idempotency::{IdempotencyKey, RepeatableRequest},
    json_body::JsonBody,
    limits::{self, VerificationLimits},
    number::SmsNumber,
    observe::RequestTrace,
    openapi::{AllResponses, PostResponses},
    response::ApiResponse,
    schema::{ApiRefusal, LinkRequest, Linked},
    state::{ApiState, in_time},
};
use crate::metrics::receiver::{self as metrics, VerificationStep};

/// Link a phone number
///
/// Sends a code by SMS to the number. The number is linked once the user has entered the code. To
/// have another SMS sent, send the request again: while the code is valid, the SMS holds the same
/// code. The number of SMS in a time is limited, and there is a pause between two.
///
/// The response does not tell whether the number is linked to any user:
/// `PHONE_NUMBER_ALREADY_LINKED` is never returned. A user who enters the code gets the number,
/// even if another user had it.
#[utoipa::path(
    post,
    path = "/api/user/phone-number",
    operation_id = "linkPhoneNumber",
    tag = "phone number",
    params(("Idempotency-Key" = inline(Option<String>), Header, nullable = false, max_length = 255,
        pattern = "^[!#-\\[\\]-~]{1,255}$",
        description = "Any text, new for each request. A repeat with the same key and body gets the response of the first request, and sends nothing.")),
    request_body = LinkRequest,
    responses(
        (status = 201, description = "A code is on its way", body = Linked),
        (status = 409, description = "The user has another number: unlink it first", body = ApiRefusal),
        PostResponses,
        AllResponses,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn link(
    State(api): State<Arc<ApiState>>,
    Extension(RequestTrace(trace)): Extension<RequestTrace>,
    SignedInUser(user): SignedInUser,
    ClientAddress(address): ClientAddress,
    key: Result<IdempotencyKey, ApiError>,
    body: JsonBody,
) -> Result<ApiResponse, ApiError> {
    let entered = body
        .text("phoneNumber")
        .ok_or(ApiError::MissingPhoneNumber)?;
    let number = SmsNumber::parse(entered)?;
    if !api.verification.countries.contains(&number.country) {
        return Err(ApiError::CountryNotAllowed);
    }
    let request = CheckedLinkRequest {
        user,
        as_entered: entered.to_owned(),
        number,
        address,
        repeatable: key?.with_body(&body.bytes),
        trace,
    };
    let response = in_time(async {
        let mut tx = api.begin(user).await?;
        let response = request.send_code(&api, &mut tx).await?;
        tx.commit().await?;
        Ok(response)
    })
    .await?;
    api.waker.wake();
    if response.outcome == LINKED {
        metrics::verification(VerificationStep::Asked);
    }
    Ok(response)
}

/// The outcome of a request that had a code sent and is no repeat.
const LINKED: &str = "linked";

/// A request whose fields are valid.
struct CheckedLinkRequest {
    user: Uuid,
    as_entered: String,
    number: SmsNumber,
    address: IpAddr,
    repeatable: RepeatableRequest,
    trace: String,
}

impl CheckedLinkRequest {
    async fn send_code(
        &self,
        api: &ApiState,
        conn: &mut PgConnection,
    ) -> Result<ApiResponse, ApiError> {
        let (keyring, user, number) = (&*api.keyring, self.user, &self.number.e164);
        if let Some(earlier) = self
            .repeatable
            .earlier_response(conn, keyring, user)
            .await?
        {
            return Ok(earlier);
        }
        if user_phone_numbers::has_another(conn, keyring, user, number).await? {
            return Err(ApiError::HasDifferentPhone);
        }
        let limits = VerificationLimits::of(&api.verification, user, &self.number, self.address);
        limits.check(conn, keyring).await?;
        // This waits for other requests of the same user, so it comes before the lock of all
        // limits: under that lock, the requests of all users would wait, too.
        let life = api.verification.code_life;
        let issued = pending_verifications::issue_code(conn, keyring, user, number, life).await?;
        limits.lock(conn, keyring).await?;
        limits::check_resend(conn, keyring, user, &self.number).await?;
        limits.record(conn, keyring).await?;
        self.enqueue_send(api, conn, &issued).await?;
        let body = Linked {
            message: "Verification code sent to phone number".to_owned(),
            phone_number: self.as_entered.clone(),
        };
        let response = ApiResponse::json(LINKED, StatusCode::CREATED, &body)?;
        self.repeatable
            .store_response(conn, keyring, user, &response)
            .await?;
        Ok(response)
    }

    async fn enqueue_send(
        &self,
        api: &ApiState,
        conn: &mut PgConnection,
        issued: &IssuedCode,
    ) -> Result<(), ApiError> {
        let minutes = (issued.life.as_secs() / 60).max(1);
        let send = NewVerification {
            user_id: self.user,
            to: self.number.e164.clone(),
            body: api.verification.text(issued.code.as_str(), minutes),
            life: issued.life,
            trace: Some(self.trace.clone()),
        };
        let send = sends::enqueue_verification(conn, &api.keyring, &send).await?;
        tracing::info!(%send, "verification SMS enqueued");
        Ok(())
    }
}
