//! `OpenAI`, and other services with its protocol:
//! <https://platform.openai.com/docs/api-reference/chat/create>.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::{
    BadAnswer, ExtractError, ExtractedBy, Extraction, Extractor, MessageContent,
    ModelAccountProblem, ModelConfigError, ModelRefusal,
    answer::{ModelAnswer, json_schema},
    http::{self, Dialect},
    prompt,
    question::{InlineFile, ModelQuestion},
};

/// The configuration of a model behind such an endpoint.
#[derive(Clone)]
pub struct OpenAiConfig {
    /// `OPENAI_API_KEY`. A private endpoint may need none.
    pub api_key: Option<SecretString>,
    /// `OPENAI_MODEL`.
    pub model: String,
    /// `OPENAI_BASE_URL`, with its version: `https://api.openai.com/v1`.
    pub base_url: Url,
    /// How long one request may take.
    pub timeout: Duration,
    /// How many bytes all files of a request may have.
    pub max_inline_bytes: u32,
}

impl fmt::Debug for OpenAiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenAiConfig({}, [sealed])", self.model)
    }
}

/// `EXTRACTOR=openai`. Cheap to clone.
#[derive(Clone)]
pub struct OpenAi(Arc<OpenAiEndpoint>);

struct OpenAiEndpoint {
    http: reqwest::Client,
    url: String,
    key: Option<HeaderValue>,
    model: String,
    max_inline_bytes: u32,
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenAi({}, {}, [sealed])", self.0.url, self.0.model)
    }
}

impl OpenAi {
    /// A client of the model.
    pub fn new(config: &OpenAiConfig) -> Result<Self, ModelConfigError> {
        let base = http::base(&config.base_url)?;
        let key = match &config.api_key {
            None => None,
            Some(key) => {
                let key = format!("Bearer {}", key.expose_secret());
                let mut key = HeaderValue::from_str(&key).map_err(|_| ModelConfigError::Key)?;
                key.set_sensitive(true);
                Some(key)
            }
        };
        Ok(Self(Arc::new(OpenAiEndpoint {
            http: http::client(config.timeout)?,
            url: format!("{base}/chat/completions"),
            key,
            model: config.model.clone(),
            max_inline_bytes: config.max_inline_bytes,
        })))
    }

    async fn ask(&self, question: &mut ModelQuestion<'_>) -> Result<ModelAnswer, ExtractError> {
        let mut request = self.0.http.post(&self.0.url);
        if let Some(key) = &self.0.key {
            request = request.header(AUTHORIZATION, key.clone());
        }
        let request = request.json(&self.body(question));
        let answer = http::ask(request, &DIALECT).await?;
        ModelAnswer::read(&generated(answer)?).map_err(ExtractError::BadAnswer)
    }

    /// Without a token limit or a temperature, as models differ in their names and not all accept
    /// them. Moves the files out of the question, so that they are dropped once the request is
    /// written.
    fn body(&self, question: &mut ModelQuestion<'_>) -> OpenAiRequest<'_> {
        let text = OpenAiPart::Text {
            text: prompt::data(question.text()),
        };
        let files = question.take_files().into_iter().map(part);
        OpenAiRequest {
            model: &self.0.model,
            messages: [
                OpenAiMessage {
                    role: "system",
                    content: OpenAiContent::Text(prompt::INSTRUCTIONS),
                },
                OpenAiMessage {
                    role: "user",
                    content: OpenAiContent::Parts(std::iter::once(text).chain(files).collect()),
                },
            ],
            response_format: json!({
                "type": "json_schema",
                "json_schema": { "name": "extraction", "strict": true, "schema": json_schema() },
            }),
        }
    }
}

#[derive(Serialize)]
struct OpenAiRequest<'a> {
    model: &'a str,
    messages: [OpenAiMessage; 2],
    response_format: Value,
}

#[derive(Serialize)]
struct OpenAiMessage {
    role: &'static str,
    content: OpenAiContent,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OpenAiContent {
    Text(&'static str),
    Parts(Vec<OpenAiPart>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum OpenAiPart {
    Text { text: String },
    ImageUrl { image_url: OpenAiImageUrl },
    InputAudio { input_audio: OpenAiInputAudio },
}

#[derive(Serialize)]
struct OpenAiImageUrl {
    url: String,
}

#[derive(Serialize)]
struct OpenAiInputAudio {
    data: String,
    format: &'static str,
}

impl Extractor for OpenAi {
    async fn extract<'a>(
        &'a self,
        message: &'a MessageContent<'a>,
    ) -> Result<Extraction, ExtractError> {
        let mut question = ModelQuestion::of(message, takes, self.0.max_inline_bytes).await?;
        if !question.is_worth_asking() {
            return Ok(question.unasked());
        }
        let answer = self.ask(&mut question).await?;
        Ok(question.answered(answer, ExtractedBy::OpenAi))
    }
}

/// The types that the protocol accepts: pictures, and recordings as WAV or MP3.
fn takes(essence: &str) -> Option<&'static str> {
    Some(match essence {
        "image/jpeg" | "image/jpg" => "image/jpeg",
        "image/png" => "image/png",
        "image/webp" => "image/webp",
        "image/gif" => "image/gif",
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => "wav",
        "audio/mpeg" | "audio/mp3" => "mp3",
        _ => return None,
    })
}

fn part(file: InlineFile) -> OpenAiPart {
    match file.content_type {
        format @ ("wav" | "mp3") => OpenAiPart::InputAudio {
            input_audio: OpenAiInputAudio {
                data: file.base64,
                format,
            },
        },
        image => OpenAiPart::ImageUrl {
            image_url: OpenAiImageUrl {
                url: format!("data:{image};base64,{}", file.base64),
            },
        },
    }
}

#[derive(Deserialize)]
struct OpenAiCompletion {
    #[serde(default)]
    choices: Vec<OpenAiChoice>,
}

#[derive(Deserialize)]
struct OpenAiChoice {
    message: OpenAiAnswer,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct OpenAiAnswer {
    content: Option<String>,
    refusal: Option<String>,
}

/// The text that the model generated, if it is complete.
fn generated(answer: Value) -> Result<String, ExtractError> {
    let bad = |what| Err(ExtractError::BadAnswer(what));
    let Ok(completion) = serde_json::from_value::<OpenAiCompletion>(answer) else {
        return bad(BadAnswer::Protocol);
    };
    let Some(choice) = completion.choices.into_iter().next() else {
        return bad(BadAnswer::Empty);
    };
    if choice
        .message
        .refusal
        .is_some_and(|refusal| !refusal.is_empty())
    {
        return Err(ExtractError::Refused(ModelRefusal::Declined));
    }
    match choice.finish_reason.as_deref() {
        // Some compatible endpoints give no finish reason. The answer is checked in any case.
        Some("stop" | "eos") | None => {}
        Some("length") => return bad(BadAnswer::Cut),
        Some("content_filter") => return Err(ExtractError::Refused(ModelRefusal::Safety)),
        Some(_) => return bad(BadAnswer::Protocol),
    }
    Ok(choice.message.content.unwrap_or_default())
}

const DIALECT: Dialect = Dialect { refine, after };

/// <https://platform.openai.com/docs/guides/error-codes>
fn refine(status: u16, body: &Value) -> Option<ExtractError> {
    let said = |key: &str| body["error"][key].as_str().unwrap_or_default().to_owned();
    let problem = match (said("code").as_str(), said("type").as_str()) {
        ("content_filter" | "content_policy_violation", _) => {
            return Some(ExtractError::Refused(ModelRefusal::Safety));
        }
        // The status is 429, but waiting does not help.
        ("insufficient_quota" | "credit_balance_exhausted" | "billing_not_active", _)
        | (_, "insufficient_quota") => ModelAccountProblem::Billing,
        ("invalid_api_key", _) => ModelAccountProblem::Credentials,
        ("model_not_found", _) => ModelAccountProblem::Model,
        _ => return None,
    };
    Some(ExtractError::Account { status, problem })
}

/// `retry-after-ms`, which `OpenAI` sometimes sends with `Retry-After`.
fn after(headers: &HeaderMap, _: &Value) -> Option<Duration> {
    let milliseconds = headers.get("retry-after-ms")?.to_str().ok()?;
    http::seconds(milliseconds).map(|thousandfold| thousandfold / 1000)
}
