//! A whole Messages answer in the neutral model.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::format::{Calls, STRUCTURED_ANSWER_TOOL};
use super::names::restore;
use super::shape;
use super::usage::WireUsage;
use crate::Drops;
use crate::error::DecodeError;
use crate::model::{ChatResponse, Choice, Finish, Part};

const NO_ARGUMENTS: &str = "{}";

#[derive(Deserialize)]
struct WireMessage {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    content: Vec<Box<RawValue>>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    stop_details: Option<StopDetails>,
    usage: Option<WireUsage>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Why a refusal came.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct StopDetails {
    pub(super) explanation: Option<String>,
}

/// One content block, of whatever type.
#[derive(Debug, Deserialize)]
pub(super) struct WireBlock {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) text: Option<String>,
    pub(super) thinking: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) data: Option<String>,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) input: Option<Box<RawValue>>,
    pub(super) citations: Option<Vec<Value>>,
}

impl WireBlock {
    /// The call's arguments, byte for byte; `None` where there are none.
    pub(super) fn arguments(&self) -> Option<&str> {
        self.input
            .as_deref()
            .map(RawValue::get)
            .filter(|text| !is_empty_object(text) && *text != "null")
    }

    /// The block is a call of the tool that stands in for a JSON answer.
    pub(super) fn is_structured_answer(&self) -> bool {
        self.kind == "tool_use" && self.name.as_deref() == Some(STRUCTURED_ANSWER_TOOL)
    }
}

/// The JSON text is an object without fields.
pub(crate) fn is_empty_object(text: &str) -> bool {
    text.strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|inner| inner.trim().is_empty())
}

/// Reads a whole answer.
///
/// Blocks of the provider's own tools have no counterpart; each is named in the report.
///
/// # Errors
/// [`DecodeError::Shape`] when it is no Messages answer.
pub fn decode_response(body: &[u8]) -> Result<(ChatResponse, Drops), DecodeError> {
    let message: WireMessage =
        sluice_units::json::from_slice(body).map_err(|error| shape(position(&error)))?;
    if message.kind != "message" {
        return Err(shape("the answer is not of type message"));
    }
    let mut drops = Drops::new();
    let mut parts = Vec::with_capacity(message.content.len());
    let mut calls = Calls::default();
    for (index, raw) in message.content.iter().enumerate() {
        let block: WireBlock = sluice_units::json::from_slice(raw.get().as_bytes())
            .map_err(|error| shape(position(&error)))?;
        if block.kind == "tool_use" {
            calls.count(block.is_structured_answer());
        }
        parts.extend(part(block, index, &mut drops));
    }
    let finish = finish(message.stop_reason, message.stop_sequence, calls);
    if let Some(text) = message.stop_details.and_then(|details| details.explanation)
        && finish == Finish::Refusal
        && !text.is_empty()
    {
        parts.push(Part::Refusal { text });
    }
    let mut extra = message.rest;
    extra.retain(|key, value| key != "role" && !value.is_null());
    let response = ChatResponse {
        id: message.id,
        model: message.model,
        created: None,
        choices: vec![Choice {
            index: 0,
            parts,
            finish,
            logprobs: None,
        }],
        usage: message.usage.as_ref().map(WireUsage::neutral),
        extra,
    };
    Ok((response, drops))
}

fn part(block: WireBlock, index: usize, drops: &mut Drops) -> Option<Part> {
    let is_answer = block.is_structured_answer();
    match block.kind.as_str() {
        "text" => Some(Part::Text {
            text: block.text.unwrap_or_default(),
            cache: None,
            annotations: block.citations.unwrap_or_default(),
        }),
        "tool_use" if is_answer => Some(Part::text(
            block.arguments().unwrap_or(NO_ARGUMENTS).to_owned(),
        )),
        "tool_use" => Some(Part::ToolCall {
            arguments: block.arguments().unwrap_or(NO_ARGUMENTS).to_owned(),
            id: restored(block.id),
            name: restored(block.name),
            signature: None,
            cache: None,
        }),
        "thinking" => Some(Part::Thinking {
            text: block.thinking.unwrap_or_default(),
            signature: block.signature.filter(|signature| !signature.is_empty()),
        }),
        "redacted_thinking" => Some(Part::RedactedThinking {
            data: block.data.unwrap_or_default(),
        }),
        _ => {
            name_block(index, &block.kind, drops);
            None
        }
    }
}

/// Names a block that the model has no part for.
pub(super) fn name_block(index: usize, kind: &str, drops: &mut Drops) {
    drops.push(
        format!("content[{index}]"),
        format!("a block of type {kind} has no counterpart"),
    );
}

/// An identifier or a name as the caller wrote it.
pub(crate) fn restored(name: Option<String>) -> String {
    let name = name.unwrap_or_default();
    restore(&name).into_owned()
}

/// The neutral reason for the end.
pub(super) fn finish(reason: Option<String>, sequence: Option<String>, calls: Calls) -> Finish {
    let Some(reason) = reason else {
        return Finish::Other(String::new());
    };
    match reason.as_str() {
        "end_turn" => Finish::Stop,
        "stop_sequence" => Finish::StopSequence(sequence),
        "max_tokens" => Finish::Length,
        "model_context_window_exceeded" => Finish::ContextFull,
        "tool_use" if calls.only_answer() => Finish::Stop,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::Refusal,
        "pause_turn" => Finish::Pause,
        _ => Finish::Other(reason),
    }
}

/// Where JSON is not what was expected, without its content.
pub(crate) fn position(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "cut-off JSON",
        serde_json::error::Category::Syntax => "invalid JSON",
        _ => "JSON of another shape",
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}
