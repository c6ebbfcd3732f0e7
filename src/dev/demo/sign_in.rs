//! The users of the demo page and their bearer tokens.

use anyhow::Context;
use axum::http::{HeaderMap, header};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::dev::demo_user::DEMO_USER;

/// The second user that is kept between runs.
const BO: Uuid = Uuid::from_u128(0x0de3_0000_0000_4000_8000_0000_0000_0002);

/// The lifetime of a token.
const LIFETIME: TimeDelta = TimeDelta::days(1);

/// The users to choose from.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DemoUser {
    /// The user of the sample messages.
    Ana,
    /// A second user, with no number and no items at first.
    Bo,
    /// A new user.
    New,
}

impl DemoUser {
    /// The user's id and name.
    pub(super) fn user(self) -> (Uuid, String) {
        match self {
            Self::Ana => (DEMO_USER, "Ana".to_owned()),
            Self::Bo => (BO, "Bo".to_owned()),
            Self::New => {
                let id = Uuid::new_v4();
                let name = format!("Guest {}", &id.simple().to_string()[..4]);
                (id, name)
            }
        }
    }
}

/// The claims of the app's tokens.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DemoClaims {
    user_id: Uuid,
    role: String,
    iat: i64,
    exp: i64,
}

/// Makes and reads tokens as the app does, with the receiver's secret.
pub(super) struct DemoTokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl DemoTokens {
    /// Uses `JWT_SECRET`.
    pub(super) fn new(secret: &SecretString) -> Self {
        let secret = secret.expose_secret().as_bytes();
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
        }
    }

    /// Returns a token for this user.
    pub(super) fn mint(&self, user_id: Uuid, now: DateTime<Utc>) -> anyhow::Result<String> {
        let claims = DemoClaims {
            user_id,
            role: "user".to_owned(),
            iat: now.timestamp(),
            exp: (now + LIFETIME).timestamp(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .context("cannot sign a token")
    }

    /// Returns the user of the request's token, if the token is valid.
    pub(super) fn user_of(&self, headers: &HeaderMap) -> Option<Uuid> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let token = value.strip_prefix("Bearer ")?;
        let validation = Validation::new(Algorithm::HS256);
        let token = jsonwebtoken::decode::<DemoClaims>(token, &self.decoding, &validation).ok()?;
        Some(token.claims.user_id)
    }
}
