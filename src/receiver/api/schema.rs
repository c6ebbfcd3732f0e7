//! The JSON that goes in and out, as the `OpenAPI` document describes it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// A number to link.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "for the document; bodies are read member by member, to tell what is missing"
)]
pub(super) struct LinkRequest {
    /// In E.164 (+12025550143) or, for numbers of the US, without the +1. Spaces, hyphens and brackets may stand in it.
    #[schema(rename = "phoneNumber", example = "+12025550143", max_length = 64)]
    phone_number: String,
}

/// A code to prove a number with.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "for the document; bodies are read member by member, to tell what is missing"
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

/// The number is the user's.
#[derive(Serialize, ToSchema)]
pub(super) struct Verified {
    pub(super) message: String,
    pub(super) verified: bool,
}

/// The user's number, or the one that they are about to link.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_field_names,
    reason = "members are named as the front end knows them"
)]
pub(super) struct PhoneNumber {
    /// In E.164.
    #[schema(example = "+12025550143")]
    pub(super) phone_number: String,
    /// Whether its user has shown that they have it.
    pub(super) verified: bool,
    /// What became of the last SMS with a code to this number; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) delivery: Option<Delivery>,
    /// Until when the code can be entered; absent if there is none that could be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) code_expires_at: Option<DateTime<Utc>>,
}

/// What became of an SMS.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delivery {
    pub(super) state: DeliveryState,
    /// Why it failed, for the user to read; absent if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) reason: Option<String>,
    /// Since when it is so.
    pub(super) updated_at: DateTime<Utc>,
}

/// How far an SMS has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliveryState {
    /// It is about to be sent, or it is not known yet whether it was.
    Pending,
    /// The operator has it.
    Sent,
    /// The phone has it.
    Delivered,
    /// It will not arrive.
    Failed,
}

/// A refusal that the front end knows by its code.
#[derive(Serialize, ToSchema)]
pub(super) struct Refusal {
    /// A sentence for people.
    pub(super) error: String,
    pub(super) code: Code,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Code {
    /// `phoneNumber` is missing, empty or no text.
    MissingPhoneNumber,
    /// It is no phone number that codes can be sent to.
    InvalidPhoneNumber,
    /// Numbers of its country cannot be linked.
    CountryNotAllowed,
    /// Unlink the other one first.
    UserHasDifferentPhone,
    /// `phoneNumber` or `code` is missing, empty or no text.
    MissingFields,
    /// `code` is not six digits.
    InvalidCodeFormat,
    /// The code is wrong, has expired, was used, was guessed at too often, or was never sent.
    VerificationFailed,
    /// There is no number.
    PhoneNumberNotFound,
    /// Too much was asked for.
    RateLimited,
    /// There is no such path.
    NotFound,
    /// It is our fault.
    InternalError,
}

/// A refusal for now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RateLimited {
    /// A sentence for people.
    pub(super) error: String,
    /// Always `RATE_LIMITED`.
    pub(super) code: Code,
    /// Seconds until it is worth asking again, as in the header `Retry-After`.
    pub(super) retry_after: u64,
}

/// A refusal of whoever is not signed in.
#[derive(Serialize, ToSchema)]
pub(super) struct Unauthorized {
    /// A sentence for people.
    pub(super) error: String,
}

/// A problem (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    pub(super) r#type: String,
    /// The status in words.
    pub(super) title: String,
    /// The status.
    pub(super) status: u16,
    /// A sentence for people.
    pub(super) detail: String,
}
