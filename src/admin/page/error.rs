//! The reasons why a request gets no page.

use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use maud::html;
use queue::admin::AdminError;
use store::StoreError;

use super::layout;
use crate::error_chain::ErrorChain;

pub(super) type PageResult = Result<Html<String>, PageError>;

pub(super) enum PageError {
    /// The job, the message or the state does not exist.
    NotFound(String),
    /// The form did not come from our own page.
    Refused(&'static str),
    /// The form or the query has a wrong value.
    Form(&'static str),
    /// The database returned an error or did not respond.
    Database(String),
}

impl From<AdminError> for PageError {
    fn from(error: AdminError) -> Self {
        tracing::warn!(%error, "the operator's page cannot read the database");
        Self::Database(error.to_string())
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        let error_chain = ErrorChain(&error);
        tracing::warn!(error = %error_chain, "the operator's page cannot read the database");
        Self::Database(error.to_string())
    }
}

impl From<sqlx::Error> for PageError {
    fn from(error: sqlx::Error) -> Self {
        Self::from(AdminError::from(error))
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Self::NotFound(text) => (StatusCode::NOT_FOUND, "Not found", text),
            Self::Refused(text) => (StatusCode::FORBIDDEN, "Refused", text.to_owned()),
            Self::Form(text) => (StatusCode::BAD_REQUEST, "Wrong value", text.to_owned()),
            Self::Database(text) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The database does not respond",
                text,
            ),
        };
        let content = html! {
            p { (text) }
            p { a href="/" { "Back to the overview" } }
        };
        (status, layout::page(title, None, None, &content)).into_response()
    }
}
