//! The fields of a form or of a query string.

use axum::extract::RawQuery;
use url::form_urlencoded;

pub(super) struct FormFields(Vec<(String, String)>);

impl FormFields {
    pub(super) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    pub(super) fn of_query(RawQuery(query): RawQuery) -> Self {
        Self::parse(query.unwrap_or_default().as_bytes())
    }

    /// The text of the field, unless it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let field = self.0.iter().find(|(of, _)| of == name);
        field
            .map(|(_, value)| value.trim())
            .filter(|v| !v.is_empty())
    }
}
