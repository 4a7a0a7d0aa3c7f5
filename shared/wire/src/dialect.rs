//! The dialects by name, and the calls that pick the right one.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError, UpstreamError};
use crate::halves::{self, Joiner};
use crate::model::{ChatRequest, ChatResponse, EmbeddingsRequest, EmbeddingsResponse, Event};
use crate::{Drops, anthropic, bedrock, cohere, gemini, openai, responses};

/// A wire language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI's Chat Completions and Embeddings, and all that are compatible with them.
    #[serde(rename = "openai")]
    OpenAi,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's Gemini API, `generateContent`.
    Gemini,
    /// OpenAI's Responses.
    Responses,
    /// Amazon Bedrock's Converse.
    Bedrock,
    /// Cohere's second API.
    Cohere,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 6] = [
        Self::OpenAi,
        Self::Anthropic,
        Self::Gemini,
        Self::Responses,
        Self::Bedrock,
        Self::Cohere,
    ];

    /// The name in configuration, headers and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Responses => "responses",
            Self::Bedrock => "bedrock",
            Self::Cohere => "cohere",
        }
    }
}

/// What an encoder must know of the model that it writes for. Quirks are data, not branches on a provider's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// What calls name the model.
    pub model: String,
    /// The model's own name, where calls name a deployment or a profile of it.
    pub family: Option<String>,
    /// The most output tokens that the model can write, where known; the default where a dialect requires a limit.
    pub output_tokens_max: Option<u64>,
    /// The provider reads `max_completion_tokens` (OpenAI itself); otherwise `max_tokens` is sent.
    pub max_completion_tokens: bool,
    /// The provider knows `stream_options.include_usage`.
    pub stream_usage: bool,
    /// The provider knows the `developer` role; otherwise it is sent as `system`.
    pub developer_role: bool,
    /// The model thinks, and takes an effort or a budget.
    pub reasoning: bool,
    /// The provider takes its thoughts back as `reasoning_content` (DeepSeek, Moonshot); otherwise they are left out.
    pub reasoning_content: bool,
    /// The provider signs tool calls in `extra_content.google` and wants that back (Gemini's compatible address).
    pub thought_signatures: bool,
    /// The model decides itself how much to think and takes an effort only, no budget (Anthropic's newest).
    pub reasoning_adaptive: bool,
    /// The model takes temperature and its relatives.
    pub sampling: bool,
    /// The model can be held to a JSON schema; otherwise a forced tool call stands in for it.
    pub structured_outputs: bool,
    /// The provider takes calls' identifiers of nine letters and digits only (Mistral); others are replaced by a hash.
    pub short_call_ids: bool,
    /// The provider serves Chat Completions for this model; otherwise Responses alone.
    pub chat_completions: bool,
    /// Beside Chat Completions the provider serves Responses at `/responses`.
    pub responses: bool,
    /// Beside Chat Completions the provider serves legacy Completions at `/completions`, for this model.
    pub completions: bool,
    /// The provider takes its thoughts back as `reasoning` (Cerebras, Groq, OpenRouter).
    pub reasoning_key: bool,
    /// The provider thinks in parts of the content, and takes them back so (Mistral).
    pub thinking_chunks: bool,
    /// The provider calls a seed `random_seed` (Mistral).
    pub random_seed: bool,
    /// The provider calls the wanted length of vectors `output_dimension` (Mistral).
    pub output_dimension: bool,
    /// The provider wants a last turn of the assistant's marked as a `prefix` (Mistral, DeepSeek).
    pub assistant_prefix: bool,
    /// The provider refuses fields that it does not know (Mistral): every request is written anew. It also wants
    /// parameters of every tool, documents as `document_url`, and a turn of the model's between results and the user.
    pub strict_fields: bool,
    /// The provider can be held to a JSON schema by `response_format`; otherwise the schema stands among the instructions.
    pub json_schema: bool,
    /// Top-level fields that the provider refuses; they are left out.
    pub fields_refused: Vec<String>,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            model: String::new(),
            family: None,
            output_tokens_max: None,
            max_completion_tokens: false,
            stream_usage: true,
            developer_role: false,
            reasoning: true,
            reasoning_content: false,
            thought_signatures: false,
            reasoning_adaptive: false,
            sampling: true,
            structured_outputs: false,
            short_call_ids: false,
            chat_completions: true,
            responses: false,
            completions: false,
            reasoning_key: false,
            thinking_chunks: false,
            random_seed: false,
            output_dimension: false,
            assistant_prefix: false,
            strict_fields: false,
            json_schema: true,
            fields_refused: Vec::new(),
        }
    }
}

impl Target {
    /// The name that tells what the model is.
    #[must_use]
    pub fn known_as(&self) -> &str {
        self.family.as_deref().unwrap_or(&self.model)
    }
}

/// A request for a provider: everything but its host and its key.
#[derive(Debug, Clone)]
pub struct UpstreamRequest {
    /// The method.
    pub method: Method,
    /// What follows the provider's base address, such as `/chat/completions`, with a query where there is one.
    pub path: Cow<'static, str>,
    /// The headers that the dialect asks for, such as `anthropic-version`; never a key.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Writes a conversation for a provider.
///
/// # Errors
/// [`EncodeError`] when the dialect cannot express something that must not be left out (such as the only message).
pub fn encode_chat(
    dialect: Dialect,
    request: &ChatRequest,
    target: &Target,
) -> Result<(UpstreamRequest, Drops), EncodeError> {
    let mut drops = Drops::new();
    let mut lowered = || openai::strict::lowered(request, &mut drops);
    let (request, more) = match dialect {
        Dialect::OpenAi => openai::chat::encode_request(&lowered(), target),
        Dialect::Responses => responses::encode_request(&lowered(), target),
        Dialect::Anthropic => anthropic::encode_request(request, target),
        Dialect::Gemini => gemini::encode_request(request, target),
        Dialect::Bedrock => bedrock::encode_request(request, target),
        Dialect::Cohere => cohere::encode_request(request, target),
    }?;
    drops.append(more);
    Ok((request, drops))
}

/// Reads a provider's whole answer (a 2xx).
///
/// # Errors
/// [`DecodeError`] when it is not what the dialect says.
pub fn decode_chat(dialect: Dialect, body: &[u8]) -> Result<(ChatResponse, Drops), DecodeError> {
    let replaced = halves::replaced(body);
    let body = replaced.as_deref().unwrap_or(body);
    match dialect {
        Dialect::OpenAi => openai::chat::decode_response(body),
        Dialect::Anthropic => anthropic::decode_response(body),
        Dialect::Gemini => gemini::decode_response(body),
        Dialect::Responses => responses::decode_response(body),
        Dialect::Bedrock => bedrock::decode_response(body),
        Dialect::Cohere => cohere::decode_response(body),
    }
}

/// Writes a request for embeddings.
///
/// # Errors
/// [`EncodeError`] when the dialect has no embeddings, or cannot express the input.
pub fn encode_embeddings(
    dialect: Dialect,
    request: &EmbeddingsRequest,
    target: &Target,
) -> Result<(UpstreamRequest, Drops), EncodeError> {
    match dialect {
        Dialect::OpenAi => openai::embeddings::encode_request(request, target),
        Dialect::Gemini => gemini::embeddings::encode_request(request, target),
        Dialect::Cohere => cohere::embeddings::encode_request(request, target),
        Dialect::Anthropic | Dialect::Responses | Dialect::Bedrock => Err(EncodeError {
            dialect: dialect.name(),
            field: "input".to_owned(),
            reason: "the dialect has no embeddings".to_owned(),
        }),
    }
}

/// Reads a provider's embeddings.
///
/// # Errors
/// [`DecodeError`] when the answer is not what the dialect says.
pub fn decode_embeddings(
    dialect: Dialect,
    request: &EmbeddingsRequest,
    body: &[u8],
) -> Result<EmbeddingsResponse, DecodeError> {
    match dialect {
        Dialect::OpenAi => openai::embeddings::decode_response(body),
        Dialect::Gemini => gemini::embeddings::decode_response(request, body),
        Dialect::Cohere => cohere::embeddings::decode_response(request, body),
        Dialect::Anthropic | Dialect::Responses | Dialect::Bedrock => Err(DecodeError::Shape {
            dialect: dialect.name(),
            detail: "the dialect has no embeddings".to_owned(),
        }),
    }
}

/// Reads a provider's error answer. Never fails: what cannot be read is classified by its status.
#[must_use]
pub fn decode_error(
    dialect: Dialect,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> UpstreamError {
    match dialect {
        Dialect::OpenAi | Dialect::Responses => openai::error::decode(status, headers, body),
        Dialect::Anthropic => anthropic::error::decode(status, headers, body),
        Dialect::Gemini => gemini::error::decode(status, headers, body),
        Dialect::Bedrock => bedrock::error::decode(status, headers, body),
        Dialect::Cohere => cohere::error::decode(status, headers, body),
    }
}

/// The error that an answer with a 2xx holds instead of an answer, if it does: some providers send that.
#[must_use]
pub fn error_in_answer(dialect: Dialect, body: &[u8]) -> Option<UpstreamError> {
    let value: serde_json::Value = sluice_units::json::from_slice(body).ok()?;
    if dialect == Dialect::Cohere
        && let Some(failure) = cohere::error::in_answer(&value)
    {
        return Some(failure);
    }
    let holds_error = value.get("error").is_some_and(|error| !error.is_null());
    holds_error.then(|| decode_error(dialect, 200, &HeaderMap::new(), body))
}

/// Reads a provider's stream, whatever way its bytes are cut.
#[derive(Debug)]
pub struct StreamDecoder {
    dialect: Decoder,
    halves: Joiner,
}

#[derive(Debug)]
enum Decoder {
    OpenAi(openai::chat::StreamDecoder),
    Anthropic(anthropic::StreamDecoder),
    Gemini(gemini::StreamDecoder),
    Responses(responses::StreamDecoder),
    Bedrock(bedrock::StreamDecoder),
    Cohere(cohere::StreamDecoder),
}

/// The same for the decoder of each dialect.
macro_rules! each {
    ($decoder:expr, $inner:ident => $result:expr) => {
        match $decoder {
            Decoder::OpenAi($inner) => $result,
            Decoder::Anthropic($inner) => $result,
            Decoder::Gemini($inner) => $result,
            Decoder::Responses($inner) => $result,
            Decoder::Bedrock($inner) => $result,
            Decoder::Cohere($inner) => $result,
        }
    };
}

impl StreamDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        let dialect = match dialect {
            Dialect::OpenAi => Decoder::OpenAi(openai::chat::StreamDecoder::new()),
            Dialect::Anthropic => Decoder::Anthropic(anthropic::StreamDecoder::new()),
            Dialect::Gemini => Decoder::Gemini(gemini::StreamDecoder::new()),
            Dialect::Responses => Decoder::Responses(responses::StreamDecoder::new()),
            Dialect::Bedrock => Decoder::Bedrock(bedrock::StreamDecoder::new()),
            Dialect::Cohere => Decoder::Cohere(cohere::StreamDecoder::new()),
        };
        Self {
            dialect,
            halves: Joiner::default(),
        }
    }

    /// Takes the next bytes and appends the events that they complete.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not what the dialect says; the stream is then over.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let from = events.len();
        let outcome = each!(&mut self.dialect, decoder => decoder.push(bytes, events));
        self.halves.join(events, from);
        outcome
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when the answer was not complete.
    pub fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let from = events.len();
        let outcome = each!(&mut self.dialect, decoder => decoder.finish(events));
        self.halves.join(events, from);
        outcome
    }

    /// What the provider said and the neutral model cannot hold, so far.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        /// Gemini's decoder drops nothing.
        static NOTHING: Drops = Drops::new();
        match &self.dialect {
            Decoder::OpenAi(decoder) => decoder.drops(),
            Decoder::Anthropic(decoder) => decoder.drops(),
            Decoder::Gemini(_) => &NOTHING,
            Decoder::Responses(decoder) => decoder.drops(),
            Decoder::Bedrock(decoder) => decoder.drops(),
            Decoder::Cohere(decoder) => decoder.drops(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_may_be_cut_between_its_halves() {
        let chunk = |delta: &str, finish: &str| {
            format!(
                "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{delta}\"}},\"finish_reason\":{finish}}}]}}\n\n"
            )
        };
        let stream = [
            chunk(r"a\ud83c", "null"),
            chunk(r"\udf0db\ud83c", "null"),
            chunk("", "\"stop\""),
            "data: [DONE]\n\n".to_owned(),
        ];
        let mut events = Vec::new();
        let mut decoder = StreamDecoder::new(Dialect::OpenAi);
        for piece in &stream {
            decoder.push(piece.as_bytes(), &mut events).unwrap();
        }
        decoder.finish(&mut events).unwrap();
        let text: String = events
            .iter()
            .filter_map(|event| match event {
                Event::Delta { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(text, "a\u{1f30d}b\u{fffd}");

        // What passes through stays as it is.
        let mut tap = openai::passthrough::StreamTap::new(false).mending();
        let mut out = Vec::new();
        for piece in &stream {
            tap.push(piece.as_bytes(), &mut out).unwrap();
        }
        assert_eq!(String::from_utf8(out).unwrap(), stream.concat());
        let body = br#"{"choices":[{"index":0,"message":{"role":"assistant","content":"a\ud83c"},"finish_reason":"length"}]}"#;
        assert!(openai::passthrough::look(&Bytes::from_static(body)).is_ok());
        let (answer, _) = decode_chat(Dialect::OpenAi, body).unwrap();
        assert_eq!(
            answer.choices[0].parts,
            [crate::model::Part::text("a\u{fffd}".to_owned())]
        );
    }
}
