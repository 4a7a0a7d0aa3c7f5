//! Texts in, vectors out.

use serde_json::{Map, Number, Value};

use super::Usage;

/// A request for embeddings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EmbeddingsRequest {
    /// The model's name as the caller wrote it.
    pub model: String,
    /// What to embed, in order.
    pub input: Vec<EmbeddingInput>,
    /// The wanted length of the vectors.
    pub dimensions: Option<u64>,
    /// How the caller wants the vectors written.
    pub encoding: EmbeddingEncoding,
    /// The caller's own name for the end user.
    pub user: Option<String>,
    /// Top-level fields that the model has no name for.
    pub extra: Map<String, Value>,
}

/// One thing to embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbeddingInput {
    /// A text.
    Text(String),
    /// A text as token numbers of the model's own vocabulary.
    Tokens(Vec<u64>),
}

/// How vectors are written in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EmbeddingEncoding {
    /// As arrays of numbers.
    #[default]
    Float,
    /// As base64 of little-endian 32-bit floats.
    Base64,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EmbeddingsResponse {
    /// The model's name as the provider says it.
    pub model: String,
    /// One vector for each input, in the inputs' order.
    pub vectors: Vec<Vector>,
    /// What was used, where the provider says it.
    pub usage: Option<Usage>,
}

/// One vector, as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Vector {
    /// Numbers.
    Float(Vec<Number>),
    /// Base64 of little-endian 32-bit floats.
    Base64(String),
}
