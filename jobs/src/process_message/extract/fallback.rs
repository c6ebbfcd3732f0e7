//! When the model stays away, what the rules find is better than nothing; and whoever reads the items can see who found
//! them.

use super::{
    ExtractError, ExtractedBy, Extraction, Extractor, MessageContent, Rules, SelectedExtractor,
};
use crate::metrics;

/// `EXTRACTOR_FALLBACK`: who answers when a model does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fallback {
    /// `none`: nobody. The message fails.
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
    /// Asks `extractor` first.
    pub fn new(extractor: SelectedExtractor, fallback: Fallback) -> Self {
        Self {
            extractor,
            fallback,
        }
    }

    /// Is there a model, and are there rules to answer in its place?
    pub fn may_fall_back(&self) -> bool {
        self.fallback == Fallback::Rules && !matches!(self.extractor, SelectedExtractor::Rules(_))
    }

    /// What the message says. An error is the extractor's, and worth another attempt if it is none of the message's
    /// own; on the last attempt, and for what would be no different the next time, the fallback answers instead.
    pub async fn extract(
        &self,
        message: &MessageContent<'_>,
        last_attempt: bool,
    ) -> Result<Extraction, ExtractError> {
        let result = self.extractor.extract(message).await;
        match &result {
            Ok(extraction) if extraction.by == ExtractedBy::Rules => {}
            // A file of ours that could not be read is none of the model's doing.
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
            // The rules would not read it either, and nothing is wrong with the model.
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
