//! Who may sign in on the demo page, and the bearer tokens that stand for them.

use anyhow::Context;
use axum::http::{HeaderMap, header};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::dev::DEMO_USER;

/// The second user who is kept between runs.
const BO: Uuid = Uuid::from_u128(0x0de3_0000_0000_4000_8000_0000_0000_0002);

/// How long somebody stays signed in.
const LIFE: TimeDelta = TimeDelta::days(1);

/// Whom somebody wants to be.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Guest {
    /// The demo user, whose number the samples come from.
    Ana,
    /// Another one, who has nothing yet.
    Bo,
    /// One who was never there before.
    New,
}

impl Guest {
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

/// What the app's own tokens say.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    user_id: Uuid,
    role: String,
    iat: i64,
    exp: i64,
}

/// Makes tokens as the app does, with the secret that the receiver checks them by, and reads them.
pub(super) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl Tokens {
    /// With `JWT_SECRET`.
    pub(super) fn new(secret: &SecretString) -> Self {
        let secret = secret.expose_secret().as_bytes();
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
        }
    }

    /// A token of this user's.
    pub(super) fn mint(&self, user_id: Uuid, now: DateTime<Utc>) -> anyhow::Result<String> {
        let claims = Claims {
            user_id,
            role: "user".to_owned(),
            iat: now.timestamp(),
            exp: (now + LIFE).timestamp(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .context("cannot sign a token")
    }

    /// The user whose token a request carries.
    pub(super) fn user_of(&self, headers: &HeaderMap) -> Option<Uuid> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let token = value.strip_prefix("Bearer ")?;
        let validation = Validation::new(Algorithm::HS256);
        let token = jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation).ok()?;
        Some(token.claims.user_id)
    }
}
