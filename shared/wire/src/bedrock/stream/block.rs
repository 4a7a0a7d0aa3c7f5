//! A block of a streamed answer: what its deltas become.

use serde::Deserialize;
use serde_json::Value;

use super::CHOICE;
use crate::bedrock::shape;
use crate::error::DecodeError;
use crate::gemini::base64;
use crate::model::Event;
use crate::sse::EVENT_BYTES_MAX;

/// What a block is.
#[derive(Debug)]
pub(super) enum What {
    /// Text: its deltas go out as they come.
    Text(u32),
    /// A call: its deltas go out as they come.
    Call(u32),
    /// Reasoning, and its proof so far.
    Thought(u32, String),
    /// A JSON answer in a call's clothes, and whether anything of it came.
    Form(u32, bool),
    /// Encrypted reasoning, which the model has only whole.
    Redacted(Vec<u8>),
    /// No counterpart.
    Nothing,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Delta {
    pub(super) text: Option<String>,
    pub(super) tool_use: Option<CallDelta>,
    pub(super) reasoning_content: Option<ThoughtDelta>,
    pub(super) citation: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct CallDelta {
    #[serde(default)]
    input: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ThoughtDelta {
    text: Option<String>,
    signature: Option<String>,
    pub(super) redacted_content: Option<String>,
}

impl What {
    /// Takes a delta; `false` when a block of this kind has no such deltas.
    pub(super) fn take(
        &mut self,
        delta: Delta,
        events: &mut Vec<Event>,
    ) -> Result<bool, DecodeError> {
        match (self, delta) {
            (Self::Nothing, _) => {}
            (
                Self::Text(part),
                Delta {
                    text: Some(text), ..
                },
            ) => push_delta(*part, text, events),
            (
                Self::Text(part),
                Delta {
                    citation: Some(annotation),
                    ..
                },
            ) => events.push(Event::Annotation {
                choice: CHOICE,
                part: *part,
                annotation,
            }),
            (
                Self::Call(part),
                Delta {
                    tool_use: Some(call),
                    ..
                },
            ) => push_delta(*part, call.input, events),
            (
                Self::Form(part, came),
                Delta {
                    tool_use: Some(call),
                    ..
                },
            ) => {
                *came |= !call.input.is_empty();
                push_delta(*part, call.input, events);
            }
            (
                what,
                Delta {
                    reasoning_content: Some(thought),
                    ..
                },
            ) => return what.think(thought, events),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn think(
        &mut self,
        thought: ThoughtDelta,
        events: &mut Vec<Event>,
    ) -> Result<bool, DecodeError> {
        match (self, thought.redacted_content) {
            (Self::Thought(part, signature), None) => {
                push_delta(*part, thought.text.unwrap_or_default(), events);
                signature.push_str(&thought.signature.unwrap_or_default());
                bounded(signature.len())?;
            }
            (Self::Redacted(bytes), Some(more)) => {
                let more = base64::decode(&more)
                    .ok_or_else(|| shape("encrypted reasoning is not base64"))?;
                bytes.extend(more);
                bounded(bytes.len())?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// What is held back until its block ends is bounded like an event.
const fn bounded(size: usize) -> Result<(), DecodeError> {
    if size > EVENT_BYTES_MAX {
        return Err(DecodeError::EventTooLarge(EVENT_BYTES_MAX));
    }
    Ok(())
}

pub(super) fn push_delta(part: u32, text: String, events: &mut Vec<Event>) {
    if !text.is_empty() {
        events.push(Event::Delta {
            choice: CHOICE,
            part,
            text,
        });
    }
}
