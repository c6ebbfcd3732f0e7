//! Sealed values: `version (1) ‖ key id (4) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`, AES-256-GCM,
//! bound to the table, column and row they belong to, so that a value copied to another place does
//! not open there.

use std::fmt::Display;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{Aead, AeadInOut, Generate, Nonce, Payload};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::StoreError;
use crate::keyring::Keyring;

const VERSION: u8 = 1;
const HEADER: usize = 1 + 4 + 12;
const TAG: usize = 16;

/// The place a sealed value belongs to. It opens in no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    table: &'static str,
    column: &'static str,
    row: String,
}

impl Context {
    /// Names a place: the table, the column (with the key, inside of a JSON column) and the row's
    /// primary key.
    pub fn new(table: &'static str, column: &'static str, row: impl Display) -> Self {
        Self {
            table,
            column,
            row: row.to_string(),
        }
    }

    /// Every part with its length before it, so that no two places encode alike.
    fn associated_data(&self) -> Vec<u8> {
        let mut data =
            Vec::with_capacity(12 + self.table.len() + self.column.len() + self.row.len());
        for part in [self.table, self.column, self.row.as_str()] {
            data.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            data.extend(part.as_bytes());
        }
        data
    }

    fn seal_error(&self) -> StoreError {
        StoreError::Seal {
            table: self.table,
            column: self.column,
        }
    }

    fn open_error(&self) -> StoreError {
        StoreError::Open {
            table: self.table,
            column: self.column,
            row: self.row.clone(),
        }
    }
}

impl Keyring {
    /// Seals bytes under the current key, with a nonce from the system's randomness; fails only if
    /// that fails.
    pub fn seal(&self, context: &Context, plaintext: &[u8]) -> Result<Vec<u8>, StoreError> {
        let key = &self.current;
        let nonce = Nonce::<Aes256Gcm>::try_generate().map_err(|_| context.seal_error())?;
        let mut sealed = Vec::with_capacity(HEADER + plaintext.len() + TAG);
        sealed.push(VERSION);
        sealed.extend(key.id);
        sealed.extend(nonce);
        sealed.extend(plaintext);
        let body = InOutBuf::from(&mut sealed[HEADER..]);
        let tag = key
            .sealing
            .encrypt_inout_detached(&nonce, &context.associated_data(), body)
            .map_err(|_| context.seal_error())?;
        sealed.extend(tag);
        Ok(sealed)
    }

    /// Opens what [`Keyring::seal`] made, under whichever key of the ring sealed it. Fails when
    /// that key is not in the ring, when the value belongs to another place and when a byte of it
    /// was changed.
    pub fn open(&self, context: &Context, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.try_open(context, sealed)
            .ok_or_else(|| context.open_error())
    }

    /// [`Keyring::seal`] for a text column: standard base64 of the sealed bytes.
    pub fn seal_text(&self, context: &Context, plaintext: &str) -> Result<String, StoreError> {
        Ok(STANDARD.encode(self.seal(context, plaintext.as_bytes())?))
    }

    /// Opens what [`Keyring::seal_text`] made; fails as [`Keyring::open`] does.
    pub fn open_text(&self, context: &Context, sealed: &str) -> Result<String, StoreError> {
        let sealed = STANDARD.decode(sealed).map_err(|_| context.open_error())?;
        String::from_utf8(self.open(context, &sealed)?).map_err(|_| context.open_error())
    }

    fn try_open(&self, context: &Context, sealed: &[u8]) -> Option<Vec<u8>> {
        let (header, message) = sealed.split_first_chunk::<HEADER>()?;
        let (version, rest) = header.split_first()?;
        let (id, nonce) = rest.split_first_chunk::<4>()?;
        if *version != VERSION {
            return None;
        }
        let nonce = Nonce::<Aes256Gcm>::try_from(nonce).ok()?;
        let aad = &context.associated_data();
        self.keys().filter(|key| key.id == *id).find_map(|key| {
            key.sealing
                .decrypt(&nonce, Payload { msg: message, aad })
                .ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn keyring() -> Keyring {
        Keyring::parse(KEY, "").unwrap()
    }

    #[test]
    fn a_value_sealed_by_another_program_opens() {
        // Made with node's crypto. If this fails, every value that was ever sealed is lost.
        let vector = "AYOXcUXAwcLDxMXGx8jJysvhThwx7QMst2RxRHRTFP2WuL5zxno=";
        let opened = keyring().open_text(&Context::new("table", "column", "row"), vector);
        assert_eq!(opened.unwrap(), "hello");
    }

    #[test]
    fn a_value_opens_only_in_its_own_place() {
        let sealed = keyring()
            .seal(&Context::new("table", "column", "row"), b"hello")
            .unwrap();
        let elsewhere = [
            Context::new("other", "column", "row"),
            Context::new("table", "other", "row"),
            Context::new("table", "column", "other"),
            Context::new("tablecolumn", "", "row"),
            Context::new("table", "columnrow", ""),
            Context::new("tabl", "ecolumn", "row"),
        ];
        for place in elsewhere {
            let error = keyring().open(&place, &sealed).unwrap_err();
            assert!(matches!(error, StoreError::Open { .. }), "{place:?}");
        }
    }

    #[test]
    fn a_value_with_any_byte_changed_or_missing_does_not_open() {
        let context = Context::new("table", "column", "row");
        let sealed = keyring().seal(&context, b"hello").unwrap();
        assert_eq!(sealed.len(), HEADER + 5 + TAG);
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert!(
                    keyring().open(&context, &changed).is_err(),
                    "byte {at}, bit {bit}"
                );
            }
            assert!(
                keyring().open(&context, &sealed[..at]).is_err(),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn after_a_rotation_the_new_key_seals_and_the_old_one_still_opens() {
        let context = Context::new("table", "column", "row");
        let (old, new) = (keyring(), "0f".repeat(32));
        let before = old.seal(&context, b"hello").unwrap();
        let rotated = Keyring::parse(&new, KEY).unwrap();
        assert_eq!(rotated.open(&context, &before).unwrap(), b"hello");

        let after = rotated.seal(&context, b"hello").unwrap();
        assert_ne!(before[1..5], after[1..5]);
        assert!(old.open(&context, &after).is_err());
        let old_key_gone = Keyring::parse(&new, "").unwrap();
        assert_eq!(old_key_gone.open(&context, &after).unwrap(), b"hello");
        assert!(old_key_gone.open(&context, &before).is_err());
    }

    #[test]
    fn sealing_twice_gives_different_bytes() {
        let context = Context::new("table", "column", "row");
        let seal = || keyring().seal(&context, b"hello").unwrap();
        assert_ne!(seal(), seal());
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_to_the_same(
            plaintext in proptest::collection::vec(any::<u8>(), 0..2000), text in ".*", row in ".*",
        ) {
            let context = Context::new("table", "column", row);
            let sealed = keyring().seal(&context, &plaintext).unwrap();
            prop_assert_eq!(keyring().open(&context, &sealed).unwrap(), plaintext);
            let sealed = keyring().seal_text(&context, &text).unwrap();
            prop_assert_eq!(keyring().open_text(&context, &sealed).unwrap(), text);
        }

        #[test]
        fn bytes_that_nobody_sealed_do_not_open(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(keyring().open(&Context::new("table", "column", "row"), &bytes).is_err());
        }
    }
}
