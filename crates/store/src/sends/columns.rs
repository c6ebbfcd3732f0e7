//! The table's name and its sealed column.

use uuid::Uuid;

use crate::e164::E164;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::sealed::Context;

pub(super) const TABLE: &str = "pigeonhole.sends";

/// Seals recipient and text.
pub(super) fn seal_message(
    keyring: &Keyring,
    id: Uuid,
    to: &E164,
    body: &str,
) -> Result<Vec<u8>, StoreError> {
    let message = serde_json::json!([to.as_str(), body]).to_string();
    keyring.seal(&sealed_column(id), message.as_bytes())
}

pub(super) fn open_message(
    keyring: &Keyring,
    id: Uuid,
    sealed: &[u8],
) -> Result<(E164, String), StoreError> {
    let message = keyring.open(&sealed_column(id), sealed)?;
    // Only we can have sealed it, so another shape means another version. The error of serde would
    // quote the text.
    serde_json::from_slice::<(String, String)>(&message)
        .ok()
        .and_then(|(to, body)| Some((E164::parse(&to).ok()?, body)))
        .ok_or(StoreError::UnknownValue {
            table: TABLE,
            column: "sealed",
        })
}

fn sealed_column(id: Uuid) -> Context {
    Context::new(TABLE, "sealed", id)
}
