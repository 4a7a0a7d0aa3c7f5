//! `finish_reason` in both directions.

use crate::Drops;
use crate::model::Finish;

/// Reads a provider's word.
pub(super) fn decode(word: &str) -> Finish {
    match word {
        // Together's older models say `eos`, as a recorded exchange shows.
        "stop" | "eos" | "end_turn" => Finish::Stop,
        "stop_sequence" => Finish::StopSequence(None),
        "length" | "max_tokens" => Finish::Length,
        // Mistral: the context window is full.
        "model_length" => Finish::ContextFull,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "content_filter" => Finish::ContentFilter,
        "refusal" => Finish::Refusal,
        other => Finish::Other(other.to_owned()),
    }
}

/// Corrects a provider's word by what was said: calls wait for results even where the provider says `stop`,
/// as OpenAI does for a call that was forced by name, and Gemini's compatible address for every call.
pub(super) fn with_calls(finish: Finish, calls: bool) -> Finish {
    if calls && finish == Finish::Stop {
        Finish::ToolCalls
    } else {
        finish
    }
}

/// Writes one of OpenAI's five words.
pub(super) fn encode(finish: &Finish, drops: &mut Drops) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::StopSequence(sequence) => {
            if sequence.is_some() {
                drops.push("stop_sequence", "openai does not say which one was met");
            }
            "stop"
        }
        Finish::Length => "length",
        Finish::ContextFull => {
            drops.push("finish_reason", "a full context is openai's length");
            "length"
        }
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter | Finish::Refusal => "content_filter",
        Finish::Pause => {
            drops.push("finish_reason", "openai knows no paused turns");
            "stop"
        }
        Finish::Other(_) => {
            drops.push(
                "finish_reason",
                "the provider's word is not one of openai's",
            );
            "stop"
        }
    }
}
