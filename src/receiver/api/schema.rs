//! The JSON of requests and responses, as the `OpenAPI` document describes it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// A number to link.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "for the document; handlers read bodies member by member, to tell what is missing"
)]
pub(super) struct LinkRequest {
    /// In E.164 (+12025550143) or, for numbers of the US, without the +1. It may hold spaces,
    /// hyphens and brackets.
    #[schema(rename = "phoneNumber", example = "+12025550143", max_length = 64)]
    phone_number: String,
}

/// A code that verifies a number.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "for the document; handlers read bodies member by member, to tell what is missing"
)]
pub(super) struct VerifyRequest {
    /// The number as it was linked.
    #[schema(rename = "phoneNumber", example = "+12025550143", max_length = 64)]
    phone_number: String,
    /// The six digits of the SMS.
    #[schema(example = "123456", pattern = "^[0-9]{6}$")]
    code: String,
}

/// A code is on its way.
#[derive(Serialize, ToSchema)]
pub(super) struct Linked {
    pub(super) message: String,
    /// As it was entered.
    #[serde(rename = "phoneNumber")]
    pub(super) phone_number: String,
}

/// The number is linked to the user.
#[derive(Serialize, ToSchema)]
pub(super) struct Verified {
    pub(super) message: String,
    pub(super) verified: bool,
}

/// The user's number, or the number that they are about to link.
#[derive(Serialize, ToSchema)]
#[schema(as = PhoneNumber)]
#[serde(rename_all = "camelCase")]
pub(super) struct PhoneNumberBody {
    /// In E.164.
    #[schema(example = "+12025550143")]
    pub(super) phone_number: String,
    /// Whether the user has verified it.
    pub(super) verified: bool,
    /// The delivery of the last SMS with a code to this number; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) delivery: Option<SmsDelivery>,
    /// When the code expires; absent if there is no valid code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) code_expires_at: Option<DateTime<Utc>>,
}

/// The delivery of an SMS.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
#[serde(rename_all = "camelCase")]
pub(super) struct SmsDelivery {
    pub(super) state: DeliveryState,
    /// Why the delivery failed, as a sentence for the user; absent if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) reason: Option<String>,
    /// When this state began.
    pub(super) updated_at: DateTime<Utc>,
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliveryState {
    /// The SMS waits to be sent, or it is not known yet whether it was sent.
    Pending,
    /// The operator has the SMS.
    Sent,
    /// The phone has the SMS.
    Delivered,
    /// The SMS will not arrive.
    Failed,
}

/// A refusal that the front end knows by its code.
#[derive(Serialize, ToSchema)]
#[schema(as = Refusal)]
pub(super) struct ApiRefusal {
    /// A sentence for people.
    pub(super) error: String,
    pub(super) code: RefusalCode,
}

/// The reason of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Code)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum RefusalCode {
    /// `phoneNumber` is missing, blank or not a text.
    MissingPhoneNumber,
    /// It is not a phone number that can get a code.
    InvalidPhoneNumber,
    /// Numbers of its country cannot be linked.
    CountryNotAllowed,
    /// The user has another number: unlink it first.
    UserHasDifferentPhone,
    /// `phoneNumber` or `code` is missing, blank or not a text.
    MissingFields,
    /// `code` is not six digits.
    InvalidCodeFormat,
    /// The code is wrong, has expired, was used, had too many wrong guesses, or was never sent.
    VerificationFailed,
    /// The user has no number.
    PhoneNumberNotFound,
    /// A limit is used up.
    RateLimited,
    /// There is no such path.
    NotFound,
    /// An error of the server.
    InternalError,
}

/// A refusal that ends after a time.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RateLimited {
    /// A sentence for people.
    pub(super) error: String,
    /// Always `RATE_LIMITED`.
    pub(super) code: RefusalCode,
    /// Seconds until the request may be sent again, as in the header `Retry-After`.
    pub(super) retry_after: u64,
}

/// A refusal of a request without a valid token.
#[derive(Serialize, ToSchema)]
pub(super) struct Unauthorized {
    /// A sentence for people.
    pub(super) error: String,
}

/// A problem (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the status tells the kind of problem.
    pub(super) r#type: String,
    /// The status in words.
    pub(super) title: String,
    /// The status.
    pub(super) status: u16,
    /// A sentence for people.
    pub(super) detail: String,
}
