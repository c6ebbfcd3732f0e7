//! Gemini, through its REST API: <https://ai.google.dev/api/generate-content>.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::{
    BadAnswer, ExtractError, ExtractedBy, Extraction, Extractor, MessageContent,
    ModelAccountProblem, ModelConfigError, ModelRefusal,
    answer::{ModelAnswer, gemini_schema},
    http::{self, Dialect},
    prompt,
    question::ModelQuestion,
};

/// Thinking tokens count, too.
const MAX_OUTPUT_TOKENS: u32 = 8192;

/// The configuration of Gemini.
#[derive(Clone)]
pub struct GeminiConfig {
    /// `GOOGLE_GEMINI_API_KEY`.
    pub api_key: SecretString,
    /// `GEMINI_MODEL`, such as `gemini-flash-latest`.
    pub model: String,
    /// `https://generativelanguage.googleapis.com`, except in tests.
    pub base_url: Url,
    /// How long one request may take.
    pub timeout: Duration,
    /// How many bytes all files of a request may have. Gemini accepts requests of at most 20 MB,
    /// with files in base64.
    pub max_inline_bytes: u32,
}

impl fmt::Debug for GeminiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GeminiConfig({}, [sealed])", self.model)
    }
}

/// `EXTRACTOR=gemini`. Cheap to clone.
#[derive(Clone)]
pub struct Gemini(Arc<GeminiEndpoint>);

struct GeminiEndpoint {
    http: reqwest::Client,
    url: String,
    key: HeaderValue,
    max_inline_bytes: u32,
}

impl fmt::Debug for Gemini {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gemini({}, [sealed])", self.0.url)
    }
}

impl Gemini {
    /// A client of the model.
    pub fn new(config: &GeminiConfig) -> Result<Self, ModelConfigError> {
        let model = config
            .model
            .strip_prefix("models/")
            .unwrap_or(&config.model);
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !model.chars().all(named) || !model.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(ModelConfigError::Model);
        }
        let base = http::base(&config.base_url)?;
        let mut key = HeaderValue::from_str(config.api_key.expose_secret())
            .map_err(|_| ModelConfigError::Key)?;
        key.set_sensitive(true);
        Ok(Self(Arc::new(GeminiEndpoint {
            http: http::client(config.timeout)?,
            url: format!("{base}/v1beta/models/{model}:generateContent"),
            key,
            max_inline_bytes: config.max_inline_bytes,
        })))
    }

    async fn ask(&self, question: &mut ModelQuestion<'_>) -> Result<ModelAnswer, ExtractError> {
        let request = self.0.http.post(&self.0.url);
        // In a header, because proxies write URLs to logs.
        let request = request.header("x-goog-api-key", self.0.key.clone());
        let request = request.json(&GeminiRequest::of(question));
        let answer = http::ask(request, &DIALECT).await?;
        ModelAnswer::read(&generated(answer)?).map_err(ExtractError::BadAnswer)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GeminiRequest {
    system_instruction: GeminiTurn,
    contents: [GeminiTurn; 1],
    generation_config: Value,
}

#[derive(Serialize)]
struct GeminiTurn {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<GeminiRequestPart>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum GeminiRequestPart {
    Text(String),
    InlineData {
        mime_type: &'static str,
        data: String,
    },
}

impl GeminiRequest {
    /// Moves the files out of the question, so that they are dropped once the request is written.
    fn of(question: &mut ModelQuestion<'_>) -> Self {
        let files = question.take_files().into_iter();
        let files = files.map(|file| GeminiRequestPart::InlineData {
            mime_type: file.content_type,
            data: file.base64,
        });
        let text = GeminiRequestPart::Text(prompt::data(question.text()));
        Self {
            system_instruction: GeminiTurn {
                role: None,
                parts: vec![GeminiRequestPart::Text(prompt::INSTRUCTIONS.to_owned())],
            },
            contents: [GeminiTurn {
                role: Some("user"),
                parts: std::iter::once(text).chain(files).collect(),
            }],
            generation_config: json!({
                "candidateCount": 1,
                "maxOutputTokens": MAX_OUTPUT_TOKENS,
                "responseMimeType": "application/json",
                "responseSchema": gemini_schema(),
            }),
        }
    }
}

impl Extractor for Gemini {
    async fn extract<'a>(
        &'a self,
        message: &'a MessageContent<'a>,
    ) -> Result<Extraction, ExtractError> {
        let mut question = ModelQuestion::of(message, takes, self.0.max_inline_bytes).await?;
        if !question.is_worth_asking() {
            return Ok(question.unasked());
        }
        let answer = self.ask(&mut question).await?;
        Ok(question.answered(answer, ExtractedBy::Gemini))
    }
}

/// Gemini's names of the types that it accepts: <https://ai.google.dev/gemini-api/docs/audio>,
/// `…/image-understanding`, `…/video-understanding`. It does not accept AMR, in which many phones
/// record.
fn takes(essence: &str) -> Option<&'static str> {
    Some(match essence {
        "image/jpeg" | "image/jpg" => "image/jpeg",
        "image/png" => "image/png",
        "image/webp" => "image/webp",
        "image/heic" => "image/heic",
        "image/heif" => "image/heif",
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => "audio/wav",
        "audio/mpeg" | "audio/mp3" => "audio/mp3",
        "audio/aiff" | "audio/x-aiff" => "audio/aiff",
        "audio/aac" => "audio/aac",
        "audio/ogg" => "audio/ogg",
        "audio/flac" | "audio/x-flac" => "audio/flac",
        "audio/mp4" | "audio/m4a" | "audio/x-m4a" => "audio/m4a",
        "video/mp4" => "video/mp4",
        "video/mpeg" => "video/mpeg",
        "video/quicktime" => "video/mov",
        "video/webm" => "video/webm",
        "video/3gpp" => "video/3gpp",
        _ => return None,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiResponse {
    #[serde(default)]
    candidates: Vec<GeminiCandidate>,
    prompt_feedback: Option<GeminiPromptFeedback>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiPromptFeedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiCandidate {
    content: Option<GeminiContent>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct GeminiContent {
    #[serde(default)]
    parts: Vec<GeminiPart>,
}

#[derive(Deserialize)]
struct GeminiPart {
    text: Option<String>,
    /// True for a thought, which is not part of the answer.
    #[serde(default)]
    thought: bool,
}

/// The text that the model generated, if it is complete.
fn generated(answer: Value) -> Result<String, ExtractError> {
    let bad = |what| Err(ExtractError::BadAnswer(what));
    let Ok(answer) = serde_json::from_value::<GeminiResponse>(answer) else {
        return bad(BadAnswer::Protocol);
    };
    let blocked = answer
        .prompt_feedback
        .and_then(|feedback| feedback.block_reason);
    if blocked.is_some() {
        return Err(ExtractError::Refused(ModelRefusal::Safety));
    }
    let Some(candidate) = answer.candidates.into_iter().next() else {
        return bad(BadAnswer::Empty);
    };
    match candidate.finish_reason.as_deref() {
        Some("STOP") => {}
        Some("MAX_TOKENS") => return bad(BadAnswer::Cut),
        Some(
            "SAFETY"
            | "RECITATION"
            | "LANGUAGE"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION",
        ) => return Err(ExtractError::Refused(ModelRefusal::Safety)),
        // `OTHER`, `MALFORMED_FUNCTION_CALL` and values that are added later: another attempt may
        // succeed.
        Some(_) | None => return bad(BadAnswer::Protocol),
    }
    let parts = candidate
        .content
        .map(|content| content.parts)
        .unwrap_or_default();
    let said = parts
        .into_iter()
        .filter(|part| !part.thought)
        .filter_map(|part| part.text);
    Ok(said.collect())
}

const DIALECT: Dialect = Dialect { refine, after };

/// The cause of a 400 is our request or our account:
/// <https://ai.google.dev/gemini-api/docs/troubleshooting>.
fn refine(status: u16, body: &Value) -> Option<ExtractError> {
    let error = &body["error"];
    let has_reason = |reason: &str| {
        let details = error["details"].as_array();
        details.is_some_and(|details| details.iter().any(|detail| detail["reason"] == reason))
    };
    let problem = if has_reason("API_KEY_INVALID") || has_reason("API_KEY_EXPIRED") {
        ModelAccountProblem::Credentials
    } else if status == 400 && error["status"] == "FAILED_PRECONDITION" {
        ModelAccountProblem::Billing
    } else {
        return None;
    };
    Some(ExtractError::Account { status, problem })
}

/// `"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}]`
fn after(_: &HeaderMap, body: &Value) -> Option<Duration> {
    let details = body["error"]["details"].as_array()?;
    let delay = details
        .iter()
        .find_map(|detail| detail["retryDelay"].as_str())?;
    http::seconds(delay.strip_suffix('s')?)
}
