//! OpenAI's dialect, and all that is compatible with it: Chat Completions, Embeddings, Models, errors.
//!
//! Callers' requests are read strictly, as OpenAI reads them; providers' answers leniently, because every compatible
//! provider deviates somewhere. Follows OpenAI's API description 2.3.0; deviations cite their provider.
//! Knows nothing of which provider it talks to: quirks come as data in [`crate::Target`].

pub mod chat;
pub mod completions;
pub mod direct;
pub mod embeddings;
pub mod error;
pub mod form;
pub mod models;
pub mod passthrough;

mod base64;
pub(crate) mod fault;
mod finish;
pub(crate) mod ids;
pub(crate) mod loose;
pub(crate) mod strict;
pub(crate) mod usage;

/// The dialect's name in errors.
const NAME: &str = "openai";

#[cfg(test)]
mod tests;
