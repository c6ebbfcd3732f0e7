//! An item of the table.

use std::fmt;

use serde_json::Value;
use uuid::Uuid;

/// An item of the table. `Debug` hides its value.
pub struct StoredItem {
    /// See `item_id`.
    pub id: Uuid,
    /// The user whose item it is.
    pub user_id: Uuid,
    /// `field`, `tag`, or one of the app's own.
    pub item_type: String,
    /// The field's name; none for a tag or a contact.
    pub field_name: Option<String>,
    /// Its value.
    pub value: String,
    /// `sms`, `mms`, or one of the app's own.
    pub source: Option<String>,
    /// The message that it comes from.
    pub source_metadata: Option<Value>,
}

impl fmt::Debug for StoredItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredItem({}, {}, [sealed])", self.id, self.item_type)
    }
}
