//! The settings of the extractor, which turns a message into an item.

use std::time::Duration;

use jobs::extract::{
    Fallback, Gemini, GeminiConfig, ModelConfigError, OpenAi, OpenAiConfig, Rules,
    SelectedExtractor, WithFallback,
};
use secrecy::SecretString;

use super::{parse::http_url, reader::Reader};

const MB: u32 = 1024 * 1024;

/// The extractor of messages.
#[derive(Debug, Clone)]
pub struct ExtractionConfig {
    /// The extractor of `EXTRACTOR` with the fallback of `EXTRACTOR_FALLBACK`, ready for use.
    pub extractor: WithFallback,
}

/// `EXTRACTOR`.
#[derive(Clone, Copy)]
enum ExtractorChoice {
    Rules,
    Gemini,
    OpenAi,
}

/// The bounds that all models share.
#[derive(Clone, Copy)]
struct Bounds {
    timeout: Duration,
    max_inline_bytes: u32,
}

impl ExtractionConfig {
    /// Reads the settings. Those of a model that is not chosen may be missing or wrong.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let choice = r.required("EXTRACTOR", |text| match text {
            "rules" => Ok(ExtractorChoice::Rules),
            "gemini" => Ok(ExtractorChoice::Gemini),
            "openai" => Ok(ExtractorChoice::OpenAi),
            _ => Err("must be rules, gemini or openai".to_owned()),
        });
        let fallback = r.required("EXTRACTOR_FALLBACK", |text| match text {
            "none" => Ok(Fallback::None),
            "rules" => Ok(Fallback::Rules),
            _ => Err("must be none or rules".to_owned()),
        });
        let bounds = bounds(r);
        let extractor = match choice? {
            ExtractorChoice::Rules => Some(SelectedExtractor::Rules(Rules)),
            ExtractorChoice::Gemini => gemini(r, bounds),
            ExtractorChoice::OpenAi => openai(r, bounds),
        };
        bounds?;
        Some(Self {
            extractor: WithFallback::new(extractor?, fallback?),
        })
    }
}

fn bounds(r: &mut Reader<'_>) -> Option<Bounds> {
    // An attempt of the job may take one minute in all.
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

/// A key as it is written. The client of the model refuses a text that cannot be one.
fn key(text: &str) -> SecretString {
    text.to_owned().into()
}

fn gemini(r: &mut Reader<'_>, bounds: Option<Bounds>) -> Option<SelectedExtractor> {
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
    gemini.ok().map(SelectedExtractor::Gemini)
}

fn openai(r: &mut Reader<'_>, bounds: Option<Bounds>) -> Option<SelectedExtractor> {
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
    openai.ok().map(SelectedExtractor::OpenAi)
}

/// Reports a mistake under the name of its setting.
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
    fn without_settings_the_extractor_is_the_rules() {
        assert!(read(&[]).unwrap().contains("Rules"));
    }

    #[test]
    fn all_mistakes_in_the_settings_of_a_model_are_reported_at_once() {
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
    fn an_unusable_setting_of_a_model_is_named_and_not_quoted() {
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
    fn a_configured_model_is_used_and_its_key_is_not_shown() {
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
