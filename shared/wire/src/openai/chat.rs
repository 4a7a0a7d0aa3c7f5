//! Chat Completions: requests, answers and streams, in both directions.
//!
//! Beyond OpenAI's own fields the dialect carries, under the names that clients already use:
//! `cache_control` on parts, messages and tools; `reasoning_content` (all thoughts as text) and `thinking_blocks`
//! (the same with their signatures, and redacted ones) on assistant messages; and
//! `extra_content.google.thought_signature` on tool calls. So what one provider signs can come back to it.

pub(crate) mod answer;
mod assembly;
mod frames;
pub(crate) mod message;
pub(crate) mod part;
mod piece;
mod quirks;
pub(crate) mod request;
mod stream;
pub(crate) mod tools;
mod turn;
pub(crate) mod write;
pub(crate) mod write_message;

pub use answer::{decode_response, encode_response};
pub use frames::StreamEncoder;
pub use quirks::suits;
pub use request::decode_request;
pub use stream::StreamDecoder;
pub use write::encode_request;

/// What the gateway itself knows of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// The answer's identifier where the provider gave none, such as `chatcmpl-…`;
    /// also what made-up tool call identifiers are built from.
    pub id: String,
    /// When it began, in seconds since the Unix epoch; used where the provider does not say.
    pub created: i64,
    /// The model's name to show; empty: the provider's.
    pub model: String,
}

impl Answered {
    /// The identifier of a tool call that the provider gave none, the same whether streamed or not.
    fn call_id(&self, choice: u32, call: u32) -> String {
        let id = self.id.strip_prefix("chatcmpl-").unwrap_or(&self.id);
        format!("call_{id}_{choice}_{call}")
    }
}
