//! Anthropic's Messages dialect, `POST /v1/messages`, version 2023-06-01.
//!
//! Decides how a neutral conversation is said in Messages and what a Messages answer means.
//! Knows nothing of keys or hosts: a provider's base address ends in `/v1`, the path here is `/messages`.
//! Follows <https://docs.claude.com/en/api/messages> and the streaming, errors, extended-thinking,
//! structured-outputs and prompt-caching pages beside it.
//!
//! Where Messages is stricter than the neutral model, the request is made legal rather than refused:
//! system turns are hoisted, equal roles merged, results put before text, identifiers escaped (see [`names`]).
//! What could not be said is named in [`Drops`](crate::Drops); what must not be left out is an
//! [`EncodeError`](crate::EncodeError).

use std::borrow::Cow;

use crate::error::{DecodeError, EncodeError};

pub(crate) mod blocks;
mod downstream;
pub mod error;
pub(crate) mod format;
mod marks;
pub mod names;
pub(crate) mod reasoning;
mod request;
pub(crate) mod response;
pub(crate) mod sampling;
pub(crate) mod source;
mod stream;
mod tools;
pub(crate) mod turns;
mod usage;

pub use downstream::{
    Answered, HELD_BYTES_MAX, Model, StreamEncoder, decode_count_tokens, decode_request,
    encode_model, encode_models, encode_response, encode_token_count,
};
pub use format::STRUCTURED_ANSWER_TOOL;
pub(crate) use request::version_header;
pub use request::{OUTPUT_TOKENS_DEFAULT, encode_request};
pub use response::decode_response;
pub use stream::StreamDecoder;
pub(crate) use turns::is_foreign;

/// The value of the `anthropic-version` header.
pub const VERSION: &str = "2023-06-01";

const DIALECT: &str = "anthropic";

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
