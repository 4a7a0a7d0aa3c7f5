//! The neutral model: what every dialect can be decoded to and encoded from.
//!
//! One conversation ([`ChatRequest`]), one answer ([`ChatResponse`]), one sequence of stream events ([`Event`]).
//! Token counts have one meaning here, whatever a provider calls them: see [`Usage`].
//! The model holds what more than one dialect can say; what only one can say stays in `extra`
//! and is named as dropped by an encoder that cannot write it.

mod chat;
mod collect;
mod embeddings;
mod event;

pub use chat::{
    CacheMark, ChatRequest, ChatResponse, Choice, Effort, Finish, Logprobs, Message, Part,
    Reasoning, ResponseFormat, Role, Sampling, Source, Tool, ToolChoice,
};
pub use collect::{CollectError, Collector};
pub use embeddings::{
    EmbeddingEncoding, EmbeddingInput, EmbeddingsRequest, EmbeddingsResponse, Vector,
};
pub use event::{Event, PartKind};
pub use sluice_units::Usage;
