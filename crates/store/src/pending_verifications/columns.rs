//! The table's name and its sealed columns.

use uuid::Uuid;

use crate::sealed::Context;

pub(super) const TABLE: &str = "pigeonhole.pending_verifications";

pub(super) fn column(column: &'static str, user_id: Uuid) -> Context {
    Context::new(TABLE, column, user_id)
}
