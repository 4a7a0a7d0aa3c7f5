//! What Bedrock says went wrong.
//!
//! Follows <https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html>.
//! The kind stands in the `x-amzn-errortype` header, or in the body as `__type`, in both perhaps with a namespace or
//! an address around it. One kind serves several causes; they are told apart by the message, in the wordings of
//! that page and of public reports. Those of a conversation that is too long were seen there in 2023 to 2026 ("Input is
//! too long for requested model", "prompt is too long"); the others are not verified.

use http::HeaderMap;
use serde::Deserialize;

use crate::anthropic::error::{class_of_status, retry_after};
use crate::error::{ErrorClass, MESSAGE_BYTES_MAX, UpstreamError, kept};

const ERROR_TYPE: &str = "x-amzn-errortype";

/// The status of an error that came in mid-stream.
const STATUS_IN_STREAM: u16 = 200;

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireError {
    #[serde(alias = "Message", alias = "errorMessage")]
    message: Option<String>,
    #[serde(rename = "__type", alias = "code")]
    kind: Option<String>,
}

/// Reads an error answer. Never fails: what cannot be read is classified by its status.
#[must_use]
pub fn decode(status: u16, headers: &HeaderMap, body: &[u8]) -> UpstreamError {
    let error: WireError = sluice_units::json::from_slice(body).unwrap_or_else(|_| plain(body));
    let header = headers
        .get(ERROR_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let mut error = classified(status, header.or(error.kind), error.message);
    error.retry_after = retry_after(headers);
    error
}

/// Reads an exception that came in mid-stream.
pub(super) fn in_stream(kind: &str, payload: &[u8]) -> UpstreamError {
    let error: WireError =
        sluice_units::json::from_slice(payload).unwrap_or_else(|_| plain(payload));
    classified(STATUS_IN_STREAM, Some(kind.to_owned()), error.message)
}

/// Reads an error that the framing itself carries.
pub(super) fn in_frame(kind: &str, message: &str) -> UpstreamError {
    classified(
        STATUS_IN_STREAM,
        Some(kind.to_owned()),
        Some(message.to_owned()),
    )
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

fn classified(status: u16, kind: Option<String>, message: Option<String>) -> UpstreamError {
    let kind = kind.as_deref().map(bare).filter(|kind| !kind.is_empty());
    let message = kept(&message.unwrap_or_default());
    let class = class(status, kind, &message);
    UpstreamError {
        class,
        status,
        param: param(class, &message),
        code: kind.map(kept),
        message,
        retry_after: None,
    }
}

/// `aws.protocol#ValidationException:http://…` is `ValidationException`.
fn bare(kind: &str) -> &str {
    let kind = kind.split(':').next().unwrap_or(kind);
    kind.rsplit('#').next().unwrap_or(kind).trim()
}

const TOO_LONG: [&str; 8] = [
    "input is too long",
    "prompt is too long",
    "too many input tokens",
    "exceeds the maximum number of input tokens",
    "exceeds maximum length",
    "exceed context limit",
    "context length",
    "context window",
];
const REFUSED: [&str; 3] = [
    "content filtering policy",
    "usage policy",
    "blocked by our content filters",
];
/// The gateway's own configuration names what is not there, or what cannot be called like this.
const NO_SUCH_MODEL: [&str; 3] = [
    "model identifier is invalid",
    "on-demand throughput isn",
    "doesn't support the model",
];
const NOT_ALLOWED: [&str; 1] = ["operation not allowed"];
/// A rate recovers within a minute; a day's quota does not.
const BY_DAY: [&str; 1] = ["tokens per day"];
const BAD_KEY: [&str; 5] = [
    "security token",
    "authentication failed",
    "bearer token",
    "api key",
    "signature",
];
const WRONG_COUNTRY: [&str; 2] = ["unsupported countr", "not available in your"];

fn class(status: u16, kind: Option<&str>, message: &str) -> ErrorClass {
    let lower = message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    let class = kind
        .and_then(class_of_kind)
        .unwrap_or_else(|| class_of_status(status));
    match class {
        ErrorClass::InvalidRequest if says(&TOO_LONG) => ErrorClass::ContextLength,
        ErrorClass::InvalidRequest if says(&REFUSED) => ErrorClass::ContentPolicy,
        ErrorClass::InvalidRequest if says(&NO_SUCH_MODEL) => ErrorClass::NotFound,
        ErrorClass::InvalidRequest if says(&NOT_ALLOWED) => ErrorClass::Permission,
        ErrorClass::InvalidRequest | ErrorClass::Permission if says(&WRONG_COUNTRY) => {
            ErrorClass::UnsupportedCountry
        }
        ErrorClass::Permission if says(&BAD_KEY) => ErrorClass::Authentication,
        ErrorClass::RateLimited if says(&BY_DAY) => ErrorClass::QuotaExhausted,
        class => class,
    }
}

/// Exceptions are written with a capital in headers and without one in streams.
fn class_of_kind(kind: &str) -> Option<ErrorClass> {
    let kind = kind.strip_suffix("Exception").unwrap_or(kind);
    Some(match kind.to_ascii_lowercase().as_str() {
        "validation" | "serialization" => ErrorClass::InvalidRequest,
        "unrecognizedclient"
        | "invalidsignature"
        | "expiredtoken"
        | "incompletesignature"
        | "missingauthenticationtoken"
        | "invalidclienttokenid"
        | "signaturedoesnotmatch"
        | "notauthorized" => ErrorClass::Authentication,
        "accessdenied" | "optinrequired" => ErrorClass::Permission,
        "resourcenotfound" | "unknownoperation" => ErrorClass::NotFound,
        "throttling"
        | "throttled"
        | "toomanyrequests"
        | "requestlimitexceeded"
        | "servicequotaexceeded" => ErrorClass::RateLimited,
        "modelnotready" | "serviceunavailable" => ErrorClass::Overloaded,
        "modeltimeout" | "requesttimeout" | "requestexpired" => ErrorClass::Timeout,
        "modelerror"
        | "modelstreamerror"
        | "internalserver"
        | "internalfailure"
        | "internalservererror" => ErrorClass::Server,
        _ => return None,
    })
}

/// The messages of validation name the field: `… at 'messages.1.member.content' failed to satisfy …`.
fn param(class: ErrorClass, message: &str) -> Option<String> {
    if class != ErrorClass::InvalidRequest {
        return None;
    }
    let (_, rest) = message.split_once(" at '")?;
    let (field, _) = rest.split_once('\'')?;
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    (!field.is_empty() && field.bytes().all(is_path)).then(|| field.to_owned())
}
