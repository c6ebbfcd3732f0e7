//! The settings of the keys that seal and open personal data.

use store::Keyring;

use super::reader::Reader;

/// The keys that seal and open personal data: `ENCRYPTION_KEY`, `ENCRYPTION_KEYS_OLD`.
pub fn keyring(r: &mut Reader<'_>) -> Option<Keyring> {
    let old = r.text("ENCRYPTION_KEYS_OLD").unwrap_or("");
    r.required("ENCRYPTION_KEY", |text| {
        Keyring::parse(text, old).map_err(|error| match error {
            store::KeyError::Current => format!("is not usable: {error}"),
            store::KeyError::Older { .. } => {
                format!("is valid, but in ENCRYPTION_KEYS_OLD {error}")
            }
        })
    })
}
