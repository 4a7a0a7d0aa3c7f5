//! What can be wrong with a request, with an answer, and what a provider says went wrong.

use std::borrow::Cow;

use sluice_units::Span;
use thiserror::Error;

/// A caller's request that cannot be understood. Becomes a 400 in the caller's dialect.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Malformed {
    /// Stable, snake_case: `invalid_json`, `invalid_type`, `missing_required_parameter`, `duplicate_key`,
    /// `invalid_value`, `integer_below_min_value`, `unsupported_parameter`, `nesting_too_deep`.
    pub code: &'static str,
    /// The field at fault, such as `messages[1].content`; `None` when it is the body as a whole.
    pub param: Option<String>,
    /// A sentence that says what is wrong, and what to do. Never echoes more than a few bytes of the input.
    pub message: String,
}

/// An upstream answer that is not what its dialect says. Becomes a 502.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Not JSON, or JSON of another shape.
    #[error("the provider's answer is not valid {dialect}: {detail}")]
    Shape {
        /// The dialect that was expected.
        dialect: &'static str,
        /// What was wrong, without the answer's content.
        detail: String,
    },
    /// The stream ended before its end was said.
    #[error("the provider's stream ended before it was complete")]
    Truncated,
    /// One event was larger than the bound.
    #[error("an event of the provider's stream is larger than {0} bytes")]
    EventTooLarge(usize),
}

/// A request that a dialect cannot express and that must not be sent altered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{dialect} cannot express {field}: {reason}")]
pub struct EncodeError {
    /// The target's dialect.
    pub dialect: &'static str,
    /// The field in the caller's request.
    pub field: String,
    /// Why.
    pub reason: String,
}

/// What a provider says went wrong, in one classification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamError {
    /// Whose fault it is, and so whether to try again.
    pub class: ErrorClass,
    /// The HTTP status; 200 when the error came in mid-stream.
    pub status: u16,
    /// The provider's own message, bounded to [`MESSAGE_BYTES_MAX`]; empty where it sent none.
    pub message: String,
    /// The provider's own code or type, bounded as the message is.
    pub code: Option<String>,
    /// The field that the provider finds at fault, bounded as the message is.
    pub param: Option<String>,
    /// How long to wait before another try, from the header or the body.
    pub retry_after: Option<Span>,
}

/// The longest provider message that is kept, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 2_048;

/// Whose fault an upstream error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request is wrong; it will be wrong elsewhere too.
    InvalidRequest,
    /// The request is larger than the model's context window.
    ContextLength,
    /// The provider's safety policy refuses the request.
    ContentPolicy,
    /// The provider does not accept the gateway's key.
    Authentication,
    /// The key may not use this model or feature.
    Permission,
    /// The provider does not serve callers from this country.
    UnsupportedCountry,
    /// The provider does not know the model or the address.
    NotFound,
    /// Too many requests or tokens just now.
    RateLimited,
    /// The account has no credit left.
    QuotaExhausted,
    /// The provider is overloaded.
    Overloaded,
    /// The provider took too long (its own word for it).
    Timeout,
    /// The provider failed.
    Server,
}

impl ErrorClass {
    /// Another try at the same target may succeed.
    #[must_use]
    pub const fn retry_same_target(self) -> bool {
        matches!(
            self,
            Self::RateLimited | Self::Overloaded | Self::Timeout | Self::Server
        )
    }
}

/// The longest wait that a provider is believed, in seconds: a day.
pub(crate) const WAIT_SECONDS_MAX: i64 = 86_400;

/// What a provider says, as it is kept: without keys, and cut to [`MESSAGE_BYTES_MAX`] at a character's border.
pub(crate) fn kept(text: &str) -> String {
    let text = without_keys(text);
    let mut end = text.len().min(MESSAGE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// Words that look like a key are not repeated.
fn without_keys(text: &str) -> Cow<'_, str> {
    const PREFIXES: [&str; 6] = ["sk-", "sk_", "gsk_", "xai-", "AIza", "Bearer"];
    if !PREFIXES.iter().any(|prefix| text.contains(prefix)) {
        return Cow::Borrowed(text);
    }
    let mut after_bearer = false;
    let words = text.split(' ').map(|word| {
        let bare = word.trim_start_matches(['\'', '"', '`', '(', ':']);
        let secret = after_bearer
            || PREFIXES
                .iter()
                .any(|prefix| *prefix != "Bearer" && bare.starts_with(prefix));
        after_bearer = bare == "Bearer";
        if secret { "[redacted]" } else { word }
    });
    Cow::Owned(words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{HeaderValue, RETRY_AFTER};

    use super::*;
    use crate::dialect::{Dialect, decode_error};

    fn each(body: &str, check: impl Fn(&UpstreamError, Dialect)) {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from(10 * WAIT_SECONDS_MAX));
        for dialect in Dialect::ALL {
            check(
                &decode_error(dialect, 400, &headers, body.as_bytes()),
                dialect,
            );
        }
    }

    #[test]
    fn whatever_a_provider_says_is_bounded() {
        let long = "é".repeat(MESSAGE_BYTES_MAX);
        let path = "a.".repeat(MESSAGE_BYTES_MAX);
        let fields = format!(
            r#""message":"{path}: {long}","detail":"{long}","code":"{long}","type":"{long}","param":"{long}","status":"{long}","__type":"{long}""#
        );
        let details =
            format!(r#"[{{"@type":"a.BadRequest","fieldViolations":[{{"field":"{long}"}}]}}]"#);
        for body in [
            format!(r#"{{{fields}}}"#),
            format!(r#"{{"error":{{{fields},"details":{details}}}}}"#),
            format!("x{long}"),
        ] {
            each(&body, |error, dialect| {
                let words = [&error.code, &error.param];
                let texts = words.into_iter().flatten().chain([&error.message]);
                for text in texts {
                    assert!(text.len() <= MESSAGE_BYTES_MAX, "{dialect:?}");
                }
                let day = Span::from_seconds(WAIT_SECONDS_MAX);
                assert_eq!(error.retry_after, Some(day), "{dialect:?}");
            });
        }
    }

    #[test]
    fn no_provider_repeats_a_key() {
        for body in [
            r#"{"error":{"message":"Wrong key: 'sk-live-1234'","type":"a"},"message":"Wrong key: sk-live-1234"}"#,
            r#"{"message":"Wrong key: sk-live-1234"}"#,
            "Wrong key: Bearer sk-live-1234",
        ] {
            each(body, |error, dialect| {
                assert!(
                    !error.message.contains("1234"),
                    "{dialect:?}: {}",
                    error.message
                );
            });
        }
    }
}
