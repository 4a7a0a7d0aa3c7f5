//! A whole answer for a caller.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::{Answered, citation, stop, stop_details, usage};
use crate::anthropic::blocks::{Block, Input};
use crate::anthropic::names::legal;
use crate::model::{ChatResponse, Finish, Part};
use crate::{Drops, kinds};

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: &'static str,
    stop_sequence: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_details: Option<Value>,
    usage: Value,
}

/// Writes a whole answer for a caller, and names what the dialect cannot say.
#[must_use]
pub fn encode_response(response: &ChatResponse, answered: &Answered) -> (Vec<u8>, Drops) {
    let mut drops = Drops::new();
    for choice in response.choices.iter().skip(1) {
        drops.push(
            format!("choices[{}]", choice.index),
            "anthropic has one choice",
        );
    }
    for key in response.extra.keys() {
        drops.push(key.clone(), "not supported by anthropic");
    }
    let choice = response.choices.first();
    if choice.is_some_and(|choice| choice.logprobs.is_some()) {
        drops.push("logprobs", "not supported by anthropic");
    }
    let mut writer = Writer {
        answered,
        calls: 0,
        refusal: None,
        drops,
    };
    let parts = choice.map_or(&[][..], |choice| &choice.parts);
    let content = parts.iter().filter_map(|part| writer.block(part)).collect();
    let Writer {
        refusal, mut drops, ..
    } = writer;
    let finish = match choice.map(|choice| &choice.finish) {
        // Some providers decline in words and say that they are done.
        Some(Finish::Stop) if refusal.is_some() => &Finish::Refusal,
        Some(finish) => finish,
        None => &Finish::Stop,
    };
    let (stop_reason, stop_sequence) = stop(finish, &mut drops);
    kinds::note(response.usage.as_ref(), &kinds::ANTHROPIC, &mut drops);
    let (id, model) = answered.shown(&response.id, &response.model);
    let message = Message {
        id,
        kind: "message",
        role: "assistant",
        model,
        content,
        stop_reason,
        stop_sequence,
        stop_details: refusal.as_deref().map(stop_details),
        usage: usage(&response.usage.unwrap_or_default()),
    };
    // Serializing text, numbers and JSON into memory cannot fail.
    (serde_json::to_vec(&message).unwrap_or_default(), drops)
}

struct Writer<'a> {
    answered: &'a Answered,
    calls: u32,
    refusal: Option<String>,
    drops: Drops,
}

impl<'a> Writer<'a> {
    fn block(&mut self, part: &'a Part) -> Option<Block<'a>> {
        let drops = &mut self.drops;
        match part {
            Part::Text {
                text, annotations, ..
            } => Some(Block::Text {
                text: Cow::Borrowed(text),
                citations: annotations
                    .iter()
                    .filter_map(|annotation| citation(annotation, drops))
                    .collect(),
                cache_control: None,
            }),
            Part::ToolCall {
                id,
                name,
                arguments,
                signature,
                ..
            } => {
                if signature.is_some() {
                    drops.push("tool_use.signature", "not supported by anthropic");
                }
                let made = self.answered.call_id(self.calls);
                self.calls = self.calls.saturating_add(1);
                let (input, wrapped) = Input::of(arguments);
                if wrapped {
                    drops.push("tool_use.input", "not a JSON object; sent inside of one");
                }
                Some(Block::ToolUse {
                    id: if id.is_empty() {
                        Cow::Owned(legal(&made).into_owned())
                    } else {
                        legal(id)
                    },
                    name: Cow::Borrowed(name),
                    input,
                    cache_control: None,
                })
            }
            Part::Thinking { text, signature } => Some(Block::Thinking {
                thinking: text,
                signature: signature.as_deref().unwrap_or_default(),
            }),
            Part::RedactedThinking { data } => Some(Block::RedactedThinking { data }),
            Part::Refusal { text } => {
                self.refusal.get_or_insert_default().push_str(text);
                None
            }
            Part::Image { .. }
            | Part::Audio { .. }
            | Part::Document { .. }
            | Part::ToolResult { .. } => {
                drops.push("content", "an answer holds text and calls only");
                None
            }
        }
    }
}
