//! Amazon Bedrock's Converse dialect: `POST /model/{modelId}/converse` and `/converse-stream`.
//!
//! Decides how a neutral conversation is said in Converse and what a Converse answer means, whichever model answers.
//! Knows nothing of keys, regions or hosts: signing is [`sigv4`](crate::sigv4)'s, the answer's framing
//! [`event_stream`](crate::event_stream)'s.
//! Follows <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html> and `ConverseStream`
//! beside it.
//!
//! Where Converse is stricter than the neutral model, the request is made legal rather than refused: system turns are
//! hoisted, equal roles merged, blank texts left out, results put first, names and identifiers escaped, documents
//! given names of their own. What could not be said is named in [`Drops`](crate::Drops); what must not be left out is
//! an [`EncodeError`](crate::EncodeError).
//!
//! What only Bedrock can say stands in a request's `extra`, in Bedrock's words, at the top or under `bedrock`:
//! `guardrailConfig`, `additionalModelRequestFields`, `additionalModelResponseFieldPaths`, `performanceConfig`,
//! `serviceTier`, `promptVariables`, `requestMetadata`.

use std::borrow::Cow;

use crate::error::{DecodeError, EncodeError};

mod blocks;
mod config;
pub mod error;
mod family;
mod media;
mod names;
mod reasoning;
mod request;
mod response;
mod stream;
mod tools;
mod turns;
mod usage;

pub use request::encode_request;
pub use response::decode_response;
pub use stream::StreamDecoder;

const DIALECT: &str = "bedrock";

fn cannot(field: impl Into<String>, reason: impl Into<String>) -> EncodeError {
    EncodeError {
        dialect: DIALECT,
        field: field.into(),
        reason: reason.into(),
    }
}

fn shape(detail: impl Into<Cow<'static, str>>) -> DecodeError {
    DecodeError::Shape {
        dialect: DIALECT,
        detail: detail.into().into_owned(),
    }
}

#[cfg(test)]
mod tests;
