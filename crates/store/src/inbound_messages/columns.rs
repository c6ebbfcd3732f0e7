//! The table's name and its sealed column.

use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::sealed::Context;

pub(super) const TABLE: &str = "pigeonhole.inbound_messages";

pub(super) fn sealed_column(message_sid: &str) -> Context {
    Context::new(TABLE, "sealed", message_sid)
}

pub(super) fn open_fields(
    keyring: &Keyring,
    message_sid: &str,
    sealed: &[u8],
) -> Result<Vec<(String, String)>, StoreError> {
    let fields = keyring.open(&sealed_column(message_sid), sealed)?;
    // Only we can have sealed it, so another shape means another version. The error of serde would
    // quote the message.
    serde_json::from_slice(&fields).map_err(|_| StoreError::UnknownValue {
        table: TABLE,
        column: "sealed",
    })
}
