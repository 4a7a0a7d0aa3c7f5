//! A streamed answer for a caller: `response.*` events.
//!
//! Items may be open side by side: each event names its item by number. An item is done when everything in it has
//! ended and another one begins, or at the end: only then is it known whether it was cut off.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::output::{Body, Content, Item, Output, Place, summary_text};
use super::response::{Answered, Ending, Head, State, message, note_media};
use crate::error::{ErrorClass, UpstreamError};
use crate::model::{Event, Finish, PartKind, Usage};
use crate::openai::error::classify;
use crate::{Drops, kinds, sse};
use sluice_units::SortedMap;

/// Writes a streamed answer for a caller.
#[derive(Debug)]
pub struct StreamEncoder {
    answered: Answered,
    head: Head,
    greeted: bool,
    over: bool,
    sequence: u64,
    output: Output,
    parts: SortedMap<u32, Place>,
    declined: bool,
    finish: Finish,
    usage: Option<Usage>,
    drops: Drops,
}

impl StreamEncoder {
    /// An encoder at the start of an answer.
    #[must_use]
    pub fn new(answered: Answered) -> Self {
        Self {
            answered,
            head: Head::default(),
            greeted: false,
            over: false,
            sequence: 0,
            output: Output::default(),
            parts: SortedMap::new(),
            declined: false,
            finish: Finish::Stop,
            usage: None,
            drops: Drops::new(),
        }
    }

    /// Appends what the caller gets for this event. After [`Event::End`] or [`Event::Failed`] nothing more is written.
    pub fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.over || self.is_other_choice(event) {
            return;
        }
        if let Event::Start { id, model, created } = event {
            self.greet(id, model, *created, out);
            return;
        }
        self.greet("", "", None, out);
        match event {
            Event::Start { .. } => {}
            Event::PartStart { part, kind, .. } => self.part_start(*part, kind, out),
            Event::Delta { part, text, .. } => self.delta(*part, text, out),
            Event::Signature {
                part, signature, ..
            } => {
                if let Some(place) = self.parts.get(part) {
                    self.output.sign(*place, signature, &mut self.drops);
                }
            }
            Event::Annotation {
                part, annotation, ..
            } => self.annotation(*part, annotation, out),
            Event::Logprobs { logprobs, .. } => {
                self.output.logprobs(logprobs, false, &mut self.drops);
            }
            Event::PartEnd { part, .. } => self.part_end(*part, out),
            Event::Finish { finish, .. } => self.finish.clone_from(finish),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failed(failed) => self.failed(failed, out),
            Event::End => self.end(out),
        }
        if self.output.is_too_large() && !self.over {
            self.failed(&too_large(), out);
        }
    }

    /// What the dialect could not say so far.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        &self.drops
    }

    fn is_other_choice(&mut self, event: &Event) -> bool {
        let (Event::PartStart { choice, .. }
        | Event::Delta { choice, .. }
        | Event::Signature { choice, .. }
        | Event::Annotation { choice, .. }
        | Event::Logprobs { choice, .. }
        | Event::PartEnd { choice, .. }
        | Event::Finish { choice, .. }) = event
        else {
            return false;
        };
        if *choice != 0 {
            let field = format!("choices[{choice}]");
            self.drops.push(field, "responses has one choice");
        }
        *choice != 0
    }

    fn greet(&mut self, id: &str, model: &str, created: Option<i64>, out: &mut Vec<u8>) {
        if self.greeted {
            return;
        }
        self.greeted = true;
        self.head = Head::new(&self.answered, id, model, created);
        self.output = Output::new(&self.head.id);
        for kind in ["response.created", "response.in_progress"] {
            let response = self.head.json(State::Growing, Vec::new(), None);
            self.write(kind, json!({"response": response}), out);
        }
    }

    fn part_start(&mut self, part: u32, kind: &PartKind, out: &mut Vec<u8>) {
        if matches!(kind, PartKind::Media { .. }) {
            return note_media(&mut self.drops);
        }
        let (place, begins) = self.output.begin(kind);
        self.parts.insert(part, place);
        self.declined |= *kind == PartKind::Refusal;
        if begins {
            self.settle(place.item, out);
            self.item_added(place.item, out);
        }
        let Some(item) = self.output.items().get(place.item) else {
            return;
        };
        if let Body::Message(contents) = &item.body
            && let Some(content) = contents.get(place.content)
        {
            let part = content.json();
            let fields = [
                ("content_index", Field::Number(place.content)),
                ("part", Field::Json(&part)),
            ];
            let kind = "response.content_part.added";
            write_in(&mut self.sequence, kind, (item, place), &fields, out);
        }
    }

    fn delta(&mut self, part: u32, text: &str, out: &mut Vec<u8>) {
        let Some(place) = self.parts.get(&part).copied() else {
            return;
        };
        let Some(item) = self.output.items().get(place.item) else {
            return;
        };
        let sequence = &mut self.sequence;
        let (number, delta) = (Field::Number(place.content), Field::Text(text));
        let about = (item, place);
        match &item.body {
            Body::Message(contents) => {
                let content = contents.get(place.content);
                if content.is_some_and(|content| content.refusal) {
                    let fields = [("content_index", number), ("delta", delta)];
                    write_in(sequence, "response.refusal.delta", about, &fields, out);
                } else {
                    let none = Value::Array(Vec::new());
                    let fields = [
                        ("content_index", number),
                        ("delta", delta),
                        ("logprobs", Field::Json(&none)),
                    ];
                    write_in(sequence, "response.output_text.delta", about, &fields, out);
                }
            }
            Body::Thought { text: shown, .. } => {
                let number = ("summary_index", Field::Number(0));
                if shown.is_empty() {
                    let part = summary_text("");
                    let fields = [number, ("part", Field::Json(&part))];
                    let kind = "response.reasoning_summary_part.added";
                    write_in(sequence, kind, about, &fields, out);
                }
                let kind = "response.reasoning_summary_text.delta";
                write_in(sequence, kind, about, &[number, ("delta", delta)], out);
            }
            Body::Call { .. } => {
                let kind = "response.function_call_arguments.delta";
                write_in(sequence, kind, about, &[("delta", delta)], out);
            }
        }
        self.output.append(place, text);
    }

    fn annotation(&mut self, part: u32, annotation: &Value, out: &mut Vec<u8>) {
        let Some(place) = self.parts.get(&part).copied() else {
            return;
        };
        let found = self.output.annotate(place, annotation, &mut self.drops);
        let Some(item) = self.output.items().get(place.item) else {
            return;
        };
        for (number, found) in found {
            let fields = [
                ("content_index", Field::Number(place.content)),
                ("annotation_index", Field::Number(number)),
                ("annotation", Field::Json(&found)),
            ];
            let kind = "response.output_text.annotation.added";
            write_in(&mut self.sequence, kind, (item, place), &fields, out);
        }
    }

    fn part_end(&mut self, part: u32, out: &mut Vec<u8>) {
        let Some(place) = self.parts.remove(&part) else {
            return;
        };
        self.output.end(place);
        let Some(item) = self.output.items().get(place.item) else {
            return;
        };
        let sequence = &mut self.sequence;
        let about = (item, place);
        match &item.body {
            Body::Message(contents) => {
                if let Some(content) = contents.get(place.content) {
                    content_done(sequence, about, content, out);
                }
            }
            Body::Thought { text, .. } if !text.is_empty() => {
                let number = ("summary_index", Field::Number(0));
                let fields = [number, ("text", Field::Text(text))];
                let kind = "response.reasoning_summary_text.done";
                write_in(sequence, kind, about, &fields, out);
                let part = summary_text(text);
                let fields = [number, ("part", Field::Json(&part))];
                let kind = "response.reasoning_summary_part.done";
                write_in(sequence, kind, about, &fields, out);
            }
            Body::Thought { .. } => {}
            Body::Call {
                name, arguments, ..
            } => {
                let fields = [
                    ("name", Field::Text(name)),
                    ("arguments", Field::Text(arguments)),
                ];
                let kind = "response.function_call_arguments.done";
                write_in(sequence, kind, about, &fields, out);
            }
        }
    }

    fn item_added(&mut self, number: usize, out: &mut Vec<u8>) {
        if let Some(item) = self.output.items().get(number) {
            let fields = json!({"output_index": number, "item": item.json_begun()});
            self.write("response.output_item.added", fields, out);
        }
    }

    /// Says of every item before `end` that it is done, if everything in it has ended.
    fn settle(&mut self, end: usize, out: &mut Vec<u8>) {
        for number in 0..end {
            let ended = self
                .output
                .items()
                .get(number)
                .is_some_and(|item| item.open == 0);
            if ended {
                self.item_done(number, "completed", out);
            }
        }
    }

    fn item_done(&mut self, number: usize, status: &'static str, out: &mut Vec<u8>) {
        let Some(item) = self.output.item_mut(number) else {
            return;
        };
        if item.status.is_some() {
            return;
        }
        item.status = Some(status);
        let fields = json!({"output_index": number, "item": item.json(status)});
        self.write("response.output_item.done", fields, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let open: Vec<u32> = self.parts.keys().copied().collect();
        for part in open {
            self.part_end(part, out);
        }
        kinds::note(self.usage.as_ref(), &kinds::OPENAI, &mut self.drops);
        let ending = Ending::of(&self.finish, self.declined, &mut self.drops);
        let last = self.output.items().len();
        for number in 0..last {
            let cut = number.checked_add(1) == Some(last);
            let status = if cut { ending.status() } else { "completed" };
            self.item_done(number, status, out);
        }
        for number in self.output.end_all()..self.output.items().len() {
            self.item_added(number, out);
            self.item_done(number, "completed", out);
        }
        let kind = match ending {
            Ending::Completed => "response.completed",
            Ending::Incomplete(_) => "response.incomplete",
        };
        let state = State::Ended(ending);
        let response = self
            .head
            .json(state, self.output.json(), self.usage.as_ref());
        self.write(kind, json!({"response": response}), out);
        self.over = true;
    }

    /// Says that the answer failed: the error as OpenAI's own clients read it, then the response that failed.
    fn failed(&mut self, failed: &UpstreamError, out: &mut Vec<u8>) {
        self.over = true;
        write_error(self.sequence, failed, out);
        self.sequence = self.sequence.saturating_add(1);
        for number in 0..self.output.items().len() {
            if let Some(item) = self.output.item_mut(number) {
                item.status.get_or_insert("incomplete");
            }
        }
        let state = State::Failed(failed);
        let response = self
            .head
            .json(state, self.output.json(), self.usage.as_ref());
        self.write("response.failed", json!({"response": response}), out);
    }

    fn write(&mut self, kind: &'static str, fields: Value, out: &mut Vec<u8>) {
        let mut event = Map::new();
        event.insert("type".to_owned(), kind.into());
        event.insert("sequence_number".to_owned(), self.sequence.into());
        self.sequence = self.sequence.saturating_add(1);
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        let data = Value::Object(event).to_string();
        sse::write_event(out, Some(kind), data.as_bytes());
    }
}

/// Says that a text or refusal is whole, and with it the part that holds it.
fn content_done(sequence: &mut u64, about: (&Item, Place), content: &Content, out: &mut Vec<u8>) {
    let number = ("content_index", Field::Number(about.1.content));
    let text = Field::Text(&content.text);
    if content.refusal {
        let fields = [number, ("refusal", text)];
        write_in(sequence, "response.refusal.done", about, &fields, out);
    } else {
        let logprobs = Value::Array(content.logprobs.clone());
        let fields = [number, ("text", text), ("logprobs", Field::Json(&logprobs))];
        write_in(sequence, "response.output_text.done", about, &fields, out);
    }
    let part = content.json();
    let fields = [number, ("part", Field::Json(&part))];
    write_in(sequence, "response.content_part.done", about, &fields, out);
}

/// A field of an event.
#[derive(Debug, Clone, Copy)]
enum Field<'a> {
    Text(&'a str),
    Number(usize),
    Json(&'a Value),
}

/// Writes one event about a place straight into the caller's bytes: most of a stream is this.
fn write_in(
    sequence: &mut u64,
    kind: &'static str,
    (item, place): (&Item, Place),
    fields: &[(&'static str, Field<'_>)],
    out: &mut Vec<u8>,
) {
    for text in ["event: ", kind, "\ndata: {\"type\":\"", kind, "\""] {
        out.extend_from_slice(text.as_bytes());
    }
    write_field("sequence_number", &*sequence, out);
    *sequence = sequence.saturating_add(1);
    write_field("item_id", &item.id, out);
    write_field("output_index", &place.item, out);
    for (key, value) in fields {
        match value {
            Field::Text(text) => write_field(key, text, out),
            Field::Number(number) => write_field(key, number, out),
            Field::Json(value) => write_field(key, value, out),
        }
    }
    out.extend_from_slice(b"}\n\n");
}

/// `,"key":value`. Texts, numbers and JSON values cannot fail to be written to memory.
fn write_field(key: &'static str, value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    for text in [",\"", key, "\":"] {
        out.extend_from_slice(text.as_bytes());
    }
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "a plain value can be written");
}

/// Writes an `error` event: the description's fields, and beside them the object that OpenAI itself sends (2025-11).
pub(super) fn write_error(sequence: u64, failed: &UpstreamError, out: &mut Vec<u8>) {
    let (kind, code) = classify::words(failed.class);
    let message = message(failed);
    let data = json!({
        "type": "error",
        "sequence_number": sequence,
        "code": code,
        "message": message,
        "param": failed.param,
        "error": {
            "type": kind,
            "code": code,
            "message": message,
            "param": failed.param,
        },
    });
    sse::write_event(out, Some("error"), data.to_string().as_bytes());
}

fn too_large() -> UpstreamError {
    UpstreamError {
        class: ErrorClass::Server,
        status: 200,
        message: "The provider's answer is larger than the gateway keeps.".to_owned(),
        code: None,
        param: None,
        retry_after: None,
    }
}
