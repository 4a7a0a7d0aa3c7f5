//! How many tokens a request may use at most, before anybody has counted.
//!
//! Text counts one token for every two bytes: above what the tokenizers of the field need for prose, code and
//! non-Latin scripts (one for three to four bytes), so the reservation is on the safe side. Pictures, sound and files
//! are counted by rules of thumb from the providers' pricing pages.

use sluice_units::Tokens;
use sluice_wire::model::{ChatRequest, EmbeddingInput, EmbeddingsRequest, Part, Source};

const BYTES_PER_TOKEN_MIN: u64 = 2;
/// What an ordinary text takes: for estimates after the fact, not for reservations.
const BYTES_PER_TOKEN_USUAL: u64 = 4;
const TOKENS_PER_MESSAGE: u64 = 8;
const TOKENS_PER_TOOL: u64 = 16;
const TOKENS_PER_IMAGE: u64 = 4_096;
const TOKENS_PER_LINKED_FILE: u64 = 65_536;
/// Base64 bytes of sound or of a file that make one token, at the least.
const FILE_BYTES_PER_TOKEN: u64 = 16;

/// The output that is reserved where neither the caller nor the catalogue names a limit.
pub const OUTPUT_TOKENS_DEFAULT: Tokens = Tokens::new(16_384);

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

fn text_tokens(text: &str) -> u64 {
    length(text).div_ceil(BYTES_PER_TOKEN_MIN)
}

/// An upper bound on a conversation's input tokens.
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
    Tokens::new(messages.saturating_add(tools))
}

fn part_tokens(part: &Part) -> u64 {
    match part {
        Part::Text { text, .. } | Part::Refusal { text } => text_tokens(text),
        Part::Thinking { text, .. } => text_tokens(text),
        Part::RedactedThinking { data } => text_tokens(data),
        Part::Image { .. } => TOKENS_PER_IMAGE,
        Part::Audio { source, .. } | Part::Document { source, .. } => match source {
            Source::Base64 { data, .. } => length(data)
                .div_ceil(FILE_BYTES_PER_TOKEN)
                .max(TOKENS_PER_IMAGE),
            Source::Text(text) => text_tokens(text),
            Source::Url(_) | Source::FileId(_) => TOKENS_PER_LINKED_FILE,
        },
        Part::ToolCall {
            name, arguments, ..
        } => text_tokens(name).saturating_add(text_tokens(arguments)),
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

/// What an upper bound on input most likely came to, where the provider never said.
#[must_use]
pub const fn likely_input(bound: Tokens) -> Tokens {
    Tokens::new(
        bound
            .count()
            .saturating_mul(BYTES_PER_TOKEN_MIN)
            .div_ceil(BYTES_PER_TOKEN_USUAL),
    )
}

/// What so many bytes of output most likely came to.
#[must_use]
pub const fn likely_output(bytes: u64) -> Tokens {
    Tokens::new(bytes.div_ceil(BYTES_PER_TOKEN_USUAL))
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
                parts: vec![Part::text("x".repeat(400))],
                name: None,
            }],
            ..ChatRequest::default()
        };
        assert_eq!(chat_input(&request), Tokens::new(208));
        assert_eq!(likely_input(Tokens::new(208)), Tokens::new(104));
    }
}
