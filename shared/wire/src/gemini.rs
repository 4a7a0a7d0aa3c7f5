//! Google's Gemini API: `generateContent`, `streamGenerateContent`, `batchEmbedContents`.
//!
//! Decides how the neutral model is said in Gemini's words and back, and names what cannot be said.
//! Does not know hosts, keys, prices or retries. Keeps no state between a request and its answer:
//! function names that Gemini refuses are escaped reversibly, so that the answer alone restores them.
//! Follows <https://ai.google.dev/api/generate-content> and <https://ai.google.dev/gemini-api/docs/thought-signatures>.
//!
//! Schemas go out in Gemini's OpenAPI subset (`parameters`, `responseSchema`), which every model reads, or, where that
//! loses less and the model reads it, as a JSON schema (`parametersJsonSchema`, `responseJsonSchema`); `schema` says how.

use serde_json::Value;

use crate::model::ChatRequest;

pub mod downstream;
pub mod embeddings;
pub mod error;

mod args;
pub(crate) mod base64;
mod config;
mod contents;
mod frames;
mod media;
mod names;
mod request;
mod response;
mod schema;
mod stream;
mod value;

pub(crate) use names::holds_foreign_proof;
pub use request::encode_request;
pub(crate) use request::{address, count_address};
pub use response::decode_response;
pub use stream::StreamDecoder;

/// The dialect's name in errors.
const DIALECT: &str = "gemini";

/// Where a request's `extra` holds what only Gemini can say, in Gemini's words.
pub(crate) const OWN: &str = "gemini";

fn own<'a>(request: &'a ChatRequest, key: &str) -> Option<&'a Value> {
    request.extra.get(OWN)?.get(key)
}

#[cfg(test)]
mod tests;
