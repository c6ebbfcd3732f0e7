//! Who finds what messages say.

use std::time::Duration;

use jobs::extract::{
    AnyExtractor, Fallback, Gemini, GeminiConfig, ModelConfigError, OpenAi, OpenAiConfig, Rules,
    WithFallback,
};
use secrecy::SecretString;

use super::{Reader, http_url};

const MB: u32 = 1024 * 1024;

/// Who finds what messages say.
#[derive(Debug, Clone)]
pub struct ExtractionConfig {
    /// As `EXTRACTOR` and `EXTRACTOR_FALLBACK` say, ready to be asked.
    pub extractor: WithFallback,
}

/// `EXTRACTOR`.
#[derive(Clone, Copy)]
enum Who {
    Rules,
    Gemini,
    OpenAi,
}

/// What all models have in common.
#[derive(Clone, Copy)]
struct Bounds {
    timeout: Duration,
    max_inline_bytes: u32,
}

impl ExtractionConfig {
    /// Reads it. What is only for a model that is not asked need not be there, nor be right.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let who = r.required("EXTRACTOR", |text| match text {
            "rules" => Ok(Who::Rules),
            "gemini" => Ok(Who::Gemini),
            "openai" => Ok(Who::OpenAi),
            _ => Err("must be rules, gemini or openai".to_owned()),
        });
        let fallback = r.required("EXTRACTOR_FALLBACK", |text| match text {
            "none" => Ok(Fallback::None),
            "rules" => Ok(Fallback::Rules),
            _ => Err("must be none or rules".to_owned()),
        });
        let bounds = bounds(r);
        let extractor = match who? {
            Who::Rules => Some(AnyExtractor::Rules(Rules)),
            Who::Gemini => gemini(r, bounds),
            Who::OpenAi => openai(r, bounds),
        };
        bounds?;
        Some(Self {
            extractor: WithFallback::new(extractor?, fallback?),
        })
    }
}

fn bounds(r: &mut Reader<'_>) -> Option<Bounds> {
    // A minute is what an attempt may take for it.
    let timeout = r.required("EXTRACTOR_TIMEOUT_SECONDS", |text| match text.parse() {
        Ok(seconds @ 1..=50) => Ok(Duration::from_secs(seconds)),
        _ => Err("must be a number of seconds from 1 to 50".to_owned()),
    });
    let max_inline_bytes = r.required("EXTRACTOR_MAX_INLINE_MB", |text| match text.parse() {
        Ok(mb @ 0..=14) => Ok(mb * MB),
        _ => {
            Err("must be a number from 0 to 14: a request has 20 MB at most, in base64".to_owned())
        }
    });
    Some(Bounds {
        timeout: timeout?,
        max_inline_bytes: max_inline_bytes?,
    })
}

/// A key as it stands; what cannot be one is told by who is to use it.
fn key(text: &str) -> SecretString {
    text.to_owned().into()
}

fn gemini(r: &mut Reader<'_>, bounds: Option<Bounds>) -> Option<AnyExtractor> {
    let api_key = r.required("GOOGLE_GEMINI_API_KEY", |text| Ok(key(text)));
    let model = r.required("GEMINI_MODEL", |text| Ok(text.to_owned()));
    let base_url = r.required("GEMINI_BASE_URL", http_url);
    let bounds = bounds?;
    let config = GeminiConfig {
        api_key: api_key?,
        model: model?,
        base_url: base_url?,
        timeout: bounds.timeout,
        max_inline_bytes: bounds.max_inline_bytes,
    };
    let names = ["GOOGLE_GEMINI_API_KEY", "GEMINI_MODEL", "GEMINI_BASE_URL"];
    let gemini = Gemini::new(&config).map_err(|error| not_usable(r, names, &error));
    gemini.ok().map(AnyExtractor::Gemini)
}

fn openai(r: &mut Reader<'_>, bounds: Option<Bounds>) -> Option<AnyExtractor> {
    let api_key = r.optional("OPENAI_API_KEY", |text| Ok(key(text)));
    let model = r.required("OPENAI_MODEL", |text| Ok(text.to_owned()));
    let base_url = r.required("OPENAI_BASE_URL", http_url);
    let bounds = bounds?;
    let config = OpenAiConfig {
        api_key: api_key?,
        model: model?,
        base_url: base_url?,
        timeout: bounds.timeout,
        max_inline_bytes: bounds.max_inline_bytes,
    };
    let names = ["OPENAI_API_KEY", "OPENAI_MODEL", "OPENAI_BASE_URL"];
    let openai = OpenAi::new(&config).map_err(|error| not_usable(r, names, &error));
    openai.ok().map(AnyExtractor::OpenAi)
}

/// Notes a mistake under the name of the setting it is in.
fn not_usable(r: &mut Reader<'_>, [key, model, base_url]: [&str; 3], error: &ModelConfigError) {
    let name = match error {
        ModelConfigError::Key => key,
        ModelConfigError::Model => model,
        ModelConfigError::BaseUrl => base_url,
        ModelConfigError::Http(_) => "EXTRACTOR",
    };
    r.mistake(name, format_args!("is not usable: {error}"));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Env, Mistakes};

    fn read(values: &[(&str, &str)]) -> Result<String, Mistakes> {
        let values: BTreeMap<_, _> = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let config = Reader::read(&Env::of(values), ExtractionConfig::read)?;
        Ok(format!("{config:?}"))
    }

    #[test]
    fn without_any_setting_the_rules_find_what_messages_say() {
        assert!(read(&[]).unwrap().contains("Rules"));
    }

    #[test]
    fn a_model_needs_what_it_needs_and_all_of_it_is_told_at_once() {
        let mistakes = read(&[
            ("EXTRACTOR", "gemini"),
            ("EXTRACTOR_FALLBACK", "maybe"),
            ("EXTRACTOR_TIMEOUT_SECONDS", "51"),
            ("EXTRACTOR_MAX_INLINE_MB", "15"),
            ("GEMINI_BASE_URL", "nowhere"),
        ]);
        let mistakes = mistakes.unwrap_err().to_string();
        for expected in [
            "5 mistakes",
            "EXTRACTOR_FALLBACK must be none or rules",
            "EXTRACTOR_TIMEOUT_SECONDS must be",
            "EXTRACTOR_MAX_INLINE_MB must be",
            "GOOGLE_GEMINI_API_KEY is not set",
            "GEMINI_BASE_URL must be",
        ] {
            assert!(mistakes.contains(expected), "{expected}: {mistakes}");
        }
        let mistakes = read(&[("EXTRACTOR", "openai")]).unwrap_err().to_string();
        assert!(mistakes.contains("OPENAI_MODEL is not set"), "{mistakes}");
        assert!(!mistakes.contains("OPENAI_API_KEY"), "{mistakes}");
    }

    #[test]
    fn what_a_model_cannot_be_called_with_is_named_and_not_quoted() {
        let gemini = [
            ("EXTRACTOR", "gemini"),
            ("GOOGLE_GEMINI_API_KEY", "canary\u{7f}"),
        ];
        let mistakes = read(&gemini).unwrap_err().to_string();
        assert!(
            mistakes.contains("GOOGLE_GEMINI_API_KEY is not usable"),
            "{mistakes}"
        );
        assert!(!mistakes.contains("canary"), "{mistakes}");
        let mistakes = read(&[
            ("EXTRACTOR", "gemini"),
            ("GOOGLE_GEMINI_API_KEY", "key"),
            ("GEMINI_MODEL", "../x"),
        ]);
        let mistakes = mistakes.unwrap_err().to_string();
        assert!(
            mistakes.contains("GEMINI_MODEL is not usable"),
            "{mistakes}"
        );
    }

    #[test]
    fn a_configured_model_is_asked_and_its_key_is_not_shown() {
        let shown = read(&[
            ("EXTRACTOR", "openai"),
            ("OPENAI_API_KEY", "canary"),
            ("OPENAI_MODEL", "some-model"),
            ("EXTRACTOR_FALLBACK", "none"),
        ]);
        let shown = shown.unwrap();
        assert!(
            shown.contains("some-model") && shown.contains("None"),
            "{shown}"
        );
        assert!(!shown.contains("canary"), "{shown}");
    }
}
