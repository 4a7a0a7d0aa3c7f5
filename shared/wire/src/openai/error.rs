//! Stub, being written.
use crate::error::{ErrorClass, UpstreamError};
use http::HeaderMap;
/// Stub.
pub fn decode(status: u16, _: &HeaderMap, _: &[u8]) -> UpstreamError {
    UpstreamError {
        class: ErrorClass::Server,
        status,
        message: String::new(),
        code: None,
        param: None,
        retry_after: None,
    }
}
/// S
pub struct ErrorBody<'a> {
    /// S
    pub message: &'a str,
    /// S
    pub kind: &'a str,
    /// S
    pub param: Option<&'a str>,
    /// S
    pub code: Option<&'a str>,
}
/// S
pub fn encode(_: &ErrorBody<'_>) -> Vec<u8> {
    todo!()
}
