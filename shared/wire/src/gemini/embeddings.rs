//! Stub, being written.
use crate::error::{DecodeError, EncodeError};
use crate::model::{EmbeddingsRequest, EmbeddingsResponse};
use crate::{Drops, Target, UpstreamRequest};
/// Stub.
pub fn encode_request(
    _: &EmbeddingsRequest,
    _: &Target,
) -> Result<(UpstreamRequest, Drops), EncodeError> {
    Err(EncodeError {
        dialect: "gemini",
        field: String::new(),
        reason: String::new(),
    })
}
/// Stub.
pub fn decode_response(_: &EmbeddingsRequest, _: &[u8]) -> Result<EmbeddingsResponse, DecodeError> {
    Err(DecodeError::Truncated)
}
