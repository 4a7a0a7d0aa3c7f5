//! A streamed Converse answer as neutral events.
//!
//! Follows <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>.
//! Only calls announce their block: a block of text or reasoning begins with its first delta. `messageStop` says why
//! the answer ended, `metadata` after it what was used. An exception may come at any time in place of an event.

mod block;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::response::{WireCall, finish, name_block, stop_sequence};
use super::usage::WireUsage;
use super::{error, reasoning, shape};
use crate::Drops;
use crate::anthropic::format::Calls;
use crate::anthropic::response::position;
use crate::error::DecodeError;
use crate::event_stream::{EventStreamDecoder, Message};
use crate::gemini::base64;
use crate::halves;
use crate::model::{Event, PartKind};
use block::{Delta, What, push_delta};

/// The most blocks of one answer; more is not an answer but an attack.
const BLOCKS_MAX: u32 = 10_000;

/// The only choice that the dialect has.
const CHOICE: u32 = 0;

/// Reads a provider's stream, whatever way its bytes are cut.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    frames: EventStreamDecoder,
    answer: Box<Answer>,
}

#[derive(Debug, Default)]
struct Answer {
    started: bool,
    stopped: bool,
    over: bool,
    open: Vec<Open>,
    parts: u32,
    calls: Calls,
    drops: Drops,
}

/// A block that has begun and not ended.
#[derive(Debug)]
struct Open {
    index: u32,
    what: What,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStart {
    content_block_index: u32,
    #[serde(default)]
    start: Start,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Start {
    tool_use: Option<WireCall>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockDelta {
    content_block_index: u32,
    delta: Delta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStop {
    content_block_index: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageStop {
    stop_reason: Option<String>,
    additional_model_response_fields: Option<Value>,
}

#[derive(Deserialize)]
struct Metadata {
    usage: Option<WireUsage>,
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
    /// [`DecodeError`] when the bytes are not a Converse stream; the stream is then over.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let Self { frames, answer } = self;
        frames.push(bytes, |message| answer.message(message, events))
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when neither an end nor an error was said, or an event is cut.
    pub fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let answer = &mut self.answer;
        if answer.over {
            return Ok(());
        }
        if !answer.stopped || !self.frames.is_empty() {
            return Err(DecodeError::Truncated);
        }
        answer.over = true;
        events.push(Event::End);
        Ok(())
    }

    /// What the events so far could not say.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        &self.answer.drops
    }
}

impl Answer {
    fn message(
        &mut self,
        message: &Message<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        if self.over {
            return Ok(());
        }
        match message.text(":message-type") {
            Some("event") => {
                let kind = message
                    .text(":event-type")
                    .ok_or_else(|| shape("an event has no type"))?;
                self.event(kind, message.payload, events)
            }
            Some("exception") => {
                let kind = message.text(":exception-type").unwrap_or_default();
                self.fail(error::in_stream(kind, message.payload), events);
                Ok(())
            }
            Some("error") => {
                let kind = message.text(":error-code").unwrap_or_default();
                let text = message.text(":error-message").unwrap_or_default();
                self.fail(error::in_frame(kind, text), events);
                Ok(())
            }
            _ => Err(shape("a message is neither event, exception nor error")),
        }
    }

    fn fail(&mut self, error: crate::error::UpstreamError, events: &mut Vec<Event>) {
        self.over = true;
        events.push(Event::Failed(error));
    }

    fn event(
        &mut self,
        kind: &str,
        payload: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        if self.stopped && kind != "metadata" {
            return Err(shape("the answer goes on after its end"));
        }
        match kind {
            "messageStart" => {
                if self.started {
                    return Err(shape("a second message starts within the first"));
                }
                self.start(events);
            }
            "contentBlockStart" => self.block_start(read(payload)?, events)?,
            "contentBlockDelta" => self.block_delta(read(payload)?, events)?,
            "contentBlockStop" => {
                let BlockStop {
                    content_block_index,
                } = read(payload)?;
                self.close(content_block_index, events);
            }
            "messageStop" => self.stop(read(payload)?, events),
            "metadata" => self.metadata(payload, events)?,
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, events: &mut Vec<Event>) {
        if !self.started {
            self.started = true;
            events.push(Event::Start {
                id: String::new(),
                model: String::new(),
                created: None,
            });
        }
    }

    fn block_start(
        &mut self,
        block: BlockStart,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let index = block.content_block_index;
        if self.open.iter().any(|open| open.index == index) {
            return Err(shape("a block starts twice"));
        }
        self.start(events);
        let what = match (block.start.tool_use, block.start.rest.keys().next()) {
            (Some(call), _) if call.is_on_server() => {
                self.name(index, "toolUse");
                What::Nothing
            }
            (Some(call), _) => {
                self.calls.count(call.is_structured_answer());
                if call.is_structured_answer() {
                    What::Form(self.part(PartKind::Text, events)?, false)
                } else {
                    let (id, name) = call.head();
                    What::Call(self.part(PartKind::ToolCall { id, name }, events)?)
                }
            }
            (None, Some(kind)) => {
                self.name(index, kind);
                What::Nothing
            }
            // Its deltas say what it is.
            (None, None) => return Ok(()),
        };
        self.open.push(Open { index, what });
        Ok(())
    }

    fn name(&mut self, index: u32, kind: &str) {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        name_block(index, kind, &mut self.drops);
    }

    /// Begins a part: its number.
    fn part(&mut self, kind: PartKind, events: &mut Vec<Event>) -> Result<u32, DecodeError> {
        let part = self.parts;
        if part >= BLOCKS_MAX {
            return Err(shape("the answer has too many blocks"));
        }
        self.parts = part.saturating_add(1);
        events.push(Event::PartStart {
            choice: CHOICE,
            part,
            kind,
        });
        Ok(part)
    }

    fn block_delta(
        &mut self,
        block: BlockDelta,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let index = block.content_block_index;
        let delta = block.delta;
        if !self.open.iter().any(|open| open.index == index) {
            self.start(events);
            let what = self.begun_by(&delta, index, events)?;
            self.open.push(Open { index, what });
        }
        let open = self
            .open
            .iter_mut()
            .find(|open| open.index == index)
            .ok_or_else(|| shape("a delta for a block that is not open"))?;
        if !open.what.take(delta, events)? {
            self.name(index, "another kind than its delta");
        }
        Ok(())
    }

    /// What a block is whose first delta is this one.
    fn begun_by(
        &mut self,
        delta: &Delta,
        index: u32,
        events: &mut Vec<Event>,
    ) -> Result<What, DecodeError> {
        Ok(match delta {
            Delta {
                tool_use: Some(_), ..
            } => return Err(shape("a call that did not start")),
            Delta { text: Some(_), .. }
            | Delta {
                citation: Some(_), ..
            } => What::Text(self.part(PartKind::Text, events)?),
            Delta {
                reasoning_content: Some(thought),
                ..
            } => match thought.redacted_content {
                Some(_) => What::Redacted(Vec::new()),
                None => What::Thought(self.part(PartKind::Thinking, events)?, String::new()),
            },
            _ => {
                self.name(index, "unknown kind");
                What::Nothing
            }
        })
    }

    fn close(&mut self, index: u32, events: &mut Vec<Event>) {
        let Some(at) = self.open.iter().position(|open| open.index == index) else {
            // A block without deltas: an empty text.
            return;
        };
        let open = self.open.remove(at);
        self.end(open.what, events);
    }

    fn end(&mut self, what: What, events: &mut Vec<Event>) {
        let part = match what {
            What::Nothing => return,
            What::Text(part) | What::Call(part) => part,
            What::Form(part, came) => {
                if !came {
                    push_delta(part, "{}".to_owned(), events);
                }
                part
            }
            What::Thought(part, signature) => {
                if !signature.is_empty() {
                    events.push(Event::Signature {
                        choice: CHOICE,
                        part,
                        signature,
                    });
                }
                part
            }
            What::Redacted(bytes) => {
                let data = reasoning::redacted(base64::encode(&bytes));
                let kind = PartKind::RedactedThinking { data };
                // One more part than blocks can be counted is not one that matters.
                let Ok(part) = self.part(kind, events) else {
                    return;
                };
                part
            }
        };
        events.push(Event::PartEnd {
            choice: CHOICE,
            part,
        });
    }

    fn stop(&mut self, stop: MessageStop, events: &mut Vec<Event>) {
        self.start(events);
        // Collected streams leave the ends of blocks out.
        for open in std::mem::take(&mut self.open) {
            self.end(open.what, events);
        }
        self.stopped = true;
        let sequence = stop_sequence(stop.additional_model_response_fields.as_ref());
        events.push(Event::Finish {
            choice: CHOICE,
            finish: finish(stop.stop_reason, sequence, self.calls),
        });
    }

    fn metadata(&mut self, payload: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let metadata: Metadata = read(payload)?;
        self.start(events);
        events.extend(metadata.usage.map(|usage| Event::Usage(usage.neutral())));
        if self.stopped {
            self.over = true;
            events.push(Event::End);
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, DecodeError> {
    let mended = halves::mended(payload);
    let payload = mended.as_deref().unwrap_or(payload);
    sluice_units::json::from_slice(payload).map_err(|error| shape(position(&error)))
}
