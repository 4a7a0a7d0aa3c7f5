//! A streamed chat answer as neutral events.
//!
//! Follows <https://docs.cohere.com/v2/docs/streaming>. Content, calls and the plan are counted apart,
//! so a part is known by its kind and index. Citations may come after the end of the text that they stand under: a
//! text's end is said when something else begins.

use serde::Deserialize;
use serde_json::Value;

use super::response::{
    WireBlock, WireCall, WireLogprob, finish, is_failure, is_nothing, is_of_text, logprobs,
    name_block, name_citation,
};
use super::usage::WireUsage;
use super::{PLAN, error, shape};
use crate::Drops;
use crate::anthropic::format::Calls;
use crate::anthropic::response::position;
use crate::error::DecodeError;
use crate::model::{Event, PartKind};
use crate::sse::SseDecoder;

/// The most parts of one answer; more is not an answer but an attack.
const PARTS_MAX: u32 = 10_000;

/// The only choice that the dialect has.
const CHOICE: u32 = 0;

/// What some relays and Cohere itself write after the end.
const DONE: &[u8] = b"[DONE]";

/// Reads a provider's stream, whatever way its bytes are cut.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    sse: SseDecoder,
    answer: Box<Answer>,
}

#[derive(Debug, Default)]
struct Answer {
    started: bool,
    over: bool,
    open: Vec<Open>,
    parts: u32,
    calls: Calls,
    drops: Drops,
}

/// A part that has begun and whose end is not said.
#[derive(Debug)]
struct Open {
    key: Key,
    part: u32,
    /// Its end was read.
    ended: bool,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Plan,
    Content(u32),
    Call(u32),
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Text,
    Thinking,
    Plan,
    /// Arguments, and whether any came. The beginning `null` of a call without arguments is held back.
    Call {
        came: bool,
        held: String,
    },
    /// The same of a JSON answer in a call's clothes.
    Form {
        came: bool,
        held: String,
    },
}

#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    id: String,
    index: Option<u32>,
    #[serde(default)]
    delta: Delta,
    logprobs: Option<WireLogprob>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta {
    message: Option<DeltaMessage>,
    finish_reason: Option<String>,
    error: Option<String>,
    usage: Option<WireUsage>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DeltaMessage {
    content: Option<OneOrMany<WireBlock>>,
    tool_plan: Option<String>,
    tool_calls: Option<OneOrMany<WireCall>>,
    citations: Option<OneOrMany<Value>>,
}

/// A list in the first event, one thing in the others.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> OneOrMany<T> {
    fn one(self) -> Option<T> {
        match self {
            Self::One(one) => Some(one),
            Self::Many(many) => many.into_iter().next(),
        }
    }
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
    /// [`DecodeError`] when the bytes are not a chat stream; the stream is then over.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let answer = &mut self.answer;
        self.sse
            .push(bytes, |event| answer.frame(&event.data, events))
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when neither an end nor an error was said.
    pub fn finish(&mut self, _: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.answer.over {
            Ok(())
        } else {
            Err(DecodeError::Truncated)
        }
    }

    /// What the events so far could not say.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        &self.answer.drops
    }
}

impl Answer {
    fn frame(&mut self, data: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.over || data.is_empty() || data == DONE {
            return Ok(());
        }
        let frame: Frame =
            sluice_units::json::from_slice(data).map_err(|error| shape(position(&error)))?;
        if frame.kind.is_empty() {
            // An error object has no type.
            self.over = true;
            events.push(Event::Failed(error::in_stream(data)));
            return Ok(());
        }
        let is_start = frame.kind == "message-start";
        if is_start == self.started {
            return Err(shape("an answer begins once, and first"));
        }
        let message = frame.delta.message.unwrap_or_default();
        let index = || {
            frame
                .index
                .ok_or_else(|| shape("an event without its index"))
        };
        match frame.kind.as_str() {
            "message-start" => self.start(frame.id, events),
            "content-start" => {
                let block = message.content.and_then(OneOrMany::one);
                let block = block.ok_or_else(|| shape("content-start without content"))?;
                self.content_start(index()?, block, events)?;
            }
            "content-delta" => {
                let block = message.content.and_then(OneOrMany::one);
                self.content_delta(Key::Content(index()?), block.unwrap_or_default(), events);
                self.logprobs(frame.logprobs, events);
            }
            "content-end" => self.content_end(index()?),
            "tool-plan-delta" => self.plan(message.tool_plan.unwrap_or_default(), events)?,
            "tool-call-start" => {
                let call = message.tool_calls.and_then(OneOrMany::one);
                let call = call.ok_or_else(|| shape("tool-call-start without a call"))?;
                self.call_start(index()?, call, events)?;
            }
            "tool-call-delta" => {
                let call = message.tool_calls.and_then(OneOrMany::one);
                let text = call.and_then(|call| call.function.arguments);
                self.call_delta(index()?, &text.unwrap_or_default(), events)?;
            }
            "tool-call-end" => self.call_end(index()?, events)?,
            "citation-start" => {
                self.cite(message.citations.and_then(OneOrMany::one), events);
            }
            "message-end" => self.end(
                frame.delta.finish_reason,
                frame.delta.error,
                frame.delta.usage,
                events,
            ),
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, id: String, events: &mut Vec<Event>) {
        self.started = true;
        events.push(Event::Start {
            id,
            model: String::new(),
            created: None,
        });
    }

    /// Begins a part; what had ended is over now.
    fn begin(
        &mut self,
        key: Key,
        kind: PartKind,
        what: What,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        if self.open.iter().any(|open| open.key == key && !open.ended) {
            return Err(shape("a part begins twice"));
        }
        if self.parts >= PARTS_MAX {
            return Err(shape("the answer has too many parts"));
        }
        self.close(|open| open.ended || open.key == Key::Plan, events);
        let part = self.parts;
        self.parts = part.saturating_add(1);
        events.push(Event::PartStart {
            choice: CHOICE,
            part,
            kind,
        });
        self.open.push(Open {
            key,
            part,
            ended: false,
            what,
        });
        Ok(())
    }

    fn close(&mut self, which: impl Fn(&Open) -> bool, events: &mut Vec<Event>) {
        let (closed, open) = std::mem::take(&mut self.open).into_iter().partition(which);
        self.open = open;
        for Open { part, what, .. } in closed {
            if let What::Call { came, held } | What::Form { came, held } = &what {
                if !*came && !is_nothing(held) {
                    push_delta(part, held.clone(), events);
                } else if !*came && matches!(what, What::Form { .. }) {
                    push_delta(part, "{}".to_owned(), events);
                }
            }
            if what == What::Plan {
                events.push(Event::Signature {
                    choice: CHOICE,
                    part,
                    signature: PLAN.to_owned(),
                });
            }
            events.push(Event::PartEnd {
                choice: CHOICE,
                part,
            });
        }
    }

    fn content_start(
        &mut self,
        index: u32,
        block: WireBlock,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let (kind, what) = match block.kind.as_str() {
            "text" => (PartKind::Text, What::Text),
            "thinking" => (PartKind::Thinking, What::Thinking),
            kind => {
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                name_block(index, kind, &mut self.drops);
                return Ok(());
            }
        };
        let key = Key::Content(index);
        self.begin(key, kind, what, events)?;
        self.content_delta(key, block, events);
        Ok(())
    }

    /// Deltas of a block without a counterpart find no part.
    fn content_delta(&self, key: Key, block: WireBlock, events: &mut Vec<Event>) {
        let Some(open) = self.open.iter().find(|open| open.key == key) else {
            return;
        };
        let text = if open.what == What::Thinking {
            block.thinking
        } else {
            block.text
        };
        push_delta(open.part, text.unwrap_or_default(), events);
    }

    fn content_end(&mut self, index: u32) {
        let key = Key::Content(index);
        for open in self.open.iter_mut().filter(|open| open.key == key) {
            open.ended = true;
        }
    }

    fn plan(&mut self, text: String, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if text.is_empty() {
            return Ok(());
        }
        if !self.open.iter().any(|open| open.key == Key::Plan) {
            self.begin(Key::Plan, PartKind::Thinking, What::Plan, events)?;
        }
        let block = WireBlock {
            text: Some(text),
            ..WireBlock::default()
        };
        self.content_delta(Key::Plan, block, events);
        Ok(())
    }

    fn call_start(
        &mut self,
        index: u32,
        call: WireCall,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        self.calls.count(call.is_structured_answer());
        let came = false;
        let held = String::new();
        let first = call.function.arguments.clone().unwrap_or_default();
        let key = Key::Call(index);
        if call.is_structured_answer() {
            self.begin(key, PartKind::Text, What::Form { came, held }, events)?;
        } else {
            let (id, name) = call.head();
            let kind = PartKind::ToolCall { id, name };
            self.begin(key, kind, What::Call { came, held }, events)?;
        }
        self.call_delta(index, &first, events)
    }

    fn call_delta(
        &mut self,
        index: u32,
        text: &str,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let open = self
            .open
            .iter_mut()
            .find(|open| open.key == Key::Call(index))
            .ok_or_else(|| shape("arguments of a call that is not open"))?;
        let part = open.part;
        let (What::Call { came, held } | What::Form { came, held }) = &mut open.what else {
            return Ok(());
        };
        if *came {
            push_delta(part, text.to_owned(), events);
            return Ok(());
        }
        held.push_str(text);
        if !"null".starts_with(held.trim()) {
            *came = true;
            push_delta(part, std::mem::take(held), events);
        }
        Ok(())
    }

    fn call_end(&mut self, index: u32, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let key = Key::Call(index);
        if !self.open.iter().any(|open| open.key == key) {
            return Err(shape("the end of a call that is not open"));
        }
        self.close(|open| open.key == key, events);
        Ok(())
    }

    /// A citation belongs to the last text.
    fn cite(&mut self, citation: Option<Value>, events: &mut Vec<Event>) {
        let Some(annotation) = citation else {
            return;
        };
        let mut texts = self.open.iter().rev();
        let text = texts.find(|open| open.what == What::Text && is_of_text(&annotation));
        match text {
            Some(open) => events.push(Event::Annotation {
                choice: CHOICE,
                part: open.part,
                annotation,
            }),
            None => name_citation(&mut self.drops),
        }
    }

    fn logprobs(&mut self, piece: Option<WireLogprob>, events: &mut Vec<Event>) {
        let logprobs = piece.and_then(|piece| logprobs(vec![piece], &mut self.drops));
        events.extend(logprobs.map(|logprobs| Event::Logprobs {
            choice: CHOICE,
            logprobs,
        }));
    }

    fn end(
        &mut self,
        reason: Option<String>,
        message: Option<String>,
        usage: Option<WireUsage>,
        events: &mut Vec<Event>,
    ) {
        self.over = true;
        let reason = reason.unwrap_or_default();
        events.extend(usage.map(|usage| Event::Usage(usage.neutral())));
        if message.is_some() || is_failure(&reason) {
            let failure = error::of_finish(&reason, message.unwrap_or_default());
            events.push(Event::Failed(failure));
            return;
        }
        self.close(|_| true, events);
        events.push(Event::Finish {
            choice: CHOICE,
            finish: finish(reason, self.calls),
        });
        events.push(Event::End);
    }
}

fn push_delta(part: u32, text: String, events: &mut Vec<Event>) {
    if !text.is_empty() {
        events.push(Event::Delta {
            choice: CHOICE,
            part,
            text,
        });
    }
}
