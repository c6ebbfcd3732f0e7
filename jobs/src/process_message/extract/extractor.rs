//! What every extractor does.

use super::{ExtractError, Extraction, MessageContent};

/// Extracts the items of a message.
pub trait Extractor: Send + Sync {
    /// All items of the message, in an order that depends only on the message or on the model's
    /// answer.
    fn extract<'a>(
        &'a self,
        message: &'a MessageContent<'a>,
    ) -> impl Future<Output = Result<Extraction, ExtractError>> + Send + 'a;
}
