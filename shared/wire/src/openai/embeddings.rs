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
        dialect: "openai",
        field: String::new(),
        reason: String::new(),
    })
}
/// Stub.
pub fn decode_response(_: &[u8]) -> Result<EmbeddingsResponse, DecodeError> {
    Err(DecodeError::Truncated)
}
/// S
pub fn decode_request(_: &[u8]) -> Result<(EmbeddingsRequest, Drops), crate::Malformed> {
    todo!()
}
/// S
pub fn encode_response(_: &EmbeddingsResponse, _: crate::model::EmbeddingEncoding) -> Vec<u8> {
    todo!()
}
