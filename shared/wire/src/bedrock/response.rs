//! A whole Converse answer in the neutral model.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::usage::WireUsage;
use super::{reasoning, shape};
use crate::Drops;
use crate::anthropic::STRUCTURED_ANSWER_TOOL;
use crate::anthropic::format::Calls;
use crate::anthropic::response::{is_empty_object, position, restored};
use crate::error::DecodeError;
use crate::model::{ChatResponse, Choice, Finish, Part};

const NO_ARGUMENTS: &str = "{}";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAnswer {
    output: Output,
    stop_reason: Option<String>,
    usage: Option<WireUsage>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Output {
    message: WireMessage,
}

#[derive(Deserialize)]
struct WireMessage {
    #[serde(default)]
    content: Vec<WireBlock>,
}

/// One content block, of whatever kind.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireBlock {
    text: Option<String>,
    tool_use: Option<WireCall>,
    reasoning_content: Option<WireThought>,
    citations_content: Option<WireCitations>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// A call, or its beginning.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireCall {
    tool_use_id: String,
    name: String,
    input: Option<Box<RawValue>>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl WireCall {
    /// The provider runs the tool itself.
    pub(super) const fn is_on_server(&self) -> bool {
        self.kind.is_some()
    }

    /// The call is of the tool that stands in for a JSON answer.
    pub(super) fn is_structured_answer(&self) -> bool {
        self.name == STRUCTURED_ANSWER_TOOL
    }

    /// The call's identifier and name as the caller wrote them.
    pub(super) fn head(self) -> (String, String) {
        (restored(Some(self.tool_use_id)), restored(Some(self.name)))
    }

    fn arguments(&self) -> String {
        let text = self.input.as_deref().map(RawValue::get);
        let text = text.filter(|text| !is_empty_object(text) && *text != "null");
        text.unwrap_or(NO_ARGUMENTS).to_owned()
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireThought {
    reasoning_text: Option<WireReasoning>,
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
struct WireReasoning {
    #[serde(default)]
    text: String,
    signature: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireCitations {
    content: Vec<CitedText>,
    citations: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CitedText {
    text: String,
}

/// Reads a whole answer. It says neither an identifier nor, but for a prompt router's, a model.
///
/// Blocks that the model has no part for are named in the report; `metrics`, `trace` and other fields of the answer
/// stay in `extra`.
///
/// # Errors
/// [`DecodeError::Shape`] when it is no Converse answer.
pub fn decode_response(body: &[u8]) -> Result<(ChatResponse, Drops), DecodeError> {
    let answer: WireAnswer =
        sluice_units::json::from_slice(body).map_err(|error| shape(position(&error)))?;
    let mut drops = Drops::new();
    let mut calls = Calls::default();
    let mut parts = Vec::with_capacity(answer.output.message.content.len());
    for (index, block) in answer.output.message.content.into_iter().enumerate() {
        parts.extend(part(block, index, &mut calls, &mut drops));
    }
    let mut extra = answer.rest;
    extra.retain(|_, value| !value.is_null());
    let sequence = stop_sequence(extra.get("additionalModelResponseFields"));
    let response = ChatResponse {
        id: String::new(),
        model: routed_model(extra.get("trace")),
        created: None,
        choices: vec![Choice {
            index: 0,
            parts,
            finish: finish(answer.stop_reason, sequence, calls),
            logprobs: None,
        }],
        usage: answer.usage.as_ref().map(WireUsage::neutral),
        extra,
    };
    Ok((response, drops))
}

fn part(block: WireBlock, index: usize, calls: &mut Calls, drops: &mut Drops) -> Option<Part> {
    if let Some(text) = block.text {
        return Some(Part::text(text));
    }
    if let Some(call) = block.tool_use {
        if call.is_on_server() {
            name_block(index, "toolUse", drops);
            return None;
        }
        calls.count(call.is_structured_answer());
        let arguments = call.arguments();
        if call.is_structured_answer() {
            return Some(Part::text(arguments));
        }
        let (id, name) = call.head();
        return Some(Part::ToolCall {
            id,
            name,
            arguments,
            signature: None,
            cache: None,
        });
    }
    if let Some(thought) = block.reasoning_content {
        return match (thought.reasoning_text, thought.redacted_content) {
            (Some(open), _) => Some(Part::Thinking {
                text: open.text,
                signature: open.signature.filter(|signature| !signature.is_empty()),
            }),
            (None, Some(content)) => Some(Part::RedactedThinking {
                data: reasoning::redacted(content),
            }),
            (None, None) => {
                name_block(index, "reasoningContent", drops);
                None
            }
        };
    }
    if let Some(cited) = block.citations_content {
        return Some(Part::Text {
            text: cited.content.into_iter().map(|piece| piece.text).collect(),
            cache: None,
            annotations: cited.citations,
        });
    }
    let kind = block.rest.keys().next();
    name_block(index, kind.map_or("unknown kind", String::as_str), drops);
    None
}

/// Names a block that the model has no part for.
pub(super) fn name_block(index: usize, kind: &str, drops: &mut Drops) {
    drops.push(
        format!("content[{index}]"),
        format!("a block of {kind} has no counterpart"),
    );
}

/// The sequence that was met, where the caller asked for the field and the model says it.
pub(super) fn stop_sequence(additional: Option<&Value>) -> Option<String> {
    let additional = additional?;
    let direct = additional.get("stop_sequence");
    let streamed = additional
        .get("delta")
        .and_then(|delta| delta.get("stop_sequence"));
    let sequence = direct.or(streamed)?.as_str()?;
    Some(sequence.to_owned())
}

/// The model that a prompt router chose.
fn routed_model(trace: Option<&Value>) -> String {
    let model = trace
        .and_then(|trace| trace.get("promptRouter")?.get("invokedModelId")?.as_str())
        .unwrap_or_default();
    model.to_owned()
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
        "guardrail_intervened" | "content_filtered" => Finish::ContentFilter,
        "refusal" => Finish::Refusal,
        _ => Finish::Other(reason),
    }
}
