//! What every request to the page needs.

use std::sync::Arc;

use axum::extract::State;
use sqlx::PgPool;

use super::form_token::FormToken;

pub(super) struct PageDeps {
    pub(super) pool: PgPool,
    pub(super) token: FormToken,
}

pub(super) type PageState = State<Arc<PageDeps>>;
