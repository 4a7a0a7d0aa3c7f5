//! A streamed answer: chunks that each look like a whole answer's beginning, turned into events.
//!
//! Gemini marks neither the beginning nor the end of a part: a part ends when another kind begins or the stream ends.
//! It marks the end of the answer by a `finishReason`, after which parts may still come, so `Finish` is said when the
//! bytes end. Calls come whole, or in pieces (`willContinue`). Usage is said whenever it changes; the last one counts.

use serde_json::{Map, Value};

use crate::Drops;
use crate::error::DecodeError;
use crate::model::{Event, Finish, PartKind, Source, Usage};

use super::args::Arguments;
use super::frames::Frames;
use super::response::{Candidate, Chunk, Piece, call_head, chunk, finish};
use super::value::{parse, shape, take_flag};
use super::{error, names};

/// The HTTP status of an error that came in mid-stream.
const STREAM_STATUS: u16 = 200;

/// Reads Gemini's stream, whatever way its bytes are cut.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    frames: Frames,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    failed: bool,
    blocked: bool,
    usage: Option<Usage>,
    drops: Drops,
    /// By rising index.
    choices: Vec<Choice>,
}

#[derive(Debug)]
struct Choice {
    index: u32,
    parts: u32,
    open: Open,
    has_calls: bool,
    finish: Option<String>,
}

/// The part that is not finished; it is the choice's last one.
#[derive(Debug)]
enum Open {
    Nothing,
    /// Nothing more comes.
    Whole,
    Text,
    Thinking,
    Call(Arguments),
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
    /// [`DecodeError`] when the bytes are not Gemini's; the stream is then over.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let Self { frames, state } = self;
        if state.failed {
            return Ok(());
        }
        frames.push(bytes, |data| state.frame(data, events))
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when a chunk is cut, or no reason for the end was given.
    pub fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.state.failed {
            return Ok(());
        }
        if !self.frames.is_complete() {
            return Err(DecodeError::Truncated);
        }
        self.state.finish(events)
    }

    /// What had no counterpart so far.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        &self.state.drops
    }
}

impl State {
    fn frame(&mut self, data: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.failed || data.is_empty() {
            return Ok(());
        }
        let Value::Object(fields) = parse(data)? else {
            return Err(shape("a chunk is not an object"));
        };
        if fields.get("error").is_some_and(Value::is_object) {
            self.failed = true;
            let failure = error::classify(STREAM_STATUS, None, &Value::Object(fields));
            events.push(Event::Failed(failure));
            return Ok(());
        }
        self.chunk(chunk(fields)?, events)
    }

    fn chunk(&mut self, chunk: Chunk, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if !self.started {
            self.started = true;
            events.push(Event::Start {
                id: chunk.id,
                model: chunk.model,
                created: None,
            });
        }
        self.blocked |= chunk.blocked;
        for candidate in chunk.candidates {
            candidate.note_rest(&mut self.drops);
            let at = self.place(candidate.index);
            if let Some(choice) = self.choices.get_mut(at) {
                choice.candidate(candidate, events)?;
            }
        }
        if let Some(usage) = chunk.usage
            && self.usage != Some(usage)
        {
            self.usage = Some(usage);
            events.push(Event::Usage(usage));
        }
        Ok(())
    }

    /// Where the choice of that index stands; it is made when it is new.
    fn place(&mut self, index: u32) -> usize {
        let found = self
            .choices
            .binary_search_by_key(&index, |choice| choice.index);
        found.unwrap_or_else(|at| {
            self.choices.insert(at, Choice::new(index));
            at
        })
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let unfinished = self.choices.iter().any(|choice| choice.finish.is_none());
        if unfinished || (self.choices.is_empty() && !self.blocked) {
            return Err(DecodeError::Truncated);
        }
        for choice in &mut self.choices {
            choice.close(events);
            let reason = choice.finish.as_deref().unwrap_or_default();
            events.push(Event::Finish {
                choice: choice.index,
                finish: finish(reason, choice.has_calls),
            });
        }
        if self.choices.is_empty() {
            events.push(Event::Finish {
                choice: 0,
                finish: Finish::ContentFilter,
            });
        }
        events.push(Event::End);
        Ok(())
    }
}

impl Choice {
    const fn new(index: u32) -> Self {
        Self {
            index,
            parts: 0,
            open: Open::Nothing,
            has_calls: false,
            finish: None,
        }
    }

    fn candidate(
        &mut self,
        candidate: Candidate,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        for piece in candidate.pieces {
            self.piece(piece, events)?;
        }
        for annotation in candidate.annotations {
            self.annotate(annotation, events);
        }
        if let Some(logprobs) = candidate.logprobs {
            events.push(Event::Logprobs {
                choice: self.index,
                logprobs,
            });
        }
        if candidate.finish.is_some() {
            self.finish = candidate.finish;
        }
        Ok(())
    }

    fn piece(&mut self, piece: Piece, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        match piece {
            Piece::Text {
                text,
                is_thought,
                signature,
            } => {
                if is_thought && !text.is_empty() {
                    if !matches!(self.open, Open::Thinking) {
                        self.start(PartKind::Thinking, Open::Thinking, events);
                    }
                    self.delta(text, events);
                } else if !text.is_empty() {
                    if !matches!(self.open, Open::Text) {
                        self.start(PartKind::Text, Open::Text, events);
                    }
                    self.delta(text, events);
                }
                if let Some(signature) = signature {
                    if !is_thought || !matches!(self.open, Open::Thinking) {
                        self.start(PartKind::Thinking, Open::Thinking, events);
                    }
                    self.sign(names::own_signature(&signature), events);
                    self.close(events);
                }
            }
            Piece::Call { call, signature } => self.call(call, signature, events)?,
            Piece::Media { media_type, data } => {
                let source = Source::Base64 { media_type, data };
                self.start(PartKind::Media { source }, Open::Whole, events);
                self.close(events);
            }
            Piece::Other(whole) => self.annotate(whole, events),
        }
        Ok(())
    }

    fn call(
        &mut self,
        mut call: Map<String, Value>,
        signature: Option<String>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let goes_on = take_flag(&mut call, "willContinue");
        if let Some((id, name)) = call_head(&mut call) {
            let open = Open::Call(Arguments::default());
            self.start(PartKind::ToolCall { id, name }, open, events);
            self.has_calls = true;
        }
        let Open::Call(arguments) = &mut self.open else {
            // An empty call ends one; where none is open there is nothing to end.
            return if call.is_empty() {
                Ok(())
            } else {
                Err(shape("a function call has no name"))
            };
        };
        arguments.take(&mut call)?;
        if let Some(signature) = signature {
            self.sign(signature, events);
        }
        if !goes_on {
            self.close(events);
        }
        Ok(())
    }

    fn annotate(&mut self, annotation: Value, events: &mut Vec<Event>) {
        if !matches!(self.open, Open::Text) {
            self.start(PartKind::Text, Open::Text, events);
        }
        events.push(Event::Annotation {
            choice: self.index,
            part: self.last(),
            annotation,
        });
    }

    const fn last(&self) -> u32 {
        self.parts.saturating_sub(1)
    }

    fn start(&mut self, kind: PartKind, open: Open, events: &mut Vec<Event>) {
        self.close(events);
        self.open = open;
        self.parts = self.parts.saturating_add(1);
        events.push(Event::PartStart {
            choice: self.index,
            part: self.last(),
            kind,
        });
    }

    fn delta(&self, text: String, events: &mut Vec<Event>) {
        events.push(Event::Delta {
            choice: self.index,
            part: self.last(),
            text,
        });
    }

    fn sign(&self, signature: String, events: &mut Vec<Event>) {
        events.push(Event::Signature {
            choice: self.index,
            part: self.last(),
            signature,
        });
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => return,
            Open::Text | Open::Thinking | Open::Whole => {}
            Open::Call(arguments) => self.delta(arguments.finish(), events),
        }
        events.push(Event::PartEnd {
            choice: self.index,
            part: self.last(),
        });
    }
}
