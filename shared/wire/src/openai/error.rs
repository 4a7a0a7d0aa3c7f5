//! Errors: what compatible providers send, and what OpenAI's clients expect.
//!
//! Decoding never fails. The envelope is looked for in every known shape; the class follows the code, then the
//! message, then the status. What looks like a key is cut out of messages: OpenAI repeats parts of it.

pub(crate) mod classify;
mod wait;

use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::error::{MESSAGE_BYTES_MAX, UpstreamError, kept};

/// The `object` of an error that has no envelope around it.
pub(super) const FLAT: &str = "error";

/// An error as OpenAI's clients expect it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorBody<'a> {
    /// A sentence for a person.
    pub message: &'a str,
    /// OpenAI's `type`, such as `invalid_request_error`.
    pub kind: &'a str,
    /// The field at fault.
    pub param: Option<&'a str>,
    /// Stable, for programs.
    pub code: Option<&'a str>,
}

/// Writes an error; the same object is the body of a failed answer and the data of a stream's last event.
#[must_use]
pub fn encode(body: &ErrorBody<'_>) -> Vec<u8> {
    json!({
        "error": {
            "message": body.message,
            "type": body.kind,
            "param": body.param,
            "code": body.code,
        }
    })
    .to_string()
    .into_bytes()
}

/// Reads a provider's error answer, also one that came with a 2xx.
#[must_use]
pub fn decode(status: u16, headers: &HeaderMap, body: &[u8]) -> UpstreamError {
    let said = match sluice_units::json::from_slice(body) {
        Ok(value) => Said::of(value),
        Err(_) => Said::plain(body),
    };
    let mut error = said.into_error(status);
    error.retry_after = wait::of_headers(headers)
        .or(error.retry_after)
        .or_else(|| wait::of_limits(status, headers));
    error
}

/// A provider's error as a stream's last event.
pub(super) fn encode_upstream(error: &UpstreamError) -> Vec<u8> {
    let (kind, code) = classify::words(error.class);
    let message = if error.message.is_empty() {
        "The provider failed while it was answering."
    } else {
        error.message.as_str()
    };
    encode(&ErrorBody {
        message,
        kind,
        param: error.param.as_deref(),
        code: Some(code),
    })
}

/// The error that a stream's chunk holds, if it holds one.
pub(crate) fn in_stream(chunk: &Map<String, Value>) -> Option<UpstreamError> {
    let choice_error = || {
        let choices = chunk.get("choices")?.as_array()?;
        choices.iter().find_map(|choice| {
            let error = choice.get("error").filter(|error| !error.is_null());
            // OpenRouter's word, with or without the reason beside it: <https://openrouter.ai/docs/api/reference/overview>.
            let said = choice.get("finish_reason").and_then(Value::as_str) == Some("error");
            error.or(said.then_some(&Value::Null))
        })
    };
    // Mistral's and vLLM's envelope is flat.
    if chunk.get("object").and_then(Value::as_str) == Some(FLAT) {
        return Some(Said::of(Value::Object(chunk.clone())).into_error(200));
    }
    let groq = || chunk.get("x_groq")?.get("error");
    let error = chunk
        .get("error")
        .filter(|error| !error.is_null())
        .or_else(groq)
        .or_else(choice_error)?;
    let mut envelope = Map::new();
    envelope.insert("error".to_owned(), error.clone());
    Some(Said::of(Value::Object(envelope)).into_error(200))
}

/// What a provider said, whatever its envelope.
#[derive(Debug, Default)]
struct Said {
    message: String,
    code: Option<String>,
    kind: Option<String>,
    param: Option<String>,
}

impl Said {
    /// Text that is no JSON. A page of HTML says nothing that a caller wants to read.
    fn plain(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body.get(..MESSAGE_BYTES_MAX).unwrap_or(body));
        let text = text.trim();
        let message = if text.starts_with('<') { "" } else { text };
        Self {
            message: message.to_owned(),
            ..Self::default()
        }
    }

    fn of(value: Value) -> Self {
        let mut fields = match value {
            Value::Object(fields) => fields,
            // Gemini's compatible address wraps its error in an array, as public reports of 2025 and 2026 show.
            Value::Array(items) => match items.into_iter().next() {
                Some(Value::Object(fields)) => fields,
                _ => return Self::default(),
            },
            Value::String(message) => {
                return Self {
                    message,
                    ..Self::default()
                };
            }
            _ => return Self::default(),
        };
        match fields.shift_remove("error") {
            Some(Value::Object(error)) => Self::of_fields(&error),
            Some(Value::String(message)) => Self {
                message,
                ..Self::of_fields(&fields)
            },
            _ => Self::of_fields(&fields),
        }
    }

    fn of_fields(fields: &Map<String, Value>) -> Self {
        // Mistral puts the whole detail where others put a sentence, as public reports of 2024 to 2026 show.
        let inner = fields.get("message").and_then(|inner| inner.get("detail"));
        let detail = inner.or_else(|| fields.get("detail"));
        let first = detail.and_then(|detail| detail.get(0));
        let mut said = Self {
            message: text(fields.get("message"))
                .or_else(|| text(fields.get("msg")))
                .or_else(|| text(detail))
                .or_else(|| text(first?.get("msg")))
                .unwrap_or_default(),
            code: text(fields.get("code")),
            kind: text(fields.get("type"))
                .or_else(|| text(fields.get("status")))
                .filter(|kind| !is_number(kind)),
            param: text(fields.get("param")).or_else(|| location(first?.get("loc")?)),
        };
        // Azure's finer word; its plain code may be a bare status.
        let inner = fields.get("innererror").and_then(|inner| inner.get("code"));
        if said.code.as_deref().is_none_or(is_number) {
            said.code = text(inner).or(said.code);
        }
        // OpenRouter passes on what its own upstream said, by its page on errors.
        let raw = fields
            .get("metadata")
            .and_then(|metadata| text(metadata.get("raw")));
        if let Some(raw) = raw {
            said.adopt(&raw);
        }
        said
    }

    fn adopt(&mut self, raw: &str) {
        let inner = match sluice_units::json::from_slice(raw.as_bytes()) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => Self::of(value),
            _ => Self::plain(raw.as_bytes()),
        };
        if !inner.message.is_empty() {
            self.message = inner.message;
        }
        if inner.code.as_deref().is_some_and(|code| !is_number(code)) {
            self.code = inner.code;
        }
        self.param = inner.param.or_else(|| self.param.take());
    }

    fn into_error(self, status: u16) -> UpstreamError {
        let class = classify::class(
            status,
            self.code.as_deref(),
            self.kind.as_deref(),
            &self.message,
        );
        UpstreamError {
            class,
            status,
            retry_after: wait::of_message(&self.message),
            message: kept(&self.message),
            // A bare status is no code that anyone could match on.
            code: self
                .code
                .filter(|code| !is_number(code))
                .or(self.kind)
                .map(|code| kept(&code)),
            param: self.param.map(|param| kept(&param)),
        }
    }
}

/// A text, or a number as text.
fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The roles of messages.
const ROLES: [&str; 4] = ["system", "user", "assistant", "tool"];

/// Mistral's `["body", "messages", 0, "user", "name"]`, in which the message's role names no field; seen in public
/// reports of 2024 to 2026.
fn location(value: &Value) -> Option<String> {
    let mut path = String::new();
    for step in value.as_array()?.iter().filter(|step| *step != "body") {
        let is_role = step.as_str().is_some_and(|step| ROLES.contains(&step));
        match step {
            _ if is_role && path.ends_with(']') => {}
            Value::String(name) if path.is_empty() => path.push_str(name),
            Value::String(name) => path.push_str(&format!(".{name}")),
            other => path.push_str(&format!("[{other}]")),
        }
    }
    (!path.is_empty()).then_some(path)
}
