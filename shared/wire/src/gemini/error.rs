//! Gemini's errors: the `google.rpc.Status` envelope, classified.
//!
//! Follows <https://ai.google.dev/gemini-api/docs/troubleshooting> and <https://cloud.google.com/apis/design/errors>.
//! As a recorded exchange shows, the wait before another try stands in the body. Not verified: a wrong key is a 400;
//! streams without `alt=sse` wrap the error in an array; a daily quota and a rate are both `RESOURCE_EXHAUSTED`.

use http::{HeaderMap, header};
use serde_json::Value;
use sluice_units::Span;

use crate::error::{ErrorClass, UpstreamError, WAIT_SECONDS_MAX, kept};

/// Reads an error answer. Never fails: what cannot be read is classified by its status.
#[must_use]
pub fn decode(status: u16, headers: &HeaderMap, body: &[u8]) -> UpstreamError {
    let body = sluice_units::json::from_slice(body).unwrap_or(Value::Null);
    let waited = headers
        .get(header::RETRY_AFTER)
        .and_then(|value| seconds(value.to_str().ok()?));
    classify(status, waited, &body)
}

/// Classifies an envelope, or a status where the body is no envelope.
pub(super) fn classify(status: u16, retry_after: Option<Span>, body: &Value) -> UpstreamError {
    let envelope = match body {
        Value::Array(items) => items.first().unwrap_or(body),
        _ => body,
    };
    let error = envelope.get("error").unwrap_or(&Value::Null);
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
    let facts = Facts {
        status: if status == 200 {
            error
                .get("code")
                .and_then(|code| u16::try_from(code.as_u64()?).ok())
                .unwrap_or(500)
        } else {
            status
        },
        name: text("status"),
        message: text("message"),
        details: error
            .get("details")
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice),
    };
    UpstreamError {
        class: facts.class(),
        status,
        message: kept(facts.message),
        code: Some(facts.name).filter(|name| !name.is_empty()).map(kept),
        param: facts.param(),
        retry_after: retry_after.or_else(|| facts.retry_delay()),
    }
}

struct Facts<'a> {
    status: u16,
    name: &'a str,
    message: &'a str,
    details: &'a [Value],
}

impl Facts<'_> {
    fn class(&self) -> ErrorClass {
        if self.speaks_of(&["location is not supported", "not available in your country"]) {
            return ErrorClass::UnsupportedCountry;
        }
        let bad_key =
            self.speaks_of(&["api key not valid", "api key expired", "api key not found"]);
        if bad_key || matches!(self.reason(), Some("API_KEY_INVALID" | "API_KEY_EXPIRED")) {
            return ErrorClass::Authentication;
        }
        match self.name {
            "INVALID_ARGUMENT" | "OUT_OF_RANGE" | "FAILED_PRECONDITION" => self.invalid(),
            "UNAUTHENTICATED" => ErrorClass::Authentication,
            "PERMISSION_DENIED" => ErrorClass::Permission,
            "NOT_FOUND" => ErrorClass::NotFound,
            "RESOURCE_EXHAUSTED" => self.exhausted(),
            "UNAVAILABLE" => ErrorClass::Overloaded,
            "DEADLINE_EXCEEDED" => ErrorClass::Timeout,
            _ => self.class_by_status(),
        }
    }

    fn class_by_status(&self) -> ErrorClass {
        match self.status {
            401 => ErrorClass::Authentication,
            402 => ErrorClass::QuotaExhausted,
            403 => ErrorClass::Permission,
            404 => ErrorClass::NotFound,
            408 | 504 => ErrorClass::Timeout,
            413 => ErrorClass::ContextLength,
            429 => self.exhausted(),
            503 | 529 => ErrorClass::Overloaded,
            400..=498 => self.invalid(),
            _ => ErrorClass::Server,
        }
    }

    fn invalid(&self) -> ErrorClass {
        if self.speaks_of(&[
            "exceeds the maximum number of tokens",
            "context window",
            "context length",
        ]) {
            ErrorClass::ContextLength
        } else if self.speaks_of(&["safety polic", "prohibited use polic", "content polic"]) {
            ErrorClass::ContentPolicy
        } else if self.speaks_of(&["enable billing", "billing account"]) {
            ErrorClass::QuotaExhausted
        } else {
            ErrorClass::InvalidRequest
        }
    }

    /// A rate recovers within a minute; a daily quota, a quota of none and spent credit do not.
    fn exhausted(&self) -> ErrorClass {
        let daily = self
            .of_type("QuotaFailure")
            .filter_map(|detail| detail.get("violations")?.as_array())
            .flatten()
            .filter_map(|violation| violation.get("quotaId")?.as_str())
            .any(|quota| quota.contains("PerDay"));
        let spent = self.speaks_of(&[
            "credits are depleted",
            "spending cap",
            "spend cap",
            "limit: 0",
        ]);
        if daily || spent {
            ErrorClass::QuotaExhausted
        } else {
            ErrorClass::RateLimited
        }
    }

    fn speaks_of(&self, phrases: &[&str]) -> bool {
        let message = self.message.to_ascii_lowercase();
        phrases.iter().any(|phrase| message.contains(phrase))
    }

    fn of_type(&self, name: &'static str) -> impl Iterator<Item = &Value> {
        self.details.iter().filter(move |detail| {
            let kind = detail.get("@type").and_then(Value::as_str);
            kind.is_some_and(|kind| kind.rsplit('.').next() == Some(name))
        })
    }

    fn reason(&self) -> Option<&str> {
        self.of_type("ErrorInfo").next()?.get("reason")?.as_str()
    }

    fn param(&self) -> Option<String> {
        let violations = self.of_type("BadRequest").next()?.get("fieldViolations")?;
        Some(kept(violations.get(0)?.get("field")?.as_str()?))
    }

    fn retry_delay(&self) -> Option<Span> {
        let delay = self.of_type("RetryInfo").next()?.get("retryDelay")?;
        seconds(delay.as_str()?.strip_suffix('s')?)
    }
}

/// Reads `34` or `34.4` as a length of time, rounded up to the microsecond. A date is not read: it needs a clock.
fn seconds(text: &str) -> Option<Span> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = whole.parse().ok().filter(|whole| *whole >= 0)?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded = format!("{fraction:0<6}");
    let (kept, cut) = padded.split_at_checked(6)?;
    let micros: i64 = kept.parse().ok()?;
    let up = i64::from(cut.bytes().any(|byte| byte != b'0'));
    let span = Span::from_seconds(whole.min(WAIT_SECONDS_MAX))
        .plus(Span::from_micros(micros.saturating_add(up)));
    Some(span)
}
