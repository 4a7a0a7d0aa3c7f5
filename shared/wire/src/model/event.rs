//! A streamed answer as a sequence of events.

use serde_json::Value;

use super::{Finish, Source, Usage};
use crate::error::UpstreamError;

/// One step of a streamed answer.
///
/// The order is: `Start`; then for each part of each choice `PartStart`, deltas, `PartEnd`; `Finish` for each choice;
/// `End`. `Usage` may come anywhere after `Start`, each replaces the one before.
/// Parts of one choice have rising indexes and may overlap (OpenAI interleaves parallel tool calls);
/// an encoder whose dialect cannot overlap keeps a delta back until its part's turn comes.
/// After `Failed` nothing follows.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The answer begins.
    Start {
        /// The provider's identifier for the answer.
        id: String,
        /// The model's name as the provider says it.
        model: String,
        /// Seconds since the Unix epoch, where the provider says it.
        created: Option<i64>,
    },
    /// A part begins.
    PartStart {
        /// The choice that it belongs to.
        choice: u32,
        /// Its number within the choice, from 0.
        part: u32,
        /// What it is.
        kind: PartKind,
    },
    /// More text of a text, thinking or refusal part, or more JSON text of a tool call's arguments.
    Delta {
        /// The choice.
        choice: u32,
        /// The part.
        part: u32,
        /// The text. Never empty.
        text: String,
    },
    /// The proof over a thinking part or a tool call, whole.
    Signature {
        /// The choice.
        choice: u32,
        /// The part.
        part: u32,
        /// The proof, byte for byte.
        signature: String,
    },
    /// A citation or annotation of a text part, in the shape of the dialect that it came from.
    Annotation {
        /// The choice.
        choice: u32,
        /// The part.
        part: u32,
        /// The annotation.
        annotation: Value,
    },
    /// Log-probabilities of the tokens that came last, in OpenAI's shape.
    Logprobs {
        /// The choice.
        choice: u32,
        /// The log-probabilities.
        logprobs: Value,
    },
    /// A part ends.
    PartEnd {
        /// The choice.
        choice: u32,
        /// The part.
        part: u32,
    },
    /// A choice ends.
    Finish {
        /// The choice.
        choice: u32,
        /// Why.
        finish: Finish,
    },
    /// What was used so far; the last one counts.
    Usage(Usage),
    /// The provider said in mid-stream that it failed.
    Failed(UpstreamError),
    /// The answer is complete.
    End,
}

/// What a streamed part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartKind {
    /// Plain text.
    Text,
    /// Reasoning.
    Thinking,
    /// Reasoning that only the provider can read, whole.
    RedactedThinking {
        /// The encrypted reasoning.
        data: String,
    },
    /// The model declines.
    Refusal,
    /// A picture or a sound, whole.
    Media {
        /// Where it is; its type tells which of both.
        source: Source,
    },
    /// A tool call; its arguments follow as deltas (none at all means `{}`).
    ToolCall {
        /// The call's identifier; empty where the provider gives none.
        id: String,
        /// The function's name.
        name: String,
    },
}
