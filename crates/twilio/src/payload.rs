//! Reads single parameters out of a webhook's pairs.
//!
//! It must never choose between two values, nor put a value into an error.

/// Why parameters make no inbound message. Holds names of parameters only, never a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// A parameter that every inbound message has is not there.
    #[error("parameter {0} is missing")]
    Missing(&'static str),
    /// A parameter is not what it should be.
    #[error("parameter {0} is malformed")]
    Malformed(&'static str),
    /// A parameter of which we need one value is there twice, and choosing would be guessing.
    #[error("parameter {0} is repeated")]
    Repeated(&'static str),
}

impl PayloadError {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Malformed(_) => "malformed",
            Self::Repeated(_) => "repeated",
        }
    }
}

pub(crate) fn first<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(n, _)| n == name)
        .map(|(_, value)| value.as_str())
}

/// `shown` is what an error calls it.
pub(crate) fn optional<'a>(
    fields: &'a [(String, String)],
    name: &str,
    shown: &'static str,
) -> Result<Option<&'a str>, PayloadError> {
    let mut values = fields.iter().filter(|(n, _)| n == name);
    let value = values.next().map(|(_, value)| value.as_str());
    if values.next().is_some() {
        Err(PayloadError::Repeated(shown))
    } else {
        Ok(value)
    }
}

pub(crate) fn required<'a>(
    fields: &'a [(String, String)],
    name: &'static str,
) -> Result<&'a str, PayloadError> {
    optional(fields, name, name)?.ok_or(PayloadError::Missing(name))
}
