//! The extractor that the configuration selects.

use super::{ExtractError, Extraction, Extractor, Gemini, MessageContent, OpenAi, Rules};

/// The extractor that the configuration selects.
#[derive(Debug, Clone)]
pub enum SelectedExtractor {
    /// `EXTRACTOR=rules`
    Rules(Rules),
    /// `EXTRACTOR=gemini`
    Gemini(Gemini),
    /// `EXTRACTOR=openai`
    OpenAi(OpenAi),
}

impl Extractor for SelectedExtractor {
    async fn extract<'a>(
        &'a self,
        message: &'a MessageContent<'a>,
    ) -> Result<Extraction, ExtractError> {
        match self {
            Self::Rules(rules) => rules.extract(message).await,
            Self::Gemini(gemini) => gemini.extract(message).await,
            Self::OpenAi(openai) => openai.extract(message).await,
        }
    }
}
