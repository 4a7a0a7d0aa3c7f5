//! OpenAI's dialect, and all that is compatible with it.
pub mod chat;
pub mod embeddings;
pub mod error;
pub mod models;
pub mod passthrough;
