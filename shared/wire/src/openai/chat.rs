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
use crate::error::Malformed;
/// Stub.
#[derive(Debug, Clone)]
pub struct Answered {
    /// S
    pub id: String,
    /// S
    pub created: i64,
    /// S
    pub model: String,
}
/// Stub.
pub fn decode_request(_: &[u8]) -> Result<(ChatRequest, Drops), Malformed> {
    todo!()
}
/// Stub.
pub fn encode_response(_: &ChatResponse, _: &Answered) -> (Vec<u8>, Drops) {
    todo!()
}
/// Stub.
#[derive(Debug)]
pub struct StreamEncoder;
impl StreamEncoder {
    /// S
    pub fn new(_: Answered, _: bool) -> Self {
        Self
    }
    /// S
    pub fn push(&mut self, _: &Event, _: &mut Vec<u8>) {}
}
