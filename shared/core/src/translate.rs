//! Between the caller's dialect and the target's: requests there, answers back.
//!
//! The same dialect on both sides keeps the caller's bytes, but for the model's name and the like.
//! Knows nothing of retries, money or time.

use bytes::Bytes;
use sluice_units::{Tokens, Usage};
use sluice_wire::dialect::{
    decode_chat, decode_embeddings, encode_chat, encode_embeddings, error_in_answer,
};
use sluice_wire::model::{ChatRequest, EmbeddingsRequest};
use sluice_wire::openai::chat::Answered;
use sluice_wire::openai::passthrough::{self, Edits};
use sluice_wire::{Dialect, Drops, UpstreamRequest, openai};

use crate::config::{ProviderDialect, TargetRef};
use crate::estimate;
use crate::plan::Failure;
use crate::session::{Session, finish_word};

/// What is asked of the provider.
#[derive(Debug)]
pub enum Work {
    /// The next turn of a conversation.
    Chat(Box<ChatRequest>),
    /// Vectors.
    Embeddings(Box<EmbeddingsRequest>),
}

/// A whole answer in the caller's dialect.
#[derive(Debug)]
pub struct Translated {
    /// The body.
    pub body: Bytes,
    /// What was used, where the provider says it.
    pub usage: Option<Usage>,
    /// Why the model stopped, in OpenAI's word.
    pub finish: Option<String>,
    /// What the caller's dialect cannot express.
    pub drops: Drops,
}

impl Work {
    /// Whether the caller wants a stream.
    #[must_use]
    pub fn streams(&self) -> bool {
        matches!(self, Self::Chat(chat) if chat.stream)
    }

    /// The request in the target's dialect; `body` is what the caller sent.
    ///
    /// # Errors
    /// [`Failure::Inexpressible`].
    pub fn request(
        &self,
        target: &TargetRef,
        body: &Bytes,
    ) -> Result<(UpstreamRequest, Drops), Failure> {
        let dialect = dialect(target);
        match self {
            Self::Chat(chat) if dialect == Dialect::OpenAi => {
                let body = passthrough::rewrite_request(body, &Edits::chat(chat, &target.wire));
                Ok((
                    passthrough::request("/chat/completions", body),
                    Drops::new(),
                ))
            }
            Self::Chat(chat) => {
                encode_chat(dialect, chat, &target.wire).map_err(Failure::Inexpressible)
            }
            Self::Embeddings(embeddings) => {
                encode_embeddings(dialect, embeddings, &target.wire).map_err(Failure::Inexpressible)
            }
        }
    }

    /// A whole answer of the target in the caller's dialect.
    ///
    /// # Errors
    /// [`Failure::Answered`] when it is an error all the same, [`Failure::Garbled`] when it is not what the target's
    /// dialect says.
    pub fn answer(
        &self,
        target: &TargetRef,
        body: &Bytes,
        answered: &Answered,
        input_bound: Tokens,
    ) -> Result<Translated, Failure> {
        self.read(target, body, answered, input_bound)
            .map_err(|failure| {
                error_in_answer(dialect(target), body).map_or(failure, Failure::Answered)
            })
    }

    fn read(
        &self,
        target: &TargetRef,
        body: &Bytes,
        answered: &Answered,
        input_bound: Tokens,
    ) -> Result<Translated, Failure> {
        let dialect = dialect(target);
        match self {
            Self::Chat(_) if dialect == Dialect::OpenAi => {
                let seen = passthrough::look(body).map_err(Failure::Garbled)?;
                Ok(Translated {
                    body: body.clone(),
                    usage: seen.usage,
                    finish: seen.finish,
                    drops: Drops::new(),
                })
            }
            Self::Chat(_) => {
                let (response, mut drops) = decode_chat(dialect, body).map_err(Failure::Garbled)?;
                let (encoded, more) = openai::chat::encode_response(&response, answered);
                drops.append(more);
                Ok(Translated {
                    body: Bytes::from(encoded),
                    usage: response.usage,
                    finish: response
                        .choices
                        .first()
                        .map(|choice| finish_word(&choice.finish)),
                    drops,
                })
            }
            Self::Embeddings(request) => {
                let mut response =
                    decode_embeddings(dialect, request, body).map_err(Failure::Garbled)?;
                let usage = response.usage;
                // The caller's dialect promises a count; where the provider keeps silent it is an estimate.
                response.usage.get_or_insert_with(|| Usage {
                    input: estimate::likely_input(input_bound),
                    ..Usage::default()
                });
                let encoded = openai::embeddings::encode_response(&response, request.encoding);
                Ok(Translated {
                    body: Bytes::from(encoded),
                    usage,
                    finish: None,
                    drops: Drops::new(),
                })
            }
        }
    }

    /// The session of a streamed answer of the target.
    #[must_use]
    pub fn session(&self, target: &TargetRef, answered: Answered) -> Session {
        let include_usage = matches!(self, Self::Chat(chat) if chat.stream_usage);
        match dialect(target) {
            Dialect::OpenAi => Session::through(include_usage),
            dialect => Session::transcode(dialect, answered, include_usage),
        }
    }
}

/// The language that a target is called in; the sandbox speaks OpenAI's.
#[must_use]
pub fn dialect(target: &TargetRef) -> Dialect {
    match target.provider.dialect {
        ProviderDialect::Wire(dialect) => dialect,
        ProviderDialect::Sandbox => Dialect::OpenAi,
    }
}
