//! How many tokens a request may use at most, before anybody has counted.
//!
//! Text counts as [`TokenBound`] says, which also says how far off that is. To it comes what a provider puts around a
//! conversation before it counts: a frame, and where there are functions a preamble. Pictures, sound and files are
//! counted by rules of thumb from the providers' pricing pages.
//!
//! The error is upward: for recorded conversations of some hundred tokens the bound is one and a half times to three
//! times what the provider counted, for the shortest up to some hundred tokens more (`tests/core/estimate.rs` prints
//! it). It is no bound for what is not in the request (a provider's own tools, cached or stored content). What a request
//! used above it is charged all the same.

use sluice_units::Tokens;
use sluice_wire::model::{
    ChatRequest, EmbeddingInput, EmbeddingsRequest, Part, ResponseFormat, Source,
};
use sluice_wire::{Dialect, TokenBound};

/// How often an ordinary text's tokens go into their bound: for estimates after the fact, not for reservations.
const BOUND_PER_LIKELY: u64 = 2;
const TOKENS_PER_MESSAGE: u64 = 8;
const TOKENS_PER_TOOL: u64 = 16;
const TOKENS_PER_IMAGE: u64 = 4_096;
const TOKENS_PER_LINKED_FILE: u64 = 65_536;
/// Base64 bytes of sound or of a file that make one token, at the least.
const FILE_BYTES_PER_TOKEN: u64 = 16;
const SIGNATURE_BYTES_PER_TOKEN: u64 = 3;
/// Base64 bytes of thoughts that are shown to nobody that make one token, at the least.
const REDACTED_BYTES_PER_TOKEN: u64 = 2;

/// What a provider puts around a conversation, in tokens: the most that was seen in recorded exchanges, and some more.
struct Around {
    /// Around every conversation.
    frame: u64,
    /// Before functions.
    functions: u64,
    /// Before the schema of an answer.
    schema: u64,
}

const fn usual(dialect: Dialect) -> Around {
    match dialect {
        // Open-weight models behind compatible addresses: gpt-oss has a frame of 70 tokens, Llama 4 says 620 before
        // functions.
        Dialect::OpenAi | Dialect::Cohere => Around {
            frame: 96,
            functions: 704,
            schema: 0,
        },
        Dialect::Responses => Around {
            frame: 96,
            functions: 320,
            schema: 0,
        },
        // The "tool use system prompt" has 346 to 530 tokens, by model and choice (Anthropic's pricing page).
        Dialect::Anthropic | Dialect::Bedrock => Around {
            frame: 48,
            functions: 704,
            schema: 192,
        },
        Dialect::Gemini => Around {
            frame: 16,
            functions: 256,
            schema: 0,
        },
    }
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

fn text_tokens(text: &str) -> u64 {
    TokenBound::of(text.as_bytes()).tokens().count()
}

/// What a provider of this dialect puts around a conversation, at most.
#[must_use]
pub const fn around(request: &ChatRequest, dialect: Dialect) -> Tokens {
    let around = usual(dialect);
    let functions = if request.tools.is_empty() {
        0
    } else {
        around.functions
    };
    let schema = match request.format {
        Some(ResponseFormat::JsonSchema { .. }) => around.schema,
        Some(ResponseFormat::Text | ResponseFormat::JsonObject) | None => 0,
    };
    let both = functions.saturating_add(schema);
    Tokens::new(around.frame.saturating_add(both))
}

/// An upper bound on the tokens of a conversation itself, without what its provider puts around it.
#[must_use]
pub fn chat_input(request: &ChatRequest) -> Tokens {
    let messages = request.messages.iter().fold(0_u64, |sum, message| {
        sum.saturating_add(TOKENS_PER_MESSAGE).saturating_add(
            message
                .parts
                .iter()
                .fold(0, |sum, part| sum.saturating_add(part_tokens(part))),
        )
    });
    let tools = request.tools.iter().fold(0_u64, |sum, tool| {
        let schema = tool
            .parameters
            .as_ref()
            .map_or(0, |schema| text_tokens(&schema.to_string()));
        sum.saturating_add(TOKENS_PER_TOOL)
            .saturating_add(text_tokens(&tool.name))
            .saturating_add(tool.description.as_deref().map_or(0, text_tokens))
            .saturating_add(schema)
    });
    let format = match &request.format {
        Some(ResponseFormat::JsonSchema {
            name,
            description,
            schema,
            ..
        }) => text_tokens(&schema.to_string())
            .saturating_add(text_tokens(name))
            .saturating_add(description.as_deref().map_or(0, text_tokens)),
        Some(ResponseFormat::Text | ResponseFormat::JsonObject) | None => 0,
    };
    Tokens::new(messages.saturating_add(tools).saturating_add(format))
}

/// The thoughts that a provider reads out of its proof: a proof is twice as long, in base64.
fn signature_tokens(signature: Option<&str>) -> u64 {
    signature.map_or(0, |text| length(text).div_ceil(SIGNATURE_BYTES_PER_TOKEN))
}

fn part_tokens(part: &Part) -> u64 {
    match part {
        Part::Text { text, .. } | Part::Refusal { text } => text_tokens(text),
        Part::Thinking { text, signature } => {
            text_tokens(text).saturating_add(signature_tokens(signature.as_deref()))
        }
        Part::RedactedThinking { data } => length(data).div_ceil(REDACTED_BYTES_PER_TOKEN),
        Part::Image { .. } => TOKENS_PER_IMAGE,
        Part::Audio { source, .. } | Part::Document { source, .. } => match source {
            // One token for each byte of it.
            Source::Base64 { media_type, data } if media_type.starts_with("text/") => {
                length(data).div_ceil(4).saturating_mul(3)
            }
            Source::Base64 { data, .. } => length(data)
                .div_ceil(FILE_BYTES_PER_TOKEN)
                .max(TOKENS_PER_IMAGE),
            Source::Text(text) => text_tokens(text),
            Source::Url(_) | Source::FileId(_) => TOKENS_PER_LINKED_FILE,
        },
        Part::ToolCall {
            name,
            arguments,
            signature,
            ..
        } => text_tokens(name)
            .saturating_add(text_tokens(arguments))
            .saturating_add(signature_tokens(signature.as_deref())),
        Part::ToolResult { parts, .. } => parts.iter().fold(TOKENS_PER_MESSAGE, |sum, part| {
            sum.saturating_add(part_tokens(part))
        }),
    }
}

/// An upper bound on the tokens of things to embed.
#[must_use]
pub fn embeddings_input(request: &EmbeddingsRequest) -> Tokens {
    Tokens::new(request.input.iter().fold(0_u64, |sum, input| {
        sum.saturating_add(match input {
            EmbeddingInput::Text(text) => text_tokens(text).saturating_add(1),
            EmbeddingInput::Tokens(tokens) => u64::try_from(tokens.len()).unwrap_or(u64::MAX),
        })
    }))
}

/// What an upper bound most likely came to, where the provider never said.
#[must_use]
pub const fn likely(bound: Tokens) -> Tokens {
    Tokens::new(bound.count().div_ceil(BOUND_PER_LIKELY))
}

#[cfg(test)]
mod tests {
    use sluice_wire::model::{Message, Role};

    use super::*;

    #[test]
    fn text_is_counted_on_the_safe_side() {
        let request = ChatRequest {
            messages: vec![Message {
                role: Role::User,
                parts: vec![Part::text("7".repeat(400))],
                name: None,
            }],
            ..ChatRequest::default()
        };
        assert_eq!(chat_input(&request), Tokens::new(408));
        assert_eq!(likely(Tokens::new(408)), Tokens::new(204));
    }
}
