//! The public keys of a JWKS (RFC 7517) that bearer tokens may be signed with.

use std::{fmt, sync::Arc};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde_json::Value;

/// The shortest RSA modulus, in bytes.
const SHORTEST_MODULUS: usize = 256;

/// Keys for RS256 and ES256. Cheap to clone. `Debug` prints how many there are.
#[derive(Clone, Default)]
pub struct TokenKeys(Arc<Vec<TokenKey>>);

struct TokenKey {
    id: Option<String>,
    algorithm: Algorithm,
    public: DecodingKey,
}

/// Why a text is not a usable JWKS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenKeysError {
    /// It is not JSON, or has no list of keys.
    #[error("it is no JWKS: a JSON object with a list of `keys`")]
    NotJwks,
    /// None of its keys is for RS256 or ES256.
    #[error(
        "it holds no key for RS256 (RSA of 2048 bits at least) or ES256 (P-256) that may verify signatures"
    )]
    NoneUsable,
}

impl TokenKeys {
    /// Parses a JWKS. Skips keys for other purposes: one set often serves several.
    pub fn parse(jwks: &[u8]) -> Result<Self, TokenKeysError> {
        let document: Value = serde_json::from_slice(jwks).map_err(|_| TokenKeysError::NotJwks)?;
        let listed = document["keys"].as_array().ok_or(TokenKeysError::NotJwks)?;
        let parsed = listed
            .iter()
            .filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
        let keys: Vec<TokenKey> = parsed.filter_map(|jwk| TokenKey::of(&jwk)).collect();
        if keys.is_empty() {
            return Err(TokenKeysError::NoneUsable);
        }
        Ok(Self(Arc::new(keys)))
    }

    /// The key that a token names. For a token that names none, the only key of its algorithm.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let mut candidates = self.0.iter().filter(|key| key.algorithm == algorithm);
        match id {
            Some(id) => candidates.find(|key| key.id.as_deref() == Some(id)),
            None => candidates.next().filter(|_| candidates.next().is_none()),
        }
        .map(|key| &key.public)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKeys({})", self.0.len())
    }
}

impl TokenKey {
    /// The algorithm follows from the type of the key alone, never from a token: otherwise a token
    /// could use a public key as the secret of HS256.
    fn of(jwk: &Jwk) -> Option<Self> {
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            // Other curves, secrets (which no public set should hold), and future types.
            _ => return None,
        };
        let common = &jwk.common;
        let for_other_algorithm = common.key_algorithm.is_some_and(|other| other != named);
        let for_other_use = common
            .public_key_use
            .as_ref()
            .is_some_and(|of| *of != PublicKeyUse::Signature);
        let for_other_operations = common
            .key_operations
            .as_ref()
            .is_some_and(|all| !all.contains(&KeyOperations::Verify));
        let public = DecodingKey::from_jwk(jwk).ok()?;
        let usable =
            !for_other_algorithm && !for_other_use && !for_other_operations && is_strong(&public);
        usable.then(|| Self {
            id: common.key_id.clone(),
            algorithm,
            public,
        })
    }
}

fn is_strong(key: &DecodingKey) -> bool {
    use jsonwebtoken::DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
    match key.kind() {
        RsaModulusExponent { n, .. } => {
            n.iter().skip_while(|byte| **byte == 0).count() >= SHORTEST_MODULUS
        }
        SecretOrDer(point) => point.len() == 65, // P-256, uncompressed
    }
}
