//! What Cohere says went wrong, as a table.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue};
use sluice_units::Span;

use super::golden;
use crate::cohere::error::decode;
use crate::dialect::{Dialect, error_in_answer};
use crate::error::ErrorClass;

const CASES: [(u16, &str); 17] = [
    (
        400,
        r#"{"id":"e","message":"invalid request: all elements in history must have a message."}"#,
    ),
    (
        400,
        r#"{"message":"too many tokens: total number of tokens in the prompt cannot exceed 128000 - received 130000."}"#,
    ),
    (401, r#"{"message":"invalid api token"}"#),
    (
        402,
        r#"{"message":"Please add or update your payment method"}"#,
    ),
    (
        403,
        r#"{"message":"Please contact support to use this feature"}"#,
    ),
    (
        404,
        r#"{"id":"e","message":"model 'command-r' was removed on September 15, 2025."}"#,
    ),
    (422, r#"{"message":"unprocessable entity"}"#),
    (
        429,
        r#"{"message":"You are using a Trial key, which is limited to 20 API calls / minute."}"#,
    ),
    (
        429,
        r#"{"message":"You are using a Trial key, which is limited to 1000 API calls / month."}"#,
    ),
    (429, r#"{"data":"too many requests"}"#),
    (
        498,
        r#"{"message":"blocked output: please try again or contact support@cohere.com"}"#,
    ),
    (499, r#"{"message":"request cancelled"}"#),
    (
        500,
        r#"{"message":"internal server error, please try again"}"#,
    ),
    (501, r#"{"message":"not implemented"}"#),
    (503, "service unavailable"),
    (504, "<html><body>Gateway Timeout</body></html>"),
    (418, ""),
];

#[test]
fn errors() {
    let mut text = String::new();
    for (status, body) in CASES {
        let error = decode(status, &HeaderMap::new(), body.as_bytes());
        writeln!(text, "{status} {body}\n  {error:?}").unwrap();
    }
    golden("errors", &text);
}

#[test]
fn the_wait_is_read_from_the_header() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("7"));
    let error = decode(429, &headers, b"{}");
    assert_eq!(error.retry_after, Some(Span::from_seconds(7)));
}

#[test]
fn a_whole_answer_that_failed_says_why() {
    for (reason, class) in [
        ("ERROR", ErrorClass::Server),
        ("ERROR_TOXIC", ErrorClass::ContentPolicy),
        ("TIMEOUT", ErrorClass::Timeout),
    ] {
        let body = format!(
            r#"{{"id":"a","message":{{"role":"assistant"}},"finish_reason":"{reason}","error":"The model broke."}}"#
        );
        assert!(crate::cohere::decode_response(body.as_bytes()).is_err());
        let error = error_in_answer(Dialect::Cohere, body.as_bytes()).unwrap();
        assert_eq!(
            (error.class, error.message.as_str()),
            (class, "The model broke.")
        );
    }
    let whole = br#"{"id":"a","message":{"role":"assistant"},"finish_reason":"COMPLETE"}"#;
    assert_eq!(error_in_answer(Dialect::Cohere, whole), None);
}
