//! Values that the app wrote before Pigeonhole: base64 of `IV (16) ‖ tag (16) ‖ ciphertext`,
//! AES-256-GCM under the master key itself, bound to no row. We open them and never write them.

use aes_gcm::aead::{Aead, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::StoreError;
use crate::keyring::{Keyring, LegacyCipher};
use crate::sealed::Context;

impl Keyring {
    /// Opens a text that [`Keyring::seal_text`] made, or one of the app's old values under any key.
    /// Only for a column in which the app left such values: they are not bound to their row.
    pub(crate) fn open_text_or_legacy(
        &self,
        context: &Context,
        sealed: &str,
    ) -> Result<String, StoreError> {
        self.open_text(context, sealed)
            .or_else(|error| self.open_legacy(sealed).ok_or(error))
    }

    fn open_legacy(&self, sealed: &str) -> Option<String> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, rest) = bytes.split_first_chunk::<16>()?;
        let (tag, ciphertext) = rest.split_first_chunk::<16>()?;
        let nonce: &Nonce<LegacyCipher> = nonce.into();
        let message = [ciphertext, tag].concat();
        let opened = self
            .keys()
            .find_map(|key| key.legacy.decrypt(nonce, message.as_slice()).ok())?;
        String::from_utf8(opened).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with node's crypto, as the app did, under the key 00 01 02 … 1f; the second IV starts
    /// with our version.
    const VECTORS: [&str; 2] = [
        "oKGio6SlpqeoqaqrrK2ur9JazOTccK0W7hIYptBp2N8BkhaJLfj4Q/OvLYI=",
        "AaGio6SlpqeoqaqrrK2ur8TTqc5R+NEqo+gj4mSfi1igNNMo+kMnAHEkhL4=",
    ];
    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn a_value_of_the_app_opens_under_any_key_of_the_ring() {
        let other = "0f".repeat(32);
        let context = Context::new("user_phone_numbers", "encrypted_phone_number", 1);
        for keyring in [Keyring::parse(KEY, ""), Keyring::parse(&other, KEY)] {
            for vector in VECTORS {
                let opened = keyring
                    .as_ref()
                    .unwrap()
                    .open_text_or_legacy(&context, vector)
                    .unwrap();
                assert_eq!(opened, "+15555550123");
            }
        }
    }

    #[test]
    fn a_value_of_the_app_does_not_open_under_another_key_or_changed() {
        let context = Context::new("user_phone_numbers", "encrypted_phone_number", 1);
        let other = Keyring::parse(&"0f".repeat(32), "").unwrap();
        assert!(other.open_text_or_legacy(&context, VECTORS[0]).is_err());

        let keyring = Keyring::parse(KEY, "").unwrap();
        let bytes = STANDARD.decode(VECTORS[0]).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(
                keyring
                    .open_text_or_legacy(&context, &STANDARD.encode(changed))
                    .is_err()
            );
        }
        for bad in ["", "oKGi", "not base64"] {
            assert!(keyring.open_text_or_legacy(&context, bad).is_err());
        }
    }

    #[test]
    fn a_value_of_the_app_is_not_taken_where_only_ours_may_stand() {
        let keyring = Keyring::parse(KEY, "").unwrap();
        let context = Context::new("enrichment_items", "source_metadata.phone_number", 1);
        assert!(keyring.open_text(&context, VECTORS[0]).is_err());
    }
}
