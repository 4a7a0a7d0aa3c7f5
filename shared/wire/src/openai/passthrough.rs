//! S
use crate::model::ChatRequest;
use crate::{DecodeError, Target, UpstreamError, UpstreamRequest};
use bytes::Bytes;
use sluice_units::Usage;
/// S
pub struct Edits;
impl Edits {
    /// S
    pub fn chat(_: &ChatRequest, _: &Target) -> Self {
        Self
    }
}
/// S
pub fn rewrite_request(_: &[u8], _: &Edits) -> Vec<u8> {
    todo!()
}
/// S
pub fn request(_: &'static str, _: Vec<u8>) -> UpstreamRequest {
    todo!()
}
/// S
pub struct Look {
    /// S
    pub usage: Option<Usage>,
    /// S
    pub finish: Option<String>,
}
/// S
pub fn look(_: &Bytes) -> Result<Look, DecodeError> {
    todo!()
}
/// S
#[derive(Debug)]
pub struct StreamTap;
impl StreamTap {
    /// S
    pub fn new(_: bool) -> Self {
        Self
    }
    /// S
    pub fn push(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<(), DecodeError> {
        todo!()
    }
    /// S
    pub fn finish(&mut self, _: &mut Vec<u8>) -> Result<(), DecodeError> {
        todo!()
    }
    /// S
    pub fn usage(&self) -> Option<Usage> {
        todo!()
    }
    /// S
    pub fn finish_reason(&self) -> Option<&str> {
        todo!()
    }
    /// S
    pub fn output_bytes(&self) -> u64 {
        todo!()
    }
    /// S
    pub fn is_complete(&self) -> bool {
        todo!()
    }
    /// S
    pub fn take_error(&mut self) -> Option<UpstreamError> {
        todo!()
    }
}
