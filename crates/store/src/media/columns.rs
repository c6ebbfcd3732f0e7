//! The table's name and its sealed column.

use uuid::Uuid;

use crate::sealed::Context;

pub(super) const TABLE: &str = "pigeonhole.media";

pub(super) fn sealed_key(id: Uuid) -> Context {
    Context::new(TABLE, "sealed_key", id)
}
