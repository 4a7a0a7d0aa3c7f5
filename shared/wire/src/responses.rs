//! OpenAI's Responses, `POST /v1/responses`, as a caller speaks it and as a provider does.
//!
//! Follows OpenAI's API description 2.3.0; deviations cite their provider. Callers' requests are read strictly,
//! providers' answers leniently. Errors are OpenAI's: `openai::error` reads and writes them.
//!
//! What only a provider of this dialect can do (state that it keeps, tools that it runs, items that it alone
//! understands) stays in [`crate::model::ChatRequest::extra`], so that a request can go through as it is;
//! [`for_other_dialects`] refuses it, or names it as dropped, before a request goes anywhere else.
//!
//! Reasoning items become [`crate::model::Part::Thinking`] with a proof that only this dialect's encoder takes back;
//! other providers' proofs travel in `encrypted_content` and are cut out before a request reaches a provider.

pub mod passthrough;

mod answer;
mod downstream;
mod frames;
mod items;
mod output;
mod proof;
mod response;
mod shape;
mod stream;
mod usage;
mod write;
mod write_input;

pub use answer::decode_response;
pub use downstream::{decode_request, for_other_dialects};
pub use frames::StreamEncoder;
pub use response::{Answered, Echo, encode_response};
pub use stream::StreamDecoder;
pub use write::encode_request;

/// The dialect's name in errors.
const NAME: &str = "responses";

/// Fields in `extra` that say which items and tools only a provider of this dialect knows.
const NATIVE_KEYS: [&str; 3] = ["input", "tools", "tool_choice"];

#[cfg(test)]
mod tests;
