//! A provider's stream of `response.*` events.
//!
//! A stream is complete at `response.completed` or `response.incomplete`; anything else is a cut or an error.
//! What the last event holds and no event before it said is said then.

use serde_json::{Map, Value};

use super::items::Items;
use super::proof::Kind;
use super::{NAME, answer};
use crate::Drops;
use crate::error::DecodeError;
use crate::model::{Event, PartKind};
use crate::openai::{error, loose};
use crate::sse::SseDecoder;

/// Reads a provider's stream, whatever way its bytes are cut.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    sse: SseDecoder,
    steps: Steps,
}

#[derive(Debug, Default)]
struct Steps {
    started: bool,
    over: bool,
    items: Items,
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
        let steps = &mut self.steps;
        let outcome = self
            .sse
            .push(bytes, |event| steps.event(&event.data, events));
        steps.over |= outcome.is_err();
        outcome
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when the answer was not complete.
    pub fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        // A last event that lacks its empty line counts if it is whole.
        if !self.steps.over && !self.sse.is_empty() {
            self.push(b"\n\n", events)
                .map_err(|_| DecodeError::Truncated)?;
        }
        if self.steps.over {
            return Ok(());
        }
        self.steps.over = true;
        Err(DecodeError::Truncated)
    }

    /// What the stream said so far that events cannot.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        &self.steps.items.drops
    }
}

impl Steps {
    fn event(&mut self, data: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let data = data.trim_ascii();
        if self.over || data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            return Err(DecodeError::Truncated);
        }
        let value = sluice_units::json::from_slice(data).map_err(|error| DecodeError::Shape {
            dialect: NAME,
            detail: error.to_string(),
        })?;
        let Value::Object(fields) = value else {
            return Err(DecodeError::Shape {
                dialect: NAME,
                detail: "an event is not an object".to_owned(),
            });
        };
        self.step(fields, events)
    }

    fn step(
        &mut self,
        mut fields: Map<String, Value>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let kind = loose::text(&mut fields, "type").unwrap_or_default();
        let mut response = || loose::object(&mut fields, "response").unwrap_or_default();
        match kind.as_str() {
            "error" | "" => return self.failed(fields, events),
            "response.failed" | "response.cancelled" => {
                let response = response();
                return self.failed(response, events);
            }
            "response.created" | "response.queued" | "response.in_progress" => {
                let mut response = response();
                self.start(&mut response, events);
                return Ok(());
            }
            "response.completed" | "response.incomplete" => {
                let mut response = response();
                self.start(&mut response, events);
                return self.complete(response, events);
            }
            _ => {}
        }
        self.start(&mut Map::new(), events);
        let at = loose::count(&mut fields, "output_index").unwrap_or(0);
        if let Some(part) = kind.strip_prefix("response.reasoning_") {
            return self.thought(part, at, fields, events);
        }
        self.item(&kind, at, fields, events)
    }

    /// A step of an item that is no reasoning.
    fn item(
        &mut self,
        kind: &str,
        at: u32,
        mut fields: Map<String, Value>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let number = loose::count(&mut fields, "content_index").unwrap_or(0);
        let mut object = |key| loose::object(&mut fields, key).unwrap_or_default();
        let items = &mut self.items;
        match kind {
            "response.output_item.added" => items.added(at, &object("item"), events),
            "response.output_item.done" => items.done(at, object("item"), events),
            "response.content_part.added" => {
                items.content_part(at, number, &mut object("part"), false, events)
            }
            "response.content_part.done" => {
                items.content_part(at, number, &mut object("part"), true, events)
            }
            "response.output_text.delta" | "response.refusal.delta" => {
                let text = loose::text(&mut fields, "delta").unwrap_or_default();
                let part = if kind == "response.refusal.delta" {
                    PartKind::Refusal
                } else {
                    PartKind::Text
                };
                let found = loose::array(&mut fields, "logprobs");
                items.text(at, number, part, text, events)?;
                if found.is_empty() {
                    return Ok(());
                }
                items.logprobs(at, number, found, events)
            }
            "response.output_text.annotation.added" => {
                let found = fields.shift_remove("annotation").unwrap_or_default();
                items.annotation(at, number, found, events)
            }
            "response.function_call_arguments.delta" => {
                let text = loose::text(&mut fields, "delta").unwrap_or_default();
                items.arguments(at, text, events);
                Ok(())
            }
            // Repeats what came before, or belongs to an item that is named when it is whole.
            _ => Ok(()),
        }
    }

    /// A step of shown reasoning: `kind` is what follows `response.reasoning_`.
    fn thought(
        &mut self,
        kind: &str,
        at: u32,
        mut fields: Map<String, Value>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let summary = loose::count(&mut fields, "summary_index").unwrap_or(0);
        let content = loose::count(&mut fields, "content_index").unwrap_or(0);
        let delta = loose::text(&mut fields, "delta").unwrap_or_default();
        let (place, number, text) = match kind {
            "summary_part.added" => (Kind::Summary, summary, String::new()),
            "summary_text.delta" => (Kind::Summary, summary, delta),
            "text.delta" => (Kind::Content, content, delta),
            // Repeats what came before.
            _ => return Ok(()),
        };
        self.items.thought(at, place, number, &text, events)
    }

    fn start(&mut self, response: &mut Map<String, Value>, events: &mut Vec<Event>) {
        if !self.started {
            self.started = true;
            events.push(answer::start(response));
        }
    }

    fn complete(
        &mut self,
        mut response: Map<String, Value>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        self.over = true;
        let output = loose::array(&mut response, "output");
        answer::whole(output, &mut self.items, events)?;
        answer::end(&mut response, &mut self.items, events);
        Ok(())
    }

    fn failed(
        &mut self,
        mut fields: Map<String, Value>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        // OpenAI's description puts the error's fields beside the type, OpenAI itself into an object (2025-11).
        if fields.get("error").is_none_or(Value::is_null) {
            if !fields.contains_key("message") && !fields.contains_key("status") {
                return Err(DecodeError::Shape {
                    dialect: NAME,
                    detail: "an event has no type".to_owned(),
                });
            }
            let inner = std::mem::take(&mut fields);
            fields.insert("error".to_owned(), Value::Object(inner));
        }
        self.over = true;
        events.extend(error::in_stream(&fields).map(Event::Failed));
        Ok(())
    }
}
