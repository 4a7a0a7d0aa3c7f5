//! The small answers: errors, counted tokens, the list of models.
//!
//! Errors follow `google.rpc.Status` (<https://cloud.google.com/apis/design/errors>).

use bytes::Bytes;
use serde_json::{Value, json};
use sluice_units::Span;

use crate::error::{ErrorClass, Malformed, UpstreamError};
use crate::json;
use crate::model::ChatRequest;
use crate::{Drops, EncodeError};

use super::super::{names, value::put};
use super::{message, request};

/// What an error answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorAnswer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The gateway's stable code.
    pub code: &'a str,
    /// The sentence.
    pub message: &'a str,
    /// The field at fault.
    pub param: Option<&'a str>,
    /// How long to wait before another try.
    pub retry_after: Option<Span>,
}

impl<'a> ErrorAnswer<'a> {
    /// A provider's failure in mid-stream.
    pub(super) fn of(error: &'a UpstreamError) -> Self {
        let status = match error.class {
            ErrorClass::InvalidRequest | ErrorClass::ContextLength | ErrorClass::ContentPolicy => {
                400
            }
            ErrorClass::RateLimited | ErrorClass::QuotaExhausted => 429,
            ErrorClass::Overloaded => 503,
            ErrorClass::Timeout => 504,
            ErrorClass::Authentication
            | ErrorClass::Permission
            | ErrorClass::UnsupportedCountry
            | ErrorClass::NotFound
            | ErrorClass::Server => 500,
        };
        Self {
            status,
            code: error.code.as_deref().unwrap_or("upstream_error"),
            message: &error.message,
            param: error.param.as_deref(),
            retry_after: error.retry_after,
        }
    }
}

/// Writes an error answer.
#[must_use]
pub fn encode_error(error: &ErrorAnswer<'_>) -> Vec<u8> {
    error_body(error).to_string().into_bytes()
}

pub(super) fn error_body(error: &ErrorAnswer<'_>) -> Value {
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": error.code.to_ascii_uppercase(),
        "domain": "gateway",
    })];
    if let Some(field) = error.param {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": field, "description": error.message}],
        }));
    }
    if let Some(wait) = error.retry_after {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{}s", wait.as_seconds_ceil()),
        }));
    }
    json!({"error": {
        "code": error.status,
        "message": error.message,
        "status": status_name(error.status),
        "details": details,
    }})
}

const fn status_name(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        402 | 403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        408 | 504 => "DEADLINE_EXCEEDED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        502 | 503 | 529 => "UNAVAILABLE",
        400..=498 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}

/// Reads a request to count tokens: contents alone, or a whole request inside. `model` is the name in the path.
///
/// # Errors
/// As for a request for an answer.
pub fn decode_count_tokens(model: &str, body: &[u8]) -> Result<(ChatRequest, Drops), Malformed> {
    let mut fields = message(Value::Object(json::parse_object(body)?.rest()), "")?;
    let mut drops = Drops::new();
    let inner = match fields.take("generateContentRequest") {
        Some(inner) => message(inner, "generateContentRequest")?,
        None => fields,
    };
    let request = request::decode(model, false, inner, &mut drops)?;
    Ok((request, drops))
}

/// The caller's body for a provider: a whole request inside names the model once more.
///
/// # Errors
/// [`EncodeError`] when the model's name cannot stand there.
pub(crate) fn count_body(body: &Bytes, model: &str) -> Result<Bytes, EncodeError> {
    let Ok(Value::Object(mut fields)) = sluice_units::json::from_slice(body) else {
        return Ok(body.clone());
    };
    let inner = fields.get_mut("generateContentRequest");
    let Some(inner) = inner.and_then(Value::as_object_mut) else {
        return Ok(body.clone());
    };
    inner.insert("model".to_owned(), names::model_resource(model)?.into());
    Ok(Bytes::from(Value::Object(fields).to_string()))
}

/// Writes the count.
#[must_use]
pub fn encode_count_tokens(total: u64) -> Vec<u8> {
    json!({ "totalTokens": total }).to_string().into_bytes()
}

/// One model of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedModel {
    /// The name that callers use.
    pub name: String,
    /// The most input tokens, where known.
    pub input_tokens_max: Option<u64>,
    /// The most output tokens, where known.
    pub output_tokens_max: Option<u64>,
    /// The model makes embeddings, not answers.
    pub embeds: bool,
}

/// Writes the list of models.
#[must_use]
pub fn encode_models(models: &[ListedModel]) -> Vec<u8> {
    let models: Vec<Value> = models.iter().map(listed).collect();
    json!({ "models": models }).to_string().into_bytes()
}

/// Writes one model.
#[must_use]
pub fn encode_model(model: &ListedModel) -> Vec<u8> {
    listed(model).to_string().into_bytes()
}

fn listed(model: &ListedModel) -> Value {
    let methods: &[&str] = if model.embeds {
        &["embedContent", "batchEmbedContents"]
    } else {
        &["generateContent", "streamGenerateContent", "countTokens"]
    };
    let mut listed = json!({
        "name": format!("models/{}", model.name),
        "displayName": model.name,
        "supportedGenerationMethods": methods,
    });
    let limits = [
        ("inputTokenLimit", model.input_tokens_max),
        ("outputTokenLimit", model.output_tokens_max),
    ];
    if let Value::Object(fields) = &mut listed {
        for (key, limit) in limits {
            if let Some(limit) = limit {
                put(fields, key, limit);
            }
        }
    }
    listed
}
