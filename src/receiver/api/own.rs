//! `GET` and `DELETE /api/user/phone-number`: a user looks at their number, or unlinks it.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use sqlx::PgConnection;
use store::{
    E164, pending_verifications,
    sends::{self, Purpose},
    user_phone_numbers,
};
use uuid::Uuid;

use super::{
    delivery,
    error::ApiError,
    extractors::SignedInUser,
    openapi::AllResponses,
    response::ApiResponse,
    schema::{ApiRefusal, PhoneNumberBody},
    state::{ApiState, in_time},
};

/// The reason of a send that was cancelled before a worker began it.
const CANCELLED: &str = "cancelled";

/// See the phone number
///
/// The user's number or, if they have none, the number that they are about to link, with the
/// delivery of the last code sent to it.
#[utoipa::path(
    get,
    path = "/api/user/phone-number",
    operation_id = "getPhoneNumber",
    tag = "phone number",
    responses(
        (status = 200, description = "The number", body = PhoneNumberBody),
        (status = 404, description = "The user has no number", body = ApiRefusal),
        AllResponses,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn show(
    State(api): State<Arc<ApiState>>,
    SignedInUser(user): SignedInUser,
) -> Result<ApiResponse, ApiError> {
    let number = in_time(async {
        let mut tx = api.begin(user).await?;
        let number = number_of(&api, &mut tx, user).await?;
        tx.commit().await?;
        Ok(number)
    });
    ApiResponse::json("shown", StatusCode::OK, &number.await?)
}

/// Unlink the phone number
///
/// Takes effect at once, also for messages that have arrived and wait to be processed. Items of
/// earlier messages stay. A number that the user was about to link is deleted.
#[utoipa::path(
    delete,
    path = "/api/user/phone-number",
    operation_id = "unlinkPhoneNumber",
    tag = "phone number",
    responses(
        (status = 204, description = "The number is unlinked"),
        (status = 404, description = "The user has no number", body = ApiRefusal),
        AllResponses,
    ),
    security(("bearer" = [])),
)]
pub(super) async fn unlink(
    State(api): State<Arc<ApiState>>,
    SignedInUser(user): SignedInUser,
) -> Result<ApiResponse, ApiError> {
    in_time(async {
        let mut tx = api.begin(user).await?;
        let numbers = user_phone_numbers::unlink_user(&mut tx, user).await?;
        let was_pending = pending_verifications::remove(&mut tx, user).await?;
        if numbers == 0 && !was_pending {
            // The number may be gone because of an earlier request whose response was lost. So its
            // effect must not be lost either.
            store::wait_at_commit(&mut tx).await?;
            tx.commit().await?;
            return Err(ApiError::PhoneNumberNotFound);
        }
        sends::cancel_pending(&mut tx, user, CANCELLED).await?;
        tx.commit().await?;
        Ok(ApiResponse::empty("unlinked"))
    })
    .await
}

async fn number_of(
    api: &ApiState,
    conn: &mut PgConnection,
    user: Uuid,
) -> Result<PhoneNumberBody, ApiError> {
    let row = user_phone_numbers::of_user(conn, &api.keyring, user).await?;
    let verified = row.as_ref().is_some_and(|row| row.verified);
    let pending = if verified {
        None
    } else {
        pending_verifications::of_user(conn, &api.keyring, user).await?
    };
    let (number, code_expires_at): (E164, _) = match (pending, row) {
        (Some(pending), _) => (pending.number, pending.code_expires_at),
        (None, Some(row)) => (row.number.ok_or(ApiError::NumberDoesNotOpen)?, None),
        (None, None) => return Err(ApiError::PhoneNumberNotFound),
    };
    let purpose = Purpose::Verification;
    let progress = sends::last_to(conn, &api.keyring, user, purpose, &number).await?;
    Ok(PhoneNumberBody {
        phone_number: number.as_str().to_owned(),
        verified,
        delivery: progress.as_ref().map(delivery::of),
        code_expires_at,
    })
}
