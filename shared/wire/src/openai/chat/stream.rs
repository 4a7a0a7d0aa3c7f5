//! A provider's stream of `chat.completion.chunk`s.
//!
//! A stream is complete at `[DONE]`, or where it ends after every choice has said why it finished;
//! anything else is a cut. The finish of a choice is said at the end of the stream, because some providers
//! repeat it on every chunk and send more afterwards.

use serde_json::{Map, Value};

use super::assembly::Assembly;
use super::piece;
use crate::Drops;
use crate::error::DecodeError;
use crate::model::{Event, Finish, Usage};
use crate::openai::{NAME, error, finish, loose, usage};
use crate::sse::SseDecoder;
use sluice_units::SortedMap;

/// The most choices of one answer, as at OpenAI.
const CHOICES_MAX: usize = 128;

/// Reads a provider's stream, whatever way its bytes are cut.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    sse: SseDecoder,
    chunks: Chunks,
}

#[derive(Debug, Default)]
struct Chunks {
    started: bool,
    over: bool,
    choices: SortedMap<u32, Assembly>,
    usage: Option<Usage>,
    drops: Drops,
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
    /// [`DecodeError`] when the bytes are not what the dialect says; the stream is then over.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let chunks = &mut self.chunks;
        let outcome = self
            .sse
            .push(bytes, |event| chunks.event(&event.data, events));
        chunks.over |= outcome.is_err();
        outcome
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when the answer was not complete.
    pub fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        // A last event that lacks its empty line counts if it is whole.
        if !self.chunks.over && !self.sse.is_empty() {
            self.push(b"\n\n", events)
                .map_err(|_| DecodeError::Truncated)?;
        }
        self.chunks.finish(events)
    }

    /// What the stream said so far that events cannot.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        &self.chunks.drops
    }
}

impl Chunks {
    fn event(&mut self, data: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let data = data.trim_ascii();
        if self.over || data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            if !self.started {
                return Err(DecodeError::Truncated);
            }
            self.end(events);
            return Ok(());
        }
        let chunk = sluice_units::json::from_slice(data).map_err(|error| DecodeError::Shape {
            dialect: NAME,
            detail: error.to_string(),
        })?;
        let Value::Object(chunk) = chunk else {
            return Err(DecodeError::Shape {
                dialect: NAME,
                detail: "a chunk is not an object".to_owned(),
            });
        };
        self.chunk(chunk, events)
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.over {
            return Ok(());
        }
        if self.choices.is_empty() || !self.choices.values().all(Assembly::is_finished) {
            self.over = true;
            return Err(DecodeError::Truncated);
        }
        self.end(events);
        Ok(())
    }

    fn end(&mut self, events: &mut Vec<Event>) {
        self.over = true;
        for assembly in self.choices.values_mut() {
            assembly.end(events);
        }
        events.extend(self.usage.map(Event::Usage));
        events.push(Event::End);
    }

    fn chunk(
        &mut self,
        mut chunk: Map<String, Value>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        if let Some(failed) = error::in_stream(&chunk) {
            self.over = true;
            events.push(Event::Failed(failed));
            return Ok(());
        }
        let choices = loose::array(&mut chunk, "choices");
        let used = chunk
            .shift_remove("usage")
            .as_ref()
            .and_then(usage::decode)
            .or_else(|| {
                // Groq says it here, as recorded exchanges show.
                usage::decode(chunk.get("x_groq")?.get("usage")?)
            });
        // Azure's first chunk names neither the answer nor the model, and has no choices.
        if !self.started && (!choices.is_empty() || used.is_some()) {
            self.started = true;
            events.push(Event::Start {
                id: loose::text(&mut chunk, "id").unwrap_or_default(),
                model: loose::text(&mut chunk, "model").unwrap_or_default(),
                created: chunk
                    .get("created")
                    .and_then(Value::as_i64)
                    .filter(|created| *created > 0),
            });
        }
        for choice in choices {
            if let Value::Object(choice) = choice {
                self.choice(choice, events)?;
            }
        }
        if used.is_some() {
            // Kept back: a provider that counts along says it on every chunk.
            self.usage = used;
        }
        for key in ["id", "object", "created", "model", "obfuscation", "p"] {
            chunk.shift_remove(key);
        }
        loose::note_rest(&mut self.drops, "", &chunk);
        Ok(())
    }

    fn choice(
        &mut self,
        mut choice: Map<String, Value>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let index = loose::count(&mut choice, "index").unwrap_or(0);
        if !self.choices.contains_key(&index) && self.choices.len() >= CHOICES_MAX {
            return Err(DecodeError::Shape {
                dialect: NAME,
                detail: format!("more than {CHOICES_MAX} choices"),
            });
        }
        let assembly = self
            .choices
            .get_or_insert_with(index, || Assembly::new(index));
        if let Some(delta) = loose::object(&mut choice, "delta") {
            for piece in piece::take(delta, false, &mut self.drops) {
                assembly.push(piece, events)?;
            }
        }
        if let Some(logprobs) = choice.shift_remove("logprobs") {
            assembly.logprobs(logprobs, events);
        }
        if let Some(finish) = said_finish(&mut choice) {
            assembly.note_finish(finish);
        }
        loose::note_rest(&mut self.drops, "choices[].", &choice);
        Ok(())
    }
}

/// Takes `finish_reason`, and the stop sequence that vLLM names beside it.
pub(super) fn said_finish(choice: &mut Map<String, Value>) -> Option<Finish> {
    let word = loose::some_text(choice, "finish_reason")?;
    let sequence = match choice.shift_remove("stop_reason") {
        Some(Value::String(sequence)) => Some(sequence),
        _ => None,
    };
    match (finish::decode(&word), sequence) {
        (Finish::Stop, Some(sequence)) => Some(Finish::StopSequence(Some(sequence))),
        (finish, _) => Some(finish),
    }
}
