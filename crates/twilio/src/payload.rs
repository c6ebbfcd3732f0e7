//! Reads single parameters of a webhook. It never chooses between two values, and no error contains
//! a value.

/// Why parameters do not form an inbound message. It holds names of parameters, never values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// A parameter that every inbound message has is missing.
    #[error("parameter {0} is missing")]
    Missing(&'static str),
    /// A parameter has an invalid value.
    #[error("parameter {0} is malformed")]
    Malformed(&'static str),
    /// A parameter that must be single occurs twice.
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

/// `shown` is the name in an error.
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
