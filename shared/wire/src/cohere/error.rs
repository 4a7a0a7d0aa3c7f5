//! What Cohere says went wrong.
//!
//! Follows <https://docs.cohere.com/reference/errors>. An error is a status and a sentence; one status
//! serves several causes, told apart by the wordings of that page and of public reports, not verified.

use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::response::is_failure;
use crate::anthropic::error::{class_of_status, retry_after};
use crate::error::{ErrorClass, MESSAGE_BYTES_MAX, UpstreamError, kept};

/// The status of an error that came in mid-stream.
const STATUS_IN_STREAM: u16 = 200;

/// A token of the request or of the answer is on a list of those that are denied.
const STATUS_DENIED: u16 = 498;

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireError {
    #[serde(alias = "data", alias = "detail", alias = "error")]
    message: Option<String>,
}

/// Reads an error answer. Never fails: what cannot be read is classified by its status.
#[must_use]
pub fn decode(status: u16, headers: &HeaderMap, body: &[u8]) -> UpstreamError {
    let mut error = classified(status, read(body), None);
    error.retry_after = retry_after(headers);
    error
}

/// Reads an error object that came in mid-stream.
pub(super) fn in_stream(data: &[u8]) -> UpstreamError {
    classified(STATUS_IN_STREAM, read(data), None)
}

/// The failure that a whole answer says it ended with, if it does.
pub(crate) fn in_answer(answer: &Value) -> Option<UpstreamError> {
    let reason = answer.get("finish_reason").and_then(Value::as_str)?;
    let message = answer.get("error").and_then(Value::as_str);
    is_failure(reason).then(|| of_finish(reason, message.unwrap_or_default().to_owned()))
}

/// The answer ended with this reason, which is a failure.
pub(super) fn of_finish(reason: &str, message: String) -> UpstreamError {
    classified(STATUS_IN_STREAM, message, Some(reason.to_owned()))
}

/// The sentence. A page is of no use to anyone.
fn read(body: &[u8]) -> String {
    if let Ok(error) = sluice_units::json::from_slice::<WireError>(body) {
        return error.message.unwrap_or_default();
    }
    let text = String::from_utf8_lossy(body.get(..MESSAGE_BYTES_MAX).unwrap_or(body));
    let text = text.trim();
    let readable = !text.starts_with(['<', '{', '[']);
    if readable {
        text.to_owned()
    } else {
        String::new()
    }
}

fn classified(status: u16, message: String, code: Option<String>) -> UpstreamError {
    let message = kept(&message);
    UpstreamError {
        class: class(status, code.as_deref(), &message),
        status,
        message,
        code: code.filter(|code| !code.is_empty()).map(|code| kept(&code)),
        param: None,
        retry_after: None,
    }
}

const TOO_LONG: [&str; 4] = [
    "too many tokens",
    "exceeds the maximum number of tokens",
    "context length",
    "exceeds the context",
];
const REFUSED: [&str; 3] = ["blocked output", "blocked input", "safety"];
const NO_SUCH_MODEL: [&str; 3] = ["was removed", "model not found", "finetuned model"];
/// A trial key's month, and an account without a way to pay, do not recover soon.
const SPENT: [&str; 4] = [
    "calls / month",
    "billing",
    "payment",
    "please add or update your payment",
];
const BAD_KEY: [&str; 2] = ["invalid api token", "no api key"];

fn class(status: u16, code: Option<&str>, message: &str) -> ErrorClass {
    let lower = message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    let class = match (status, code) {
        (_, Some("TIMEOUT")) => ErrorClass::Timeout,
        (_, Some("ERROR_TOXIC")) | (STATUS_DENIED, _) => ErrorClass::ContentPolicy,
        (422, _) => ErrorClass::InvalidRequest,
        // Cohere's word for a caller that left.
        (499, _) => ErrorClass::Timeout,
        (status, _) => class_of_status(status),
    };
    match class {
        ErrorClass::InvalidRequest if says(&TOO_LONG) => ErrorClass::ContextLength,
        ErrorClass::InvalidRequest if says(&REFUSED) => ErrorClass::ContentPolicy,
        ErrorClass::InvalidRequest if says(&NO_SUCH_MODEL) => ErrorClass::NotFound,
        ErrorClass::InvalidRequest | ErrorClass::Permission if says(&BAD_KEY) => {
            ErrorClass::Authentication
        }
        ErrorClass::RateLimited if says(&SPENT) => ErrorClass::QuotaExhausted,
        class => class,
    }
}
