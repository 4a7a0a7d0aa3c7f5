//! What Anthropic says went wrong.

use http::HeaderMap;
use sluice_units::Span;

use crate::anthropic::error::decode;
use crate::error::{ErrorClass, MESSAGE_BYTES_MAX};

fn body(kind: &str, message: &str) -> String {
    format!(
        r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_1"}}"#
    )
}

fn check(status: u16, body: &str, expected: ErrorClass) {
    let error = decode(status, &HeaderMap::new(), body.as_bytes());
    assert_eq!(error.class, expected, "{status} {body}");
    assert_eq!(error.status, status);
}

const INVALID: &str = "invalid_request_error";

const CAUSES: [(u16, &str, &str, ErrorClass); 17] = [
    (
        400,
        INVALID,
        "max_tokens: Field required",
        ErrorClass::InvalidRequest,
    ),
    (
        400,
        INVALID,
        "prompt is too long: 210000 tokens > 200000 maximum",
        ErrorClass::ContextLength,
    ),
    (
        400,
        INVALID,
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        ErrorClass::ContextLength,
    ),
    (
        400,
        INVALID,
        "Your credit balance is too low to access the Anthropic API.",
        ErrorClass::QuotaExhausted,
    ),
    (
        400,
        INVALID,
        "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
        ErrorClass::QuotaExhausted,
    ),
    (
        400,
        INVALID,
        "Output blocked by content filtering policy",
        ErrorClass::ContentPolicy,
    ),
    (
        401,
        "authentication_error",
        "invalid x-api-key",
        ErrorClass::Authentication,
    ),
    (
        402,
        "billing_error",
        "no payment method",
        ErrorClass::QuotaExhausted,
    ),
    (
        403,
        "permission_error",
        "not for your key",
        ErrorClass::Permission,
    ),
    (
        403,
        "forbidden",
        "Request not allowed",
        ErrorClass::UnsupportedCountry,
    ),
    (
        404,
        "not_found_error",
        "model: claude-x",
        ErrorClass::NotFound,
    ),
    (
        413,
        "request_too_large",
        "Request exceeds the maximum size",
        ErrorClass::InvalidRequest,
    ),
    (
        429,
        "rate_limit_error",
        "slow down",
        ErrorClass::RateLimited,
    ),
    (
        500,
        "api_error",
        "Internal server error",
        ErrorClass::Server,
    ),
    (504, "timeout_error", "took too long", ErrorClass::Timeout),
    (
        529,
        "overloaded_error",
        "Overloaded",
        ErrorClass::Overloaded,
    ),
    (529, "new_error", "Overloaded", ErrorClass::Overloaded),
];

#[test]
fn each_cause_has_its_class() {
    for (status, kind, message, class) in CAUSES {
        check(status, &body(kind, message), class);
    }
}

#[test]
fn a_relays_body_is_judged_by_its_status() {
    for (status, class) in [
        (400, ErrorClass::InvalidRequest),
        (403, ErrorClass::Permission),
        (429, ErrorClass::RateLimited),
        (502, ErrorClass::Server),
        (522, ErrorClass::Timeout),
        (529, ErrorClass::Overloaded),
    ] {
        for text in [
            "",
            "<html><body>Bad gateway</body></html>",
            "bad",
            "{\"a\":1}",
            "\u{0}",
        ] {
            check(status, text, class);
        }
    }
    let page = decode(502, &HeaderMap::new(), b"<html>secret</html>");
    assert_eq!(page.message, "");
    let line = decode(502, &HeaderMap::new(), b"upstream connect error\n");
    assert_eq!(line.message, "upstream connect error");
}

#[test]
fn the_wait_is_read_from_the_header() {
    for (value, expected) in [
        ("7", Some(Span::from_seconds(7))),
        ("0", Some(Span::from_seconds(0))),
        ("-1", None),
        ("Sat, 21 Nov 2026 03:00:00 GMT", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", value.parse().unwrap());
        let error = decode(
            429,
            &headers,
            body("rate_limit_error", "slow down").as_bytes(),
        );
        assert_eq!(error.retry_after, expected, "{value}");
    }
}

#[test]
fn the_field_at_fault_is_named() {
    let param = |message| {
        let body = body("invalid_request_error", message);
        decode(400, &HeaderMap::new(), body.as_bytes()).param
    };
    assert_eq!(
        param("messages.0.content: empty").as_deref(),
        Some("messages.0.content")
    );
    assert_eq!(param("It failed: badly"), None);
    assert_eq!(param("no colon"), None);
}

#[test]
fn a_message_is_bounded_at_a_character() {
    let long = "é".repeat(MESSAGE_BYTES_MAX);
    for body in [body("api_error", &format!("x{long}")), format!("x{long}")] {
        let error = decode(500, &HeaderMap::new(), body.as_bytes());
        assert!(error.message.len() <= MESSAGE_BYTES_MAX);
        assert!(error.message.starts_with("xé"));
    }
}
