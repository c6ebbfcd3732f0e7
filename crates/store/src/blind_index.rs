//! What equality looks up in place of a number that must not stand in clear.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac;

use crate::keyring::{Key, Keyring};

/// 20 base64url characters of HMAC-SHA-256 over an address. Equal for equal addresses under the
/// same key; without the key it says nothing of the address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BlindIndex(String);

impl BlindIndex {
    /// The 20 characters, as the database holds them.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BlindIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlindIndex({})", self.0)
    }
}

impl Keyring {
    /// The blind index to write for an address, such as an E.164 number.
    pub fn blind_index(&self, address: &str) -> BlindIndex {
        BlindIndex(self.current.blind_index_of(address))
    }

    /// The blind index under every key, the current one first: what a lookup must try, as a row
    /// keeps the index of the key it was written under.
    pub fn blind_indexes(&self, address: &str) -> Vec<String> {
        self.keys().map(|key| key.blind_index_of(address)).collect()
    }

    /// [`Keyring::blind_indexes`] of any bytes.
    pub(crate) fn blind_indexes_of_bytes(&self, bytes: &[u8]) -> Vec<String> {
        self.keys().map(|key| key.blind_index_of(bytes)).collect()
    }
}

impl Key {
    fn blind_index_of(&self, address: impl AsRef<[u8]>) -> String {
        let mac = self
            .blind_index
            .clone()
            .chain_update(address)
            .finalize()
            .into_bytes();
        URL_SAFE_NO_PAD.encode(&mac[..15])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn a_blind_index_never_changes() {
        let keyring = Keyring::parse(KEY, "").unwrap();
        // Made with node's crypto. If this fails, every row that was ever written has become
        // unfindable.
        assert_eq!(
            keyring.blind_index("+15555550123").as_str(),
            "9PjAfn6JX0UpyTsYJn4d"
        );
    }

    #[test]
    fn a_blind_index_differs_by_number_and_by_key() {
        let keyring = Keyring::parse(KEY, &"0f".repeat(32)).unwrap();
        let indexes = keyring.blind_indexes("+15555550123");
        assert_eq!(indexes[0], keyring.blind_index("+15555550123").as_str());
        assert_eq!(indexes.len(), 2);
        assert_ne!(indexes[0], indexes[1]);
        assert_ne!(
            keyring.blind_index("+15555550124"),
            keyring.blind_index("+15555550123")
        );
        assert!(indexes.iter().all(|index| index.len() == 20));
    }
}
