//! One choice of an answer, put together from pieces: says which part begins, grows and ends.
//!
//! Streams and whole answers both go through here, so both decode alike.
//! Text, thinking and refusals follow one another; tool calls stay open until the choice ends,
//! because their arguments may be interleaved.

use serde_json::Value;

use super::piece::{CallPiece, Piece};
use crate::anthropic::names::restore;
use crate::error::DecodeError;
use crate::model::{Event, Finish, PartKind};
use crate::openai::{NAME, finish};

/// The most tool calls of one choice.
const CALLS_MAX: usize = 1_024;
/// The most argument bytes that are kept back while a call's name has not come.
const NAMELESS_BYTES_MAX: usize = 64 << 10;

/// What has been said so far.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    choice: u32,
    parts: u32,
    open: Option<Open>,
    calls: Vec<Call>,
    finish: Option<Finish>,
}

#[derive(Debug, Clone)]
struct Open {
    part: u32,
    kind: PartKind,
    has_text: bool,
    signed: bool,
}

#[derive(Debug, Default)]
struct Call {
    index: u32,
    id: String,
    name: String,
    arguments: String,
    signature: Option<String>,
    part: Option<u32>,
}

impl Assembly {
    /// A choice of which nothing has been said.
    pub(super) fn new(choice: u32) -> Self {
        Self {
            choice,
            ..Self::default()
        }
    }

    /// Whether the provider has said why the choice ends.
    pub(super) const fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Notes why the choice ends. Some providers say it more than once; the last word counts.
    pub(super) fn note_finish(&mut self, finish: Finish) {
        self.finish = Some(finish);
    }

    /// Takes the next piece.
    pub(super) fn push(
        &mut self,
        piece: Piece,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        match piece {
            Piece::Text(text) => self.text(PartKind::Text, text, events),
            Piece::Refusal(text) => self.text(PartKind::Refusal, text, events),
            Piece::Thinking { text, signature } => self.thinking(text, signature, events),
            Piece::Redacted(data) => {
                self.close(events);
                self.open(PartKind::RedactedThinking { data }, events);
                self.close(events);
            }
            Piece::Annotation(annotation) => self.annotation(annotation, events),
            Piece::Call(call) => return self.call(call, events),
        }
        Ok(())
    }

    /// Says log-probabilities, where there are any.
    pub(super) fn logprobs(&self, logprobs: Value, events: &mut Vec<Event>) {
        let some = |key| logprobs.get(key).is_some_and(Value::is_array);
        if some("content") || some("refusal") {
            events.push(Event::Logprobs {
                choice: self.choice,
                logprobs,
            });
        }
    }

    /// Ends every part and the choice.
    pub(super) fn end(&mut self, events: &mut Vec<Event>) {
        self.close(events);
        self.start_calls(usize::MAX, events);
        for call in &self.calls {
            if let Some(part) = call.part {
                events.push(Event::PartEnd {
                    choice: self.choice,
                    part,
                });
            }
        }
        let said = self.finish.take().unwrap_or_default();
        events.push(Event::Finish {
            choice: self.choice,
            finish: finish::with_calls(said, !self.calls.is_empty()),
        });
    }

    fn text(&mut self, kind: PartKind, text: String, events: &mut Vec<Event>) {
        let part = self.part_of(kind, events);
        self.delta(part, text, events);
    }

    fn thinking(&mut self, text: String, signature: Option<String>, events: &mut Vec<Event>) {
        let streamed = self
            .open
            .as_ref()
            .is_some_and(|open| open.kind == PartKind::Thinking && !open.signed && open.has_text);
        // A signed block repeats the text that came before it.
        let repeats = streamed && signature.is_some();
        if !text.is_empty() && !repeats {
            self.text(PartKind::Thinking, text, events);
        }
        if let Some(signature) = signature {
            let part = self.part_of(PartKind::Thinking, events);
            events.push(Event::Signature {
                choice: self.choice,
                part,
                signature,
            });
            if let Some(open) = &mut self.open {
                open.signed = true;
            }
        }
    }

    fn annotation(&mut self, annotation: Value, events: &mut Vec<Event>) {
        let part = self.part_of(PartKind::Text, events);
        events.push(Event::Annotation {
            choice: self.choice,
            part,
            annotation,
        });
    }

    /// The open part if it is of that kind and unsigned, otherwise a new one.
    fn part_of(&mut self, kind: PartKind, events: &mut Vec<Event>) -> u32 {
        match &self.open {
            Some(open) if open.kind == kind && !open.signed => open.part,
            _ => {
                self.close(events);
                self.open(kind, events)
            }
        }
    }

    fn open(&mut self, kind: PartKind, events: &mut Vec<Event>) -> u32 {
        let part = self.start(kind.clone(), events);
        self.open = Some(Open {
            part,
            kind,
            has_text: false,
            signed: false,
        });
        part
    }

    fn start(&mut self, kind: PartKind, events: &mut Vec<Event>) -> u32 {
        let part = self.parts;
        self.parts = self.parts.saturating_add(1);
        events.push(Event::PartStart {
            choice: self.choice,
            part,
            kind,
        });
        part
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        if let Some(open) = self.open.take() {
            events.push(Event::PartEnd {
                choice: self.choice,
                part: open.part,
            });
        }
    }

    fn delta(&mut self, part: u32, text: String, events: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        if let Some(open) = &mut self.open {
            open.has_text = true;
        }
        events.push(Event::Delta {
            choice: self.choice,
            part,
            text,
        });
    }

    fn call(&mut self, piece: CallPiece, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        self.close(events);
        let at = match self.find(&piece) {
            Some(at) => at,
            None if self.calls.len() < CALLS_MAX => {
                self.calls.push(Call {
                    index: piece.index.unwrap_or(u32::MAX),
                    ..Call::default()
                });
                self.calls.len().saturating_sub(1)
            }
            None => {
                return Err(DecodeError::Shape {
                    dialect: NAME,
                    detail: format!("more than {CALLS_MAX} tool calls"),
                });
            }
        };
        let Some(call) = self.calls.get_mut(at) else {
            return Ok(());
        };
        call.merge(piece);
        let named = !call.name.is_empty() || call.arguments.len() > NAMELESS_BYTES_MAX;
        if call.part.is_some() || (named && !call.arguments.is_empty()) {
            self.start_calls(at, events);
            self.flush(at, events);
        }
        Ok(())
    }

    /// The call that a piece continues.
    fn find(&self, piece: &CallPiece) -> Option<usize> {
        let at = match piece.index {
            Some(index) => self.calls.iter().rposition(|call| call.index == index),
            None if piece.id.is_empty() => self.calls.len().checked_sub(1),
            None => self.calls.iter().rposition(|call| call.id == piece.id),
        }?;
        // Gemini's compatible address numbers every parallel call 0 (not verified). Where arguments have come
        // already, another id with a name is another call; before that it is a piece of this one.
        let call = self.calls.get(at)?;
        let has_arguments = call.part.is_some() || !call.arguments.is_empty();
        let another = has_arguments
            && !piece.id.is_empty()
            && !call.id.is_empty()
            && piece.id != call.id
            && !piece.name.is_empty();
        (!another).then_some(at)
    }

    /// Starts every call up to this one, in order.
    fn start_calls(&mut self, last: usize, events: &mut Vec<Event>) {
        for at in 0..self.calls.len().min(last.saturating_add(1)) {
            let Some(call) = self.calls.get_mut(at).filter(|call| call.part.is_none()) else {
                continue;
            };
            let kind = PartKind::ToolCall {
                id: std::mem::take(&mut call.id),
                name: restore(&call.name).into_owned(),
            };
            if let PartKind::ToolCall { id, .. } = &kind {
                call.id.clone_from(id);
            }
            let part = self.start(kind, events);
            if let Some(call) = self.calls.get_mut(at) {
                call.part = Some(part);
            }
            self.flush(at, events);
        }
    }

    /// Says what a started call holds back.
    fn flush(&mut self, at: usize, events: &mut Vec<Event>) {
        let Some(call) = self.calls.get_mut(at) else {
            return;
        };
        let Some(part) = call.part else {
            return;
        };
        let text = std::mem::take(&mut call.arguments);
        let signature = call.signature.take();
        if let Some(signature) = signature {
            events.push(Event::Signature {
                choice: self.choice,
                part,
                signature,
            });
        }
        self.delta(part, text, events);
    }
}

impl Call {
    /// Before the call has started its id and name may come in pieces, or again and again; after it they are known.
    fn merge(&mut self, piece: CallPiece) {
        if self.part.is_none() {
            // Some providers make up a new id for every piece: one that comes with arguments says nothing new.
            if self.id != piece.id && (self.id.is_empty() || piece.arguments.is_empty()) {
                self.id.push_str(&piece.id);
            }
            if self.name != piece.name {
                self.name.push_str(&piece.name);
            }
        }
        self.arguments.push_str(&piece.arguments);
        self.signature = piece.signature.or_else(|| self.signature.take());
    }
}
