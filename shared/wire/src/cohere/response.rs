//! A whole chat answer in the neutral model.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::usage::WireUsage;
use super::{PLAN, names, shape};
use crate::Drops;
use crate::anthropic::STRUCTURED_ANSWER_TOOL;
use crate::anthropic::format::Calls;
use crate::anthropic::response::{position, restored};
use crate::error::DecodeError;
use crate::model::{ChatResponse, Choice, Finish, Part};

const NO_ARGUMENTS: &str = "{}";

#[derive(Deserialize)]
struct WireAnswer {
    #[serde(default)]
    id: String,
    message: WireMessage,
    finish_reason: Option<String>,
    usage: Option<WireUsage>,
    logprobs: Option<Vec<WireLogprob>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireMessage {
    content: Option<Vec<WireBlock>>,
    tool_plan: Option<String>,
    tool_calls: Option<Vec<WireCall>>,
    citations: Option<Vec<Value>>,
}

/// One content block, of whatever kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireBlock {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) text: Option<String>,
    pub(super) thinking: Option<String>,
}

/// A call, or its beginning.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireCall {
    pub(super) id: Option<String>,
    pub(super) function: WireFunction,
}

/// The function called, or more of its arguments.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireFunction {
    pub(super) name: Option<String>,
    pub(super) arguments: Option<String>,
}

impl WireCall {
    /// The call is of the tool that stands in for a JSON answer.
    pub(super) fn is_structured_answer(&self) -> bool {
        self.function.name.as_deref() == Some(STRUCTURED_ANSWER_TOOL)
    }

    /// The call's identifier and name as the caller wrote them.
    pub(super) fn head(self) -> (String, String) {
        let name = self.function.name.unwrap_or_default();
        (restored(self.id), names::restore(name))
    }

    fn arguments(&self) -> String {
        let text = self.function.arguments.as_deref();
        // A call without arguments comes as `null`, or as nothing.
        let text = text.filter(|text| !is_nothing(text));
        text.unwrap_or(NO_ARGUMENTS).to_owned()
    }
}

/// The text is no arguments at all.
pub(super) fn is_nothing(arguments: &str) -> bool {
    matches!(arguments.trim(), "" | "null")
}

/// The probabilities of one piece of text.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireLogprob {
    text: Option<String>,
    logprobs: Vec<Value>,
}

/// Reads a whole answer. It names no model.
///
/// # Errors
/// [`DecodeError::Shape`] when it is no chat answer, or says that the model failed.
pub fn decode_response(body: &[u8]) -> Result<(ChatResponse, Drops), DecodeError> {
    let answer: WireAnswer =
        sluice_units::json::from_slice(body).map_err(|error| shape(position(&error)))?;
    let reason = answer.finish_reason.unwrap_or_default();
    if is_failure(&reason) {
        return Err(shape("the answer says that the model failed"));
    }
    let mut drops = Drops::new();
    let message = answer.message;
    let mut parts = Vec::new();
    let plan = message.tool_plan.filter(|plan| !plan.is_empty());
    for (index, block) in message.content.into_iter().flatten().enumerate() {
        parts.extend(part(block, index, &mut drops));
    }
    parts.extend(plan.map(|text| Part::Thinking {
        text,
        signature: Some(PLAN.to_owned()),
    }));
    cite(
        message.citations.unwrap_or_default(),
        &mut parts,
        &mut drops,
    );
    let mut calls = Calls::default();
    for call in message.tool_calls.into_iter().flatten() {
        calls.count(call.is_structured_answer());
        parts.push(called(call));
    }
    let mut extra = answer.rest;
    extra.retain(|_, value| !value.is_null());
    let logprobs = answer
        .logprobs
        .and_then(|pieces| logprobs(pieces, &mut drops));
    let response = ChatResponse {
        id: answer.id,
        model: String::new(),
        created: None,
        choices: vec![Choice {
            index: 0,
            parts,
            finish: finish(reason, calls),
            logprobs,
        }],
        usage: answer.usage.as_ref().map(WireUsage::neutral),
        extra,
    };
    Ok((response, drops))
}

fn part(block: WireBlock, index: usize, drops: &mut Drops) -> Option<Part> {
    match block.kind.as_str() {
        "text" => Some(Part::text(block.text.unwrap_or_default())),
        "thinking" => Some(Part::Thinking {
            text: block.thinking.unwrap_or_default(),
            signature: None,
        }),
        kind => {
            name_block(index, kind, drops);
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

fn called(call: WireCall) -> Part {
    let arguments = call.arguments();
    if call.is_structured_answer() {
        return Part::text(arguments);
    }
    let (id, name) = call.head();
    Part::ToolCall {
        id,
        name,
        arguments,
        signature: None,
        cache: None,
    }
}

/// Citations of the answer belong to the last text; thoughts and plans have none here.
fn cite(citations: Vec<Value>, parts: &mut [Part], drops: &mut Drops) {
    let mut text = parts.iter_mut().rev().find_map(|part| match part {
        Part::Text { annotations, .. } => Some(annotations),
        _ => None,
    });
    for citation in citations {
        match &mut text {
            Some(annotations) if is_of_text(&citation) => annotations.push(citation),
            _ => name_citation(drops),
        }
    }
}

/// The citation stands under the answer, not under a thought or a plan.
pub(super) fn is_of_text(citation: &Value) -> bool {
    let kind = citation.get("type").and_then(Value::as_str);
    kind.is_none_or(|kind| kind == "TEXT_CONTENT")
}

/// Names a citation that has no text to stand under.
pub(super) fn name_citation(drops: &mut Drops) {
    drops.push("citations", "there is no text that they cite for");
}

/// In OpenAI's shape, which has one token in each place.
pub(super) fn logprobs(pieces: Vec<WireLogprob>, drops: &mut Drops) -> Option<Value> {
    let mut content = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (piece.text, piece.logprobs.as_slice()) {
            (Some(text), [logprob]) => content.push(json!({
                "token": text,
                "logprob": logprob,
                "bytes": text.as_bytes(),
                "top_logprobs": [],
            })),
            (_, []) => {}
            _ => drops.push("logprobs", "several tokens share one text"),
        }
    }
    (!content.is_empty()).then(|| json!({"content": content, "refusal": null}))
}

/// The end is a failure of the provider's.
pub(super) fn is_failure(reason: &str) -> bool {
    reason.starts_with("ERROR") || reason == "TIMEOUT"
}

/// The neutral reason for the end.
pub(super) fn finish(reason: String, calls: Calls) -> Finish {
    match reason.as_str() {
        "COMPLETE" => Finish::Stop,
        "STOP_SEQUENCE" => Finish::StopSequence(None),
        "MAX_TOKENS" => Finish::Length,
        "TOOL_CALL" if calls.only_answer() => Finish::Stop,
        "TOOL_CALL" => Finish::ToolCalls,
        _ => Finish::Other(reason),
    }
}
