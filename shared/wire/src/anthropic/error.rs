//! What Anthropic says went wrong, and what its clients expect to be told.
//!
//! Follows <https://docs.claude.com/en/api/errors>. One status and type serve several causes
//! (a prompt too long and an empty account are both `invalid_request_error`); they are told apart by the message,
//! in wordings that are not verified.

use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use sluice_units::Span;

use crate::error::{ErrorClass, MESSAGE_BYTES_MAX, UpstreamError, WAIT_SECONDS_MAX, kept};

/// The status of an error that came in mid-stream.
const STATUS_IN_STREAM: u16 = 200;

#[derive(Deserialize)]
struct Envelope {
    error: WireError,
}

/// The error object, in a body or in a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireError {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<String>,
}

/// Reads an error answer. Never fails: what cannot be read is classified by its status.
#[must_use]
pub fn decode(status: u16, headers: &HeaderMap, body: &[u8]) -> UpstreamError {
    let error = sluice_units::json::from_slice(body)
        .map_or_else(|_| plain(body), |envelope: Envelope| envelope.error);
    let mut error = classified(status, error);
    error.retry_after = retry_after(headers);
    error
}

/// Reads an error that came in mid-stream.
pub(super) fn in_stream(error: WireError) -> UpstreamError {
    classified(STATUS_IN_STREAM, error)
}

/// A body that is not the dialect's: a relay's page or line. A page is of no use to anyone.
fn plain(body: &[u8]) -> WireError {
    let text = String::from_utf8_lossy(body.get(..MESSAGE_BYTES_MAX).unwrap_or(body));
    let text = text.trim();
    let readable = !text.starts_with(['<', '{', '[']) && !text.is_empty();
    WireError {
        kind: None,
        message: readable.then(|| text.to_owned()),
    }
}

fn classified(status: u16, error: WireError) -> UpstreamError {
    let message = kept(&error.message.unwrap_or_default());
    let class = class(status, error.kind.as_deref(), &message);
    UpstreamError {
        class,
        status,
        param: param(class, &message),
        message,
        code: error.kind.map(|kind| kept(&kind)),
        retry_after: None,
    }
}

fn class(status: u16, kind: Option<&str>, message: &str) -> ErrorClass {
    let lower = message.to_ascii_lowercase();
    let class = kind
        .and_then(class_of_type)
        .unwrap_or_else(|| class_of_status(status));
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    match class {
        ErrorClass::InvalidRequest if says(&TOO_LONG) => ErrorClass::ContextLength,
        ErrorClass::InvalidRequest if says(&REFUSED) => ErrorClass::ContentPolicy,
        ErrorClass::InvalidRequest | ErrorClass::RateLimited | ErrorClass::Permission
            if says(&NO_CREDIT) =>
        {
            ErrorClass::QuotaExhausted
        }
        ErrorClass::Permission if says(&WRONG_COUNTRY) => ErrorClass::UnsupportedCountry,
        class => class,
    }
}

const TOO_LONG: [&str; 4] = [
    "prompt is too long",
    "exceed context limit",
    "exceeds the context window",
    "exceed the context window",
];
const REFUSED: [&str; 2] = ["content filtering policy", "usage policy"];
const NO_CREDIT: [&str; 3] = [
    "credit balance is too low",
    "specified api usage limits",
    "workspace api usage limits",
];
/// `Request not allowed` is what callers from other countries get.
const WRONG_COUNTRY: [&str; 3] = [
    "request not allowed",
    "not available in your",
    "unsupported country",
];

fn class_of_type(kind: &str) -> Option<ErrorClass> {
    Some(match kind {
        "invalid_request_error" | "request_too_large" => ErrorClass::InvalidRequest,
        "authentication_error" => ErrorClass::Authentication,
        "billing_error" => ErrorClass::QuotaExhausted,
        "permission_error" | "forbidden" => ErrorClass::Permission,
        "not_found_error" => ErrorClass::NotFound,
        "rate_limit_error" => ErrorClass::RateLimited,
        "timeout_error" => ErrorClass::Timeout,
        "overloaded_error" => ErrorClass::Overloaded,
        "api_error" => ErrorClass::Server,
        _ => return None,
    })
}

pub(crate) const fn class_of_status(status: u16) -> ErrorClass {
    match status {
        401 => ErrorClass::Authentication,
        402 => ErrorClass::QuotaExhausted,
        403 => ErrorClass::Permission,
        404 => ErrorClass::NotFound,
        408 | 504 | 522 | 524 => ErrorClass::Timeout,
        429 => ErrorClass::RateLimited,
        503 | 529 => ErrorClass::Overloaded,
        400..=499 => ErrorClass::InvalidRequest,
        _ => ErrorClass::Server,
    }
}

/// The messages of validation begin with the field: `messages.0.content: …`.
fn param(class: ErrorClass, message: &str) -> Option<String> {
    if class != ErrorClass::InvalidRequest {
        return None;
    }
    let (field, _) = message.split_once(':')?;
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    (!field.is_empty() && field.bytes().all(is_path)).then(|| field.to_owned())
}

/// `retry-after` in whole seconds. A date cannot be read without a clock and counts as absent.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Span> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    let seconds: i64 = seconds.trim().parse().ok()?;
    (seconds >= 0).then(|| Span::from_seconds(seconds.min(WAIT_SECONDS_MAX)))
}

/// What Anthropic's clients read in an error's details to go on without a thread (their own types, 2026-11).
pub(crate) const THREAD_UNSUPPORTED: &str = "thread_unsupported_request";

/// An error as Anthropic's clients expect it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorBody<'a> {
    /// Anthropic's `type`, such as `invalid_request_error`; see [`kind`].
    pub kind: &'a str,
    /// A sentence for a person.
    pub message: &'a str,
    /// The gateway's stable code; clients that do not know the field skip it.
    pub code: Option<&'a str>,
    /// The field at fault; clients that do not know it skip it.
    pub param: Option<&'a str>,
    /// The request's identifier, where one is known.
    pub request_id: Option<&'a str>,
}

/// Writes an error; the same object is the body of a failed answer and the data of a stream's last event.
#[must_use]
pub fn encode(body: &ErrorBody<'_>) -> Vec<u8> {
    let mut error = json!({"type": body.kind, "message": body.message});
    if let Some(fields) = error.as_object_mut() {
        for (key, value) in [("code", body.code), ("param", body.param)] {
            fields.extend(value.map(|value| (key.to_owned(), value.into())));
        }
        if body.code == Some(THREAD_UNSUPPORTED) {
            let details = json!({"error_code": THREAD_UNSUPPORTED, "unsupported": ["gateway"]});
            fields.insert("details".to_owned(), details);
        }
    }
    let mut answer = json!({"type": "error", "error": error});
    if let (Some(fields), Some(id)) = (answer.as_object_mut(), body.request_id) {
        fields.insert("request_id".to_owned(), id.into());
    }
    answer.to_string().into_bytes()
}

/// Writes a provider's error for a caller.
#[must_use]
pub fn encode_upstream(error: &UpstreamError, request_id: Option<&str>) -> Vec<u8> {
    let message = if error.message.is_empty() {
        "The provider failed."
    } else {
        &error.message
    };
    encode(&ErrorBody {
        kind: kind(error.class),
        message,
        code: None,
        param: None,
        request_id,
    })
}

/// The `type` for a status, as <https://docs.anthropic.com/en/api/errors> lists them.
#[must_use]
pub const fn kind_of_status(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// The `type` for a class of error.
#[must_use]
pub const fn kind(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::InvalidRequest | ErrorClass::ContextLength | ErrorClass::ContentPolicy => {
            "invalid_request_error"
        }
        ErrorClass::Authentication => "authentication_error",
        ErrorClass::Permission | ErrorClass::UnsupportedCountry => "permission_error",
        ErrorClass::NotFound => "not_found_error",
        ErrorClass::RateLimited => "rate_limit_error",
        ErrorClass::QuotaExhausted => "billing_error",
        ErrorClass::Overloaded => "overloaded_error",
        ErrorClass::Timeout => "timeout_error",
        ErrorClass::Server => "api_error",
    }
}
