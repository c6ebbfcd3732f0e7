//! Uses the rules when the model fails. `extracted_by` shows which of the two extracted the items.

use super::{
    ExtractError, ExtractedBy, Extraction, Extractor, MessageContent, Rules, SelectedExtractor,
};
use crate::metrics;

/// `EXTRACTOR_FALLBACK`: what is used when a model fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fallback {
    /// `none`: nothing. The message fails.
    None,
    /// `rules`: the rules.
    #[default]
    Rules,
}

/// The extractor that jobs use.
#[derive(Debug, Clone)]
pub struct WithFallback {
    extractor: SelectedExtractor,
    fallback: Fallback,
}

impl WithFallback {
    /// Uses `extractor` first, then the fallback.
    pub fn new(extractor: SelectedExtractor, fallback: Fallback) -> Self {
        Self {
            extractor,
            fallback,
        }
    }

    /// True if a model is configured, and the rules as its fallback.
    pub fn may_fall_back(&self) -> bool {
        self.fallback == Fallback::Rules && !self.is_rules()
    }

    /// True if no model is configured: then extraction costs next to nothing.
    pub fn is_rules(&self) -> bool {
        matches!(self.extractor, SelectedExtractor::Rules(_))
    }

    /// Extracts the items of the message. The fallback is used on the last attempt, and for an
    /// error that another attempt would not change.
    pub async fn extract(
        &self,
        message: &MessageContent<'_>,
        last_attempt: bool,
    ) -> Result<Extraction, ExtractError> {
        let result = self.extractor.extract(message).await;
        match &result {
            Ok(extraction) if extraction.by == ExtractedBy::Rules => {}
            // The file is in our store, so the model is not at fault.
            Err(ExtractError::Content(_)) => {}
            result => metrics::model_call(result.as_ref().err()),
        }
        let error = match result {
            Ok(extraction) => return Ok(extraction),
            Err(error) => error,
        };
        let gives_up = match &error {
            ExtractError::Refused(_) | ExtractError::BadAnswer(_) => true,
            ExtractError::Unavailable(_)
            | ExtractError::Throttled { .. }
            | ExtractError::Account { .. } => last_attempt,
            // The rules could not read the file either, and the model works.
            ExtractError::Content(_) => false,
        };
        if !gives_up || self.fallback == Fallback::None {
            return Err(error);
        }
        let extraction = Rules.extract(message).await?;
        Ok(Extraction {
            by: ExtractedBy::RulesFallback,
            instead_because_of: Some(error),
            ..extraction
        })
    }
}
