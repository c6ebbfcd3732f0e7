//! Checks bearer tokens (RFC 6750), each of which names a user.
//!
//! Three algorithms are accepted, each with one kind of key: HS256 with `JWT_SECRET`, RS256 and
//! ES256 with the public key of the JWKS that the token names. Keys that a token's header brings
//! along (`jku`, `x5u`, `jwk`) are ignored.

use axum::http::{HeaderMap, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use secrecy::ExposeSecret;
use serde::Deserialize;
use uuid::Uuid;

use super::{
    error::ApiError,
    jwks::{KeyLookupError, KeySource},
};
use crate::config::TokenConfig;

/// How far the clock of the token's issuer may be from ours, in seconds.
const LEEWAY: u64 = 30;

/// The longest token, in bytes. The app's tokens are much shorter.
const MAX_TOKEN: usize = 8 * 1024;

/// Checks bearer tokens.
pub(super) struct TokenCheck {
    secret: Option<DecodingKey>,
    keys: Option<KeySource>,
    issuer: Option<String>,
    audience: Option<String>,
}

/// The claims that name the user: the app writes `userId`, others write `sub`.
#[derive(Deserialize)]
struct UserClaims {
    #[serde(rename = "userId")]
    user_id: Option<String>,
    sub: Option<String>,
}

impl TokenCheck {
    pub(super) fn new(config: &TokenConfig) -> Result<Self, reqwest::Error> {
        let secret = config
            .secret
            .as_ref()
            .map(|secret| DecodingKey::from_secret(secret.expose_secret().as_bytes()));
        Ok(Self {
            secret,
            keys: config.jwks.as_ref().map(KeySource::new).transpose()?,
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
        })
    }

    /// Starts to read the keys, so that the first request does not wait for them.
    pub(super) fn warm_up(&self) {
        if let Some(keys) = &self.keys {
            keys.warm_up();
        }
    }

    /// The user that the request's token names.
    pub(super) async fn user(&self, headers: &HeaderMap) -> Result<Uuid, ApiError> {
        let token = bearer(headers)?;
        if token.len() > MAX_TOKEN {
            return Err(ApiError::InvalidToken("too_long"));
        }
        let head = decode_header(token).map_err(|_| ApiError::InvalidToken("malformed"))?;
        if head.crit.is_some() {
            return Err(ApiError::InvalidToken("critical_header")); // RFC 7515, 4.1.11: we support none
        }
        let claims = match (head.alg, &self.secret, &self.keys) {
            (Algorithm::HS256, Some(secret), _) => self.claims(token, secret, head.alg)?,
            (Algorithm::RS256 | Algorithm::ES256, _, Some(keys)) => {
                let key = keys.find(head.kid.as_deref(), head.alg).await;
                let key = key.map_err(|missing| match missing {
                    KeyLookupError::Unknown => ApiError::InvalidToken("unknown_key"),
                    KeyLookupError::NoSet => ApiError::KeysUnavailable,
                })?;
                self.claims(token, &key, head.alg)?
            }
            _ => return Err(ApiError::InvalidToken("algorithm")),
        };
        let user = claims.user_id.or(claims.sub).unwrap_or_default();
        uuid(&user).ok_or(ApiError::InvalidToken("user"))
    }

    fn claims(
        &self,
        token: &str,
        key: &DecodingKey,
        algorithm: Algorithm,
    ) -> Result<UserClaims, ApiError> {
        let mut rules = Validation::new(algorithm);
        rules.leeway = LEEWAY;
        rules.validate_nbf = true;
        // A claim that is compared must also be present.
        let mut required = vec!["exp"];
        if let Some(issuer) = &self.issuer {
            rules.set_issuer(&[issuer]);
            required.push("iss");
        }
        match &self.audience {
            Some(audience) => {
                rules.set_audience(&[audience]);
                required.push("aud");
            }
            None => rules.validate_aud = false,
        }
        rules.set_required_spec_claims(&required);
        match decode::<UserClaims>(token, key, &rules) {
            Ok(token) => Ok(token.claims),
            Err(error) => Err(ApiError::InvalidToken(reason(&error))),
        }
    }
}

/// The reason as a word for the log.
fn reason(error: &jsonwebtoken::errors::Error) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature => "signature",
        ErrorKind::ExpiredSignature => "expired",
        ErrorKind::ImmatureSignature => "not_yet_valid",
        ErrorKind::MissingRequiredClaim(_) => "claim_missing",
        ErrorKind::InvalidIssuer => "issuer",
        ErrorKind::InvalidAudience => "audience",
        _ => "malformed",
    }
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (given.next(), given.next());
    let Some(first) = first else {
        return Err(ApiError::NoAuthorization);
    };
    let text = first.to_str().map_err(|_| ApiError::AuthorizationFormat)?;
    match text.split_once(' ') {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case("bearer")
                && second.is_none()
                && !token.trim().is_empty()
                && !token.trim().contains(' ') =>
        {
            Ok(token.trim())
        }
        _ => Err(ApiError::AuthorizationFormat),
    }
}

/// Parses a UUID as the app writes it: 36 characters with hyphens.
fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_bearer_token_in_one_header_is_accepted() {
        let of = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::AUTHORIZATION, line.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned).map_err(|e| e.label())
        };
        assert_eq!(of(&[]), Err("no_authorization"));
        for good in ["Bearer a.b.c", "bearer a.b.c", "Bearer  a.b.c "] {
            assert_eq!(of(&[good]), Ok("a.b.c".to_owned()), "{good}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Basic a.b.c",
            "a.b.c",
            "Bearer a b",
        ] {
            assert_eq!(of(&[bad]), Err("authorization_format"), "{bad}");
        }
        let twice = of(&["Bearer a.b.c", "Bearer d.e.f"]);
        assert_eq!(twice, Err("authorization_format"));
    }

    #[test]
    fn a_user_id_is_a_uuid_as_the_app_writes_it() {
        let id = "0de30000-0000-4000-8000-000000000001";
        assert!(uuid(id).is_some());
        for bad in [
            "",
            "1",
            &id.replace('-', ""),
            &format!("{{{id}}}"),
            &format!("urn:uuid:{id}"),
        ] {
            assert!(uuid(bad).is_none(), "{bad}");
        }
    }
}
