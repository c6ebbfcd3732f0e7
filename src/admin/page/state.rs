//! What every request to the page needs.

use std::sync::Arc;

use axum::extract::State;

use super::form_token::FormToken;
use queue::Pool;

pub(super) struct PageDeps {
    pub(super) pool: Pool,
    pub(super) token: FormToken,
}

pub(super) type PageState = State<Arc<PageDeps>>;
