//! Whose fault an error is: by its code, then its words, then its status.

use crate::error::ErrorClass;

const CODES: [(&str, ErrorClass); 39] = [
    ("context_length_exceeded", ErrorClass::ContextLength),
    ("string_above_max_length", ErrorClass::InvalidRequest),
    (
        "model_max_prompt_tokens_exceeded",
        ErrorClass::ContextLength,
    ),
    ("insufficient_quota", ErrorClass::QuotaExhausted),
    ("billing_hard_limit_reached", ErrorClass::QuotaExhausted),
    ("billing_not_active", ErrorClass::QuotaExhausted),
    ("insufficient_balance", ErrorClass::QuotaExhausted),
    ("exceeded_current_quota_error", ErrorClass::QuotaExhausted),
    ("content_filter", ErrorClass::ContentPolicy),
    ("content_policy_violation", ErrorClass::ContentPolicy),
    ("ResponsibleAIPolicyViolation", ErrorClass::ContentPolicy),
    ("moderation_blocked", ErrorClass::ContentPolicy),
    ("invalid_prompt", ErrorClass::ContentPolicy),
    (
        "unsupported_country_region_territory",
        ErrorClass::UnsupportedCountry,
    ),
    ("invalid_api_key", ErrorClass::Authentication),
    ("invalid_authentication", ErrorClass::Authentication),
    ("authentication_error", ErrorClass::Authentication),
    ("account_deactivated", ErrorClass::Authentication),
    ("permission_denied", ErrorClass::Permission),
    ("permission_error", ErrorClass::Permission),
    ("model_not_found", ErrorClass::NotFound),
    ("DeploymentNotFound", ErrorClass::NotFound),
    ("invalid_model", ErrorClass::NotFound),
    ("not_found_error", ErrorClass::NotFound),
    ("rate_limit_exceeded", ErrorClass::RateLimited),
    ("rate_limit_reached_error", ErrorClass::RateLimited),
    ("rate_limit_error", ErrorClass::RateLimited),
    ("rate_limited", ErrorClass::RateLimited),
    ("RateLimitReached", ErrorClass::RateLimited),
    ("tokens", ErrorClass::RateLimited),
    ("requests", ErrorClass::RateLimited),
    ("engine_overloaded", ErrorClass::Overloaded),
    ("engine_overloaded_error", ErrorClass::Overloaded),
    ("overloaded_error", ErrorClass::Overloaded),
    ("service_unavailable", ErrorClass::Overloaded),
    ("timeout", ErrorClass::Timeout),
    ("server_error", ErrorClass::Server),
    ("api_error", ErrorClass::Server),
    ("invalid_request_error", ErrorClass::InvalidRequest),
];

/// Words that only occur in one kind of error, in lower case.
const WORDS: [(&str, ErrorClass); 12] = [
    ("maximum context length", ErrorClass::ContextLength),
    ("context length exceeded", ErrorClass::ContextLength),
    ("context_length_exceeded", ErrorClass::ContextLength),
    ("exceeds the context window", ErrorClass::ContextLength),
    ("exceed context limit", ErrorClass::ContextLength),
    ("prompt is too long", ErrorClass::ContextLength),
    ("too large for model with", ErrorClass::ContextLength),
    (
        "reduce the length of the messages",
        ErrorClass::ContextLength,
    ),
    (
        "country, region, or territory",
        ErrorClass::UnsupportedCountry,
    ),
    ("exceeded your current quota", ErrorClass::QuotaExhausted),
    ("content management policy", ErrorClass::ContentPolicy),
    ("insufficient credits", ErrorClass::QuotaExhausted),
];

/// The class of an error. `status` is 200 for an error in mid-stream; then a numeric code stands for it.
pub(super) fn class(
    status: u16,
    code: Option<&str>,
    kind: Option<&str>,
    message: &str,
) -> ErrorClass {
    let exact = |word: Option<&str>| {
        let word = word?;
        let found = CODES.iter().find(|(known, _)| *known == word)?;
        // The broadest word says less than any other sign.
        (found.0 != "invalid_request_error").then_some(found.1)
    };
    if let Some(class) = exact(code) {
        return class;
    }
    let lower = message.to_ascii_lowercase();
    if let Some((_, class)) = WORDS.iter().find(|(words, _)| lower.contains(words)) {
        return *class;
    }
    let status = match code.and_then(|code| code.parse().ok()) {
        Some(code @ 400..=599) if (200..300).contains(&status) => code,
        _ => status,
    };
    match (exact(kind), by_status(status)) {
        // A word that says no more than that somebody failed, such as Ollama's, knows less than the status.
        (Some(ErrorClass::Server), Some(class)) | (Some(class), _) => return class,
        (None, _) => {}
    }
    match by_status(status) {
        Some(class) => class,
        None if kind == Some("invalid_request_error") => ErrorClass::InvalidRequest,
        None => ErrorClass::Server,
    }
}

const fn by_status(status: u16) -> Option<ErrorClass> {
    match status {
        401 => Some(ErrorClass::Authentication),
        402 => Some(ErrorClass::QuotaExhausted),
        403 => Some(ErrorClass::Permission),
        404 => Some(ErrorClass::NotFound),
        408 | 504 | 524 => Some(ErrorClass::Timeout),
        429 => Some(ErrorClass::RateLimited),
        // By Groq's page on errors: no capacity is left in its flexible tier.
        498 => Some(ErrorClass::Overloaded),
        400..=499 => Some(ErrorClass::InvalidRequest),
        503 | 529 => Some(ErrorClass::Overloaded),
        500..=599 => Some(ErrorClass::Server),
        _ => None,
    }
}

/// OpenAI's `type` and `code` for a class.
pub(crate) const fn words(class: ErrorClass) -> (&'static str, &'static str) {
    match class {
        ErrorClass::InvalidRequest => ("invalid_request_error", "invalid_request"),
        ErrorClass::ContextLength => ("invalid_request_error", "context_length_exceeded"),
        ErrorClass::ContentPolicy => ("invalid_request_error", "content_filter"),
        ErrorClass::NotFound => ("invalid_request_error", "model_not_found"),
        ErrorClass::RateLimited => ("rate_limit_error", "rate_limit_exceeded"),
        ErrorClass::QuotaExhausted => ("insufficient_quota", "insufficient_quota"),
        ErrorClass::UnsupportedCountry => ("server_error", "unsupported_country_region_territory"),
        ErrorClass::Authentication => ("server_error", "upstream_authentication"),
        ErrorClass::Permission => ("server_error", "upstream_permission"),
        ErrorClass::Overloaded => ("server_error", "upstream_overloaded"),
        ErrorClass::Timeout => ("server_error", "upstream_timeout"),
        ErrorClass::Server => ("server_error", "upstream_error"),
    }
}
