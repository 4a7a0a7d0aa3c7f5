//! A streamed Messages answer as neutral events.
//!
//! Follows <https://docs.claude.com/en/docs/build-with-claude/streaming>: unknown events and
//! `ping` mean nothing, usage in `message_delta` is cumulative, `message_stop` is the end and nothing else is.

use serde::Deserialize;
use serde_json::Value;

use super::error::{self, WireError};
use super::format::Calls;
use super::response::{StopDetails, WireBlock, finish, name_block, position, restored};
use super::shape;
use super::usage::WireUsage;
use crate::Drops;
use crate::error::DecodeError;
use crate::model::{Event, Finish, PartKind};
use crate::sse::SseDecoder;

/// The most blocks of one answer; more is not an answer but an attack.
const BLOCKS_MAX: u32 = 10_000;

/// The only choice that the dialect has.
const CHOICE: u32 = 0;

/// Reads a provider's stream.
///
/// Usage is told twice: when the message starts (so that a cut stream can be charged) and at its end.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    sse: SseDecoder,
    message: Box<Message>,
}

#[derive(Debug, Default)]
struct Message {
    state: State,
    id: String,
    open: Vec<Open>,
    parts: u32,
    calls: Calls,
    usage: WireUsage,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    stop_details: Option<StopDetails>,
    drops: Drops,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Waiting,
    Running,
    Over,
}

/// A block that has begun and not ended.
#[derive(Debug)]
struct Open {
    index: u32,
    /// Its number among the neutral parts; `None` where it has no counterpart.
    part: Option<u32>,
    /// The types of the deltas that a block of its type has.
    deltas: &'static [&'static str],
    signature: String,
    /// The arguments that came with the block's start; they count only if no deltas follow.
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type", default)]
    kind: String,
    index: Option<u32>,
    message: Option<Start>,
    content_block: Option<WireBlock>,
    delta: Option<Delta>,
    usage: Option<WireUsage>,
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(rename = "type", default)]
    kind: String,
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    partial_json: Option<String>,
    citation: Option<Value>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    stop_details: Option<StopDetails>,
}

impl StreamDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and appends the events that they complete.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not a Messages stream.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let message = &mut self.message;
        self.sse
            .push(bytes, |event| message.frame(&event.data, events))
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when neither an end nor an error was said.
    pub fn finish(&mut self, _: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.message.state == State::Over {
            Ok(())
        } else {
            Err(DecodeError::Truncated)
        }
    }

    /// What the events so far could not say.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        &self.message.drops
    }
}

impl Message {
    fn frame(&mut self, data: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.state == State::Over {
            return Ok(());
        }
        let frame: Frame =
            sluice_units::json::from_slice(data).map_err(|error| shape(position(&error)))?;
        match (frame.kind.as_str(), self.state) {
            ("error", _) => {
                self.state = State::Over;
                let error = frame.error.unwrap_or_default();
                events.push(Event::Failed(error::in_stream(error)));
                Ok(())
            }
            ("message_start", _) => self.start(frame.message, events),
            (
                "content_block_start"
                | "content_block_delta"
                | "content_block_stop"
                | "message_delta"
                | "message_stop",
                State::Waiting,
            ) => Err(shape("the stream does not begin with message_start")),
            ("content_block_start", _) => self.block_start(frame, events),
            ("content_block_delta", _) => self.block_delta(frame, events),
            ("content_block_stop", _) => self.block_stop(frame.index, events),
            ("message_delta", _) => {
                self.message_delta(frame);
                Ok(())
            }
            ("message_stop", _) => self.stop(events),
            _ => Ok(()),
        }
    }

    fn start(&mut self, start: Option<Start>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let start = start.ok_or_else(|| shape("message_start without a message"))?;
        if self.state == State::Running {
            // Some relays say the start twice (not verified). Another message is another answer.
            return if start.id == self.id && self.parts == 0 && self.open.is_empty() {
                Ok(())
            } else {
                Err(shape("a second message starts within the first"))
            };
        }
        self.state = State::Running;
        self.id.clone_from(&start.id);
        events.push(Event::Start {
            id: start.id,
            model: start.model,
            created: None,
        });
        if let Some(usage) = start.usage {
            self.usage.update(usage);
            events.push(Event::Usage(self.usage.neutral()));
        }
        Ok(())
    }

    fn block_start(&mut self, frame: Frame, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let (Some(index), Some(block)) = (frame.index, frame.content_block) else {
            return Err(shape("content_block_start without index or block"));
        };
        if index >= BLOCKS_MAX || self.open.iter().any(|open| open.index == index) {
            return Err(shape("content_block_start with an index that cannot be"));
        }
        if block.kind == "tool_use" {
            self.calls.count(block.is_structured_answer());
        }
        let mut open = Open {
            index,
            part: None,
            deltas: deltas(&block.kind),
            signature: String::new(),
            arguments: None,
        };
        let Some(kind) = part_kind(&block) else {
            name_block(
                usize::try_from(index).unwrap_or(usize::MAX),
                &block.kind,
                &mut self.drops,
            );
            self.open.push(open);
            return Ok(());
        };
        let part = self.parts;
        self.parts = part.saturating_add(1);
        open.part = Some(part);
        events.push(Event::PartStart {
            choice: CHOICE,
            part,
            kind,
        });
        match block.kind.as_str() {
            "text" => {
                delta(part, block.text, events);
                let found = block.citations.into_iter().flatten();
                events.extend(found.map(|one| citation(part, one)));
            }
            "thinking" => {
                delta(part, block.thinking, events);
                open.signature = block.signature.unwrap_or_default();
            }
            "tool_use" => {
                open.arguments = block.arguments().map(str::to_owned);
                if open.arguments.is_none() && block.is_structured_answer() {
                    open.arguments = Some("{}".to_owned());
                }
            }
            _ => {}
        }
        self.open.push(open);
        Ok(())
    }

    fn block_delta(&mut self, frame: Frame, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let (Some(index), Some(wire)) = (frame.index, frame.delta) else {
            return Err(shape("content_block_delta without index or delta"));
        };
        let open = self
            .open
            .iter_mut()
            .find(|open| open.index == index)
            .ok_or_else(|| shape("content_block_delta for a block that is not open"))?;
        let Some(part) = open.part else {
            return Ok(());
        };
        let kind = wire.kind.as_str();
        if !open.deltas.contains(&kind) {
            self.drops.push(
                format!("content[{index}]"),
                format!("a delta of type {kind} has no counterpart"),
            );
            return Ok(());
        }
        match kind {
            "text_delta" => delta(part, wire.text, events),
            "thinking_delta" => delta(part, wire.thinking, events),
            "input_json_delta" => {
                if wire
                    .partial_json
                    .as_ref()
                    .is_some_and(|text| !text.is_empty())
                {
                    open.arguments = None;
                }
                delta(part, wire.partial_json, events);
            }
            "signature_delta" => open.signature.push_str(&wire.signature.unwrap_or_default()),
            _ => events.extend(wire.citation.map(|one| citation(part, one))),
        }
        Ok(())
    }

    fn block_stop(
        &mut self,
        index: Option<u32>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let at = self
            .open
            .iter()
            .position(|open| Some(open.index) == index)
            .ok_or_else(|| shape("content_block_stop for a block that is not open"))?;
        let open = self.open.swap_remove(at);
        let Some(part) = open.part else {
            return Ok(());
        };
        delta(part, open.arguments, events);
        if !open.signature.is_empty() {
            events.push(Event::Signature {
                choice: CHOICE,
                part,
                signature: open.signature,
            });
        }
        events.push(Event::PartEnd {
            choice: CHOICE,
            part,
        });
        Ok(())
    }

    fn message_delta(&mut self, frame: Frame) {
        if let Some(delta) = frame.delta {
            self.stop_reason = delta.stop_reason.or_else(|| self.stop_reason.take());
            self.stop_sequence = delta.stop_sequence.or_else(|| self.stop_sequence.take());
            self.stop_details = delta.stop_details.or_else(|| self.stop_details.take());
        }
        if let Some(usage) = frame.usage {
            self.usage.update(usage);
        }
    }

    fn stop(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if !self.open.is_empty() {
            return Err(shape("message_stop while a block is open"));
        }
        self.state = State::Over;
        let finish = finish(
            self.stop_reason.take(),
            self.stop_sequence.take(),
            self.calls,
        );
        let explanation = self
            .stop_details
            .take()
            .and_then(|details| details.explanation);
        if finish == Finish::Refusal {
            self.refusal(explanation.unwrap_or_default(), events);
        }
        events.push(Event::Finish {
            choice: CHOICE,
            finish,
        });
        events.push(Event::Usage(self.usage.neutral()));
        events.push(Event::End);
        Ok(())
    }

    fn refusal(&mut self, text: String, events: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        let part = self.parts;
        events.push(Event::PartStart {
            choice: CHOICE,
            part,
            kind: PartKind::Refusal,
        });
        delta(part, Some(text), events);
        events.push(Event::PartEnd {
            choice: CHOICE,
            part,
        });
    }
}

fn delta(part: u32, text: Option<String>, events: &mut Vec<Event>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        events.push(Event::Delta {
            choice: CHOICE,
            part,
            text,
        });
    }
}

const fn citation(part: u32, annotation: Value) -> Event {
    Event::Annotation {
        choice: CHOICE,
        part,
        annotation,
    }
}

/// The types of the deltas that a block of this type has.
fn deltas(block: &str) -> &'static [&'static str] {
    match block {
        "text" => &["text_delta", "citations_delta"],
        "thinking" => &["thinking_delta", "signature_delta"],
        "tool_use" => &["input_json_delta"],
        _ => &[],
    }
}

fn part_kind(block: &WireBlock) -> Option<PartKind> {
    match block.kind.as_str() {
        "text" => Some(PartKind::Text),
        "tool_use" if block.is_structured_answer() => Some(PartKind::Text),
        "tool_use" => Some(PartKind::ToolCall {
            id: restored(block.id.clone()),
            name: restored(block.name.clone()),
        }),
        "thinking" => Some(PartKind::Thinking),
        "redacted_thinking" => Some(PartKind::RedactedThinking {
            data: block.data.clone().unwrap_or_default(),
        }),
        _ => None,
    }
}
