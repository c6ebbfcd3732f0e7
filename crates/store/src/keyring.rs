//! The ordered keys that seal and open columns: the first seals, every key opens.
//!
//! A master key itself encrypts only the app's old values. Each purpose has its own key, derived
//! with HKDF-SHA256. The ciphers are made once, here, because sealing is on the receiver's path.

use std::fmt;

use aes_gcm::aead::consts::U16;
use aes_gcm::aes::Aes256;
use aes_gcm::{Aes256Gcm, AesGcm, KeyInit};
use hkdf::Hkdf;
use hmac::Hmac;
use sha2::Sha256;
use zeroize::Zeroizing;

/// The app's cipher: GCM with a nonce of 16 bytes where 12 are usual.
pub(crate) type LegacyCipher = AesGcm<Aes256, U16>;

const SEALING: &[u8] = b"pigeonhole v1 sealed columns";
const BLIND_INDEX: &[u8] = b"pigeonhole v1 blind index";
const KEY_ID: &[u8] = b"pigeonhole v1 key id";

/// The keys. `Debug` shows how many there are and nothing else.
pub struct Keyring {
    pub(crate) current: Key,
    older: Vec<Key>,
}

/// Names a key in the values that it has sealed, and reveals nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(crate) [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// What is derived from one master key.
pub(crate) struct Key {
    /// Names the key in sealed values; reveals nothing of it.
    pub(crate) id: [u8; 4],
    pub(crate) sealing: Aes256Gcm,
    pub(crate) blind_index: Hmac<Sha256>,
    pub(crate) legacy: LegacyCipher,
}

/// A key is malformed. Does not repeat the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The current key is malformed.
    #[error(
        "the current key must be 64 hexadecimal characters; make one with `openssl rand -hex 32`"
    )]
    Current,
    /// One of the older keys is malformed.
    #[error(
        "older key number {position} must be 64 hexadecimal characters, keys separated by commas"
    )]
    Older {
        /// Its position in the list, counted from 1.
        position: usize,
    },
}

impl Keyring {
    /// Takes the key that seals, 64 hexadecimal characters, and a list, which may be empty, of
    /// older keys that only open, separated by commas.
    pub fn parse(current: &str, older: &str) -> Result<Self, KeyError> {
        let current = Key::derive(&*master_key(current).ok_or(KeyError::Current)?);
        let older = older
            .split(',')
            .enumerate()
            .filter(|(_, text)| !text.trim().is_empty())
            .map(|(i, text)| master_key(text).ok_or(KeyError::Older { position: i + 1 }))
            .map(|master| Ok(Key::derive(&*master?)))
            .collect::<Result<_, _>>()?;
        Ok(Self { current, older })
    }

    /// The names of all keys, that of the one that seals first.
    pub fn ids(&self) -> Vec<KeyId> {
        self.keys().map(|key| KeyId(key.id)).collect()
    }

    /// All keys, the one that seals first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.older)
    }
}

impl Key {
    fn derive(master: &[u8; 32]) -> Self {
        let hkdf = Hkdf::<Sha256>::new(None, master);
        let mut id = [0; 4];
        fill(&hkdf, KEY_ID, &mut id);
        let mut sealing = Zeroizing::new([0; 32]);
        fill(&hkdf, SEALING, &mut *sealing);
        let mut blind_index = Zeroizing::new([0; 64]);
        fill(&hkdf, BLIND_INDEX, &mut blind_index[..32]);
        Self {
            id,
            sealing: Aes256Gcm::new((&*sealing).into()),
            // HMAC pads a key of 32 bytes with zeros to its block of 64: the same key, and no
            // length to check.
            blind_index: Hmac::new((&*blind_index).into()),
            legacy: LegacyCipher::new(master.into()),
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "HKDF-SHA256 refuses only outputs of more than 8160 bytes"
)]
fn fill(hkdf: &Hkdf<Sha256>, purpose: &[u8], out: &mut [u8]) {
    hkdf.expand(purpose, out).expect("32 bytes at most");
}

fn master_key(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let text = text.trim().as_bytes();
    if text.len() != 64 {
        return None;
    }
    let mut key = Zeroizing::new([0; 32]);
    for (byte, pair) in key.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |b: u8| {
            char::from(b)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(key)
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys, [sealed])", 1 + self.older.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_key_is_refused_without_being_repeated() {
        let good = "0f".repeat(32);
        for bad in [
            "",
            "secret",
            &"0f".repeat(31),
            &"0g".repeat(32),
            &"é".repeat(32),
            &"+f".repeat(32),
        ] {
            let error = Keyring::parse(bad, "").unwrap_err();
            assert_eq!(error, KeyError::Current);
            assert!(error.to_string().contains("openssl rand -hex 32"));
            let error = Keyring::parse(&good, &format!("{good},{bad}x")).unwrap_err();
            assert_eq!(error, KeyError::Older { position: 2 });
            assert!(bad.is_empty() || !error.to_string().contains(bad));
        }
    }

    #[test]
    fn spaces_and_empty_places_in_the_list_of_keys_do_no_harm() {
        let key = "0F".repeat(32);
        assert_eq!(Keyring::parse(&key, "").unwrap().keys().count(), 1);
        assert_eq!(
            Keyring::parse(&key, &format!(" {key} , ,{key},"))
                .unwrap()
                .keys()
                .count(),
            3
        );
    }

    #[test]
    fn a_keyring_does_not_show_its_keys() {
        let keyring = Keyring::parse(&"0f".repeat(32), "").unwrap();
        assert_eq!(format!("{keyring:?}"), "Keyring(1 keys, [sealed])");
    }
}
