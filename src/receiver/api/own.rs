//! `GET` and `DELETE /api/user/phone-number`: a user looks at their number, or gives it up.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use sqlx::PgConnection;
use store::{
    E164, phone_number_claims,
    sends::{self, Purpose},
    user_phone_numbers,
};
use uuid::Uuid;

use super::{
    Api, Inner,
    answer::Answer,
    call::{Call, in_time},
    delivery,
    error::ApiError,
    openapi::Always,
    schema::{PhoneNumber, Refusal},
};

/// Why a send is ended that nobody has begun.
const CANCELLED: &str = "cancelled";

/// See the phone number
///
/// The user's number or, if they have none, the one that they are about to link, with what became of the last code sent
/// to it.
#[utoipa::path(
    get,
    path = "/api/user/phone-number",
    operation_id = "getPhoneNumber",
    tag = "phone number",
    responses(
        (status = 200, description = "The number", body = PhoneNumber),
        (status = 404, description = "There is none", body = Refusal),
        Always,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn show(State(api): State<Api>, request: Request) -> Response {
    let (call, _) = Call::of("show", request);
    call.answer("show", Box::pin(api.0.show(&call))).await
}

/// Unlink the phone number
///
/// At once, for messages too that have arrived and wait to be processed. What came of earlier ones stays. A number that
/// the user was about to link is forgotten.
#[utoipa::path(
    delete,
    path = "/api/user/phone-number",
    operation_id = "unlinkPhoneNumber",
    tag = "phone number",
    responses(
        (status = 204, description = "It is unlinked"),
        (status = 404, description = "There is none", body = Refusal),
        Always,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn unlink(State(api): State<Api>, request: Request) -> Response {
    let (call, _) = Call::of("unlink", request);
    call.answer("unlink", Box::pin(api.0.unlink(&call))).await
}

impl Inner {
    async fn show(&self, call: &Call) -> Result<Answer, ApiError> {
        let user = self.user(call).await?;
        let shown = in_time(async {
            let mut tx = self.begin(user).await?;
            let shown = self.number_of(&mut tx, user).await?;
            tx.commit().await?;
            Ok(shown)
        });
        Answer::json("shown", StatusCode::OK, &shown.await?)
    }

    async fn number_of(
        &self,
        conn: &mut PgConnection,
        user: Uuid,
    ) -> Result<PhoneNumber, ApiError> {
        let row = user_phone_numbers::of_user(conn, &self.keyring, user).await?;
        let verified = row.as_ref().is_some_and(|row| row.verified);
        let claim = if verified {
            None
        } else {
            phone_number_claims::of_user(conn, &self.keyring, user).await?
        };
        let (number, code_expires_at): (E164, _) = match (claim, row) {
            (Some(claim), _) => (claim.number, claim.code_expires_at),
            (None, Some(row)) => (row.number.ok_or(ApiError::NumberDoesNotOpen)?, None),
            (None, None) => return Err(ApiError::PhoneNumberNotFound),
        };
        let purpose = Purpose::Verification;
        let progress = sends::last_to(conn, &self.keyring, user, purpose, &number).await?;
        Ok(PhoneNumber {
            phone_number: number.as_str().to_owned(),
            verified,
            delivery: progress.as_ref().map(delivery::of),
            code_expires_at,
        })
    }

    async fn unlink(&self, call: &Call) -> Result<Answer, ApiError> {
        let user = self.user(call).await?;
        in_time(async {
            let mut tx = self.begin(user).await?;
            let numbers = user_phone_numbers::unlink_user(&mut tx, user).await?;
            let claimed = phone_number_claims::remove(&mut tx, user).await?;
            if numbers == 0 && !claimed {
                return Err(ApiError::PhoneNumberNotFound);
            }
            sends::cancel_pending(&mut tx, user, CANCELLED).await?;
            tx.commit().await?;
            Ok(Answer::empty("unlinked"))
        })
        .await
    }
}
