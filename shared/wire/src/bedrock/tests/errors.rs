//! What Bedrock says went wrong, as a table.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};
use sluice_units::Span;

use super::golden;
use crate::bedrock::error::decode;

/// Status, `x-amzn-errortype`, body.
const CASES: [(u16, &str, &str); 26] = [
    (
        400,
        "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/",
        r#"{"message":"1 validation error detected: Value '[]' at 'messages.1.member.content' failed to satisfy constraint"}"#,
    ),
    (
        400,
        "ValidationException",
        r#"{"message":"Input is too long for requested model."}"#,
    ),
    (
        400,
        "ValidationException",
        r#"{"message":"The model returned the following errors: prompt is too long: 210000 tokens > 200000 maximum"}"#,
    ),
    (
        400,
        "ValidationException",
        r#"{"message":"The provided model identifier is invalid."}"#,
    ),
    (
        400,
        "ValidationException",
        r#"{"message":"Invocation of model ID x with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model."}"#,
    ),
    (
        400,
        "ValidationException",
        r#"{"message":"Operation not allowed"}"#,
    ),
    (
        400,
        "ValidationException",
        r#"{"message":"Access to Anthropic models is not allowed from unsupported countries, regions, or territories."}"#,
    ),
    (
        400,
        "ValidationException",
        r#"{"message":"Output blocked by content filtering policy"}"#,
    ),
    (
        400,
        "",
        r#"{"__type":"com.amazon.coral.service#SerializationException"}"#,
    ),
    (
        400,
        "ServiceQuotaExceededException",
        r#"{"message":"Your request exceeds the service quota for your account."}"#,
    ),
    (
        403,
        "AccessDeniedException",
        r#"{"Message":"You don't have access to the model with the specified model ID."}"#,
    ),
    (
        403,
        "AccessDeniedException",
        r#"{"Message":"Authentication failed: Please make sure your API Key is valid."}"#,
    ),
    (
        403,
        "UnrecognizedClientException",
        r#"{"message":"The security token included in the request is invalid."}"#,
    ),
    (
        403,
        "InvalidSignatureException",
        r#"{"message":"The request signature we calculated does not match the signature you provided."}"#,
    ),
    (
        403,
        "ExpiredTokenException",
        r#"{"message":"The security token included in the request is expired"}"#,
    ),
    (
        404,
        "ResourceNotFoundException",
        r#"{"message":"Access denied. This Model is marked by provider as Legacy."}"#,
    ),
    (
        408,
        "ModelTimeoutException",
        r#"{"message":"The model timed out."}"#,
    ),
    (
        424,
        "ModelErrorException",
        r#"{"message":"The system encountered an unexpected error.","originalStatusCode":500}"#,
    ),
    (
        429,
        "ThrottlingException",
        r#"{"message":"Too many requests, please wait before trying again."}"#,
    ),
    (
        429,
        "ThrottlingException",
        r#"{"message":"Too many tokens per day, please wait before trying again."}"#,
    ),
    (
        429,
        "ModelNotReadyException",
        r#"{"message":"Model is getting ready for inference."}"#,
    ),
    (
        500,
        "InternalServerException",
        r#"{"message":"An internal server error occurred."}"#,
    ),
    (
        503,
        "ServiceUnavailableException",
        r#"{"message":"Bedrock is unable to process your request."}"#,
    ),
    (502, "", "<html><body>Bad Gateway</body></html>"),
    (429, "", ""),
    (418, "NewException", "a line"),
];

fn headers(kind: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !kind.is_empty() {
        let name = HeaderName::from_static("x-amzn-errortype");
        headers.insert(name, HeaderValue::from_str(kind).unwrap());
    }
    headers
}

#[test]
fn errors() {
    let mut text = String::new();
    for (status, kind, body) in CASES {
        let error = decode(status, &headers(kind), body.as_bytes());
        writeln!(text, "{status} {kind} {body}\n  {error:?}").unwrap();
    }
    golden("errors", &text);
}

#[test]
fn the_wait_is_read_from_the_header() {
    let mut headers = headers("ThrottlingException");
    headers.insert("retry-after", HeaderValue::from_static("7"));
    let error = decode(429, &headers, b"{}");
    assert_eq!(error.retry_after, Some(Span::from_seconds(7)));
}
