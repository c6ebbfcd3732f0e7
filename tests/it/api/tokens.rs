//! Valid and invalid bearer tokens.

use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::{
    encoding::AsDer,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RsaKeyPair},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use uuid::Uuid;

/// The Unix time this many seconds from now.
#[expect(
    clippy::disallowed_methods,
    reason = "tokens are dated by whoever makes them, not by our database"
)]
pub(super) fn from_now(seconds: i64) -> i64 {
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.unwrap_or(Duration::ZERO).as_secs()).unwrap() + seconds
}

/// The claims that the app signs.
pub(super) fn claims(user: Uuid) -> Value {
    json!({ "userId": user, "role": "user", "iat": from_now(0), "exp": from_now(3600) })
}

/// A token as the app signs it.
pub(crate) fn of(user: Uuid, secret: &str) -> String {
    hs256(&claims(user), secret.as_bytes())
}

pub(super) fn hs256(claims: &Value, secret: &[u8]) -> String {
    signed(
        &Header::new(Algorithm::HS256),
        claims,
        &EncodingKey::from_secret(secret),
    )
}

pub(super) fn signed(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    encode(header, claims, key).unwrap()
}

/// A key of an identity provider.
pub(super) struct SigningKey {
    pub(super) id: String,
    pub(super) algorithm: Algorithm,
    private: EncodingKey,
}

impl SigningKey {
    pub(super) fn rsa(id: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        // The PKCS#8 document contains the key itself (PKCS#1) after a header, whose length is the
        // same for all keys of this size.
        let pkcs1 = &pkcs8.as_ref()[26..];
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::RS256,
            private: EncodingKey::from_rsa_der(pkcs1),
        }
    }

    pub(super) fn ec(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::ES256,
            private: EncodingKey::from_ec_der(pkcs8.as_ref()),
        }
    }

    /// The public key.
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.clone());
        serde_json::to_value(jwk).unwrap()
    }

    /// A token that names the key.
    pub(super) fn token(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.clone());
        signed(&header, claims, &self.private)
    }

    pub(super) fn anonymous_token(&self, claims: &Value) -> String {
        signed(&Header::new(self.algorithm), claims, &self.private)
    }
}

/// A key set (JWKS).
pub(super) fn jwks(keys: &[&SigningKey]) -> Value {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys })
}
