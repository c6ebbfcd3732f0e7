//! The texts under which a number may be stored.

use crate::keyring::Keyring;

/// Returns what `user_phone_numbers.phone_number` may hold for a number: its blind index under each
/// key, or, in a row of the app's, the number itself.
pub(crate) fn stored_number_variants(keyring: &Keyring, number: &str) -> Vec<String> {
    let mut variants = keyring.blind_indexes(number);
    variants.push(number.to_owned());
    variants
}
