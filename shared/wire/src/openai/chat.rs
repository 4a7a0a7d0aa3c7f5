//! Stub, being written.
use crate::error::{DecodeError, EncodeError};
use crate::model::{ChatRequest, ChatResponse, Event};
use crate::{Drops, Target, UpstreamRequest};

/// Stub.
pub fn encode_request(
    _: &ChatRequest,
    _: &Target,
) -> Result<(UpstreamRequest, Drops), EncodeError> {
    Err(EncodeError {
        dialect: "openai",
        field: String::new(),
        reason: String::new(),
    })
}
/// Stub.
pub fn decode_response(_: &[u8]) -> Result<(ChatResponse, Drops), DecodeError> {
    Err(DecodeError::Truncated)
}
/// Stub.
#[derive(Debug)]
pub struct StreamDecoder;
impl StreamDecoder {
    /// Stub.
    pub fn new() -> Self {
        Self
    }
    /// Stub.
    pub fn push(&mut self, _: &[u8], _: &mut Vec<Event>) -> Result<(), DecodeError> {
        Err(DecodeError::Truncated)
    }
    /// Stub.
    pub fn finish(&mut self, _: &mut Vec<Event>) -> Result<(), DecodeError> {
        Err(DecodeError::Truncated)
    }
}
