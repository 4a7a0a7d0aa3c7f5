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
