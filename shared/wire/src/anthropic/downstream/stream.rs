//! A streamed answer for a caller.
//!
//! Messages has one block at a time. Where a provider's parts overlap, the later ones are held back until the
//! earlier one has ended; what is held is bounded.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Answered, citation, stop, stop_details, usage};
use crate::Drops;
use crate::anthropic::error;
use crate::anthropic::names::legal;
use crate::error::ErrorClass;
use crate::kinds;
use crate::model::{Event, Finish, PartKind, Usage};
use crate::sse::write_event;
use sluice_units::SortedMap;

/// The most that is held back, in bytes. A provider that needs more is told to have failed.
pub const HELD_BYTES_MAX: usize = 4 << 20;

/// Writes a streamed answer for a caller.
#[derive(Debug)]
pub struct StreamEncoder {
    answered: Answered,
    id: String,
    model: String,
    greeted: bool,
    over: bool,
    open: Option<Open>,
    held: SortedMap<u32, Held>,
    held_bytes: usize,
    blocks: u32,
    calls: u32,
    refusal: Option<String>,
    refusals: Vec<u32>,
    finish: Finish,
    usage: Usage,
    drops: Drops,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    part: u32,
    block: u32,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Redacted,
    Call,
}

/// A part whose turn has not come.
#[derive(Debug)]
struct Held {
    kind: PartKind,
    text: String,
    annotations: Vec<Value>,
    signature: Option<String>,
    ended: bool,
}

impl StreamEncoder {
    /// An encoder at the start of an answer.
    #[must_use]
    pub fn new(answered: Answered) -> Self {
        Self {
            answered,
            id: String::new(),
            model: String::new(),
            greeted: false,
            over: false,
            open: None,
            held: SortedMap::new(),
            held_bytes: 0,
            blocks: 0,
            calls: 0,
            refusal: None,
            refusals: Vec::new(),
            finish: Finish::Stop,
            usage: Usage::default(),
            drops: Drops::new(),
        }
    }

    /// Appends what the caller gets for this event. After [`Event::End`] or [`Event::Failed`] nothing more is written.
    pub fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.over || self.is_other_choice(event) {
            return;
        }
        match event {
            Event::Start { id, model, .. } => {
                // Written with the first part, when usage may be known.
                self.id.clone_from(id);
                self.model.clone_from(model);
            }
            Event::PartStart { part, kind, .. } => self.part_start(*part, kind, out),
            Event::Delta { part, text, .. } => self.delta(*part, text, out),
            Event::Signature {
                part, signature, ..
            } => self.signature(*part, signature, out),
            Event::Annotation {
                part, annotation, ..
            } => self.annotation(*part, annotation, out),
            Event::Logprobs { .. } => self.drops.push("logprobs", "not supported by anthropic"),
            Event::PartEnd { part, .. } => self.part_end(*part, out),
            Event::Finish { finish, .. } => self.finish.clone_from(finish),
            Event::Usage(usage) => self.usage = *usage,
            Event::Failed(failed) => {
                self.over = true;
                write_event(out, Some("error"), &error::encode_upstream(failed, None));
            }
            Event::End => self.end(out),
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
            self.drops
                .push(format!("choices[{choice}]"), "anthropic has one choice");
        }
        *choice != 0
    }

    fn greet(&mut self, out: &mut Vec<u8>) {
        if self.greeted {
            return;
        }
        self.greeted = true;
        let (id, model) = self.answered.shown(&self.id, &self.model);
        let message = json!({
            "id": id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage(&self.usage),
        });
        write(
            out,
            "message_start",
            &json!({"type": "message_start", "message": message}),
        );
    }

    fn part_start(&mut self, part: u32, kind: &PartKind, out: &mut Vec<u8>) {
        self.greet(out);
        if matches!(kind, PartKind::Media { .. }) {
            self.drops
                .push("content", "an answer holds text and calls only");
        } else if *kind == PartKind::Refusal {
            self.refusal.get_or_insert_default();
            self.refusals.push(part);
        } else if self.open.is_none() && self.held.is_empty() {
            self.block_start(part, kind, out);
        } else {
            let held = Held {
                kind: kind.clone(),
                text: String::new(),
                annotations: Vec::new(),
                signature: None,
                ended: false,
            };
            self.held.insert(part, held);
        }
    }

    fn block_start(&mut self, part: u32, kind: &PartKind, out: &mut Vec<u8>) {
        let (kind, content) = match kind {
            // Refusals and media are kept apart; see `part_start`.
            PartKind::Text | PartKind::Refusal | PartKind::Media { .. } => {
                (Kind::Text, json!({"type": "text", "text": ""}))
            }
            PartKind::Thinking => (
                Kind::Thinking,
                json!({"type": "thinking", "thinking": "", "signature": ""}),
            ),
            PartKind::RedactedThinking { data } => (
                Kind::Redacted,
                json!({"type": "redacted_thinking", "data": data}),
            ),
            PartKind::ToolCall { id, name } => {
                let made = self.answered.call_id(self.calls);
                self.calls = self.calls.saturating_add(1);
                let id = legal(if id.is_empty() { &made } else { id });
                (
                    Kind::Call,
                    json!({"type": "tool_use", "id": id, "name": name, "input": {}}),
                )
            }
        };
        let block = self.blocks;
        self.blocks = block.saturating_add(1);
        self.open = Some(Open { part, block, kind });
        let frame =
            json!({"type": "content_block_start", "index": block, "content_block": content});
        write(out, "content_block_start", &frame);
    }

    fn delta(&mut self, part: u32, text: &str, out: &mut Vec<u8>) {
        if self.refusals.contains(&part) {
            self.refusal.get_or_insert_default().push_str(text);
            return;
        }
        if let Some(open) = self.open.filter(|open| open.part == part) {
            match open.kind {
                Kind::Text => block_delta(open, "text_delta", "text", text, out),
                Kind::Thinking => block_delta(open, "thinking_delta", "thinking", text, out),
                Kind::Call => block_delta(open, "input_json_delta", "partial_json", text, out),
                Kind::Redacted => {}
            }
            return;
        }
        let Some(held) = self.held.get_mut(&part) else {
            return;
        };
        held.text.push_str(text);
        self.held_bytes = self.held_bytes.saturating_add(text.len());
        if self.held_bytes > HELD_BYTES_MAX {
            self.over = true;
            let body = error::ErrorBody {
                code: None,
                param: None,
                kind: error::kind(ErrorClass::Server),
                message: "the provider's parallel parts are too large to put in order",
                request_id: None,
            };
            write_event(out, Some("error"), &error::encode(&body));
        }
    }

    fn signature(&mut self, part: u32, signature: &str, out: &mut Vec<u8>) {
        if let Some(held) = self.held.get_mut(&part) {
            held.signature = Some(signature.to_owned());
            return;
        }
        let Some(open) = self.open.filter(|open| open.part == part) else {
            return;
        };
        if open.kind == Kind::Thinking {
            block_delta(open, "signature_delta", "signature", signature, out);
        } else {
            self.drops
                .push("tool_use.signature", "not supported by anthropic");
        }
    }

    fn annotation(&mut self, part: u32, annotation: &Value, out: &mut Vec<u8>) {
        if let Some(held) = self.held.get_mut(&part) {
            held.annotations.push(annotation.clone());
            return;
        }
        let Some(open) = self.open.filter(|open| open.part == part) else {
            return;
        };
        if let Some(citation) = citation(annotation, &mut self.drops) {
            block_delta(open, "citations_delta", "citation", &citation, out);
        }
    }

    fn part_end(&mut self, part: u32, out: &mut Vec<u8>) {
        if let Some(held) = self.held.get_mut(&part) {
            held.ended = true;
            return;
        }
        if self.open.is_some_and(|open| open.part == part) {
            self.block_stop(out);
            self.release(out);
        }
    }

    fn block_stop(&mut self, out: &mut Vec<u8>) {
        if let Some(open) = self.open.take() {
            let frame = json!({"type": "content_block_stop", "index": open.block});
            write(out, "content_block_stop", &frame);
        }
    }

    /// Writes what was held back, up to the first part that has not ended.
    fn release(&mut self, out: &mut Vec<u8>) {
        while self.open.is_none() {
            let Some((part, held)) = self.held.pop_first() else {
                return;
            };
            self.held_bytes = self.held_bytes.saturating_sub(held.text.len());
            self.block_start(part, &held.kind, out);
            if !held.text.is_empty() {
                self.delta(part, &held.text, out);
            }
            for annotation in &held.annotations {
                self.annotation(part, annotation, out);
            }
            if let Some(signature) = &held.signature {
                self.signature(part, signature, out);
            }
            if held.ended {
                self.block_stop(out);
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.over = true;
        self.greet(out);
        // A decoder ends every part; a block must not stay open whatever happens.
        while self.open.is_some() {
            self.block_stop(out);
            self.release(out);
        }
        if self.refusal.is_some() && self.finish == Finish::Stop {
            self.finish = Finish::Refusal;
        }
        let (stop_reason, stop_sequence) = stop(&self.finish, &mut self.drops);
        let mut delta = json!({"stop_reason": stop_reason, "stop_sequence": stop_sequence});
        if let (Some(text), Some(fields)) = (&self.refusal, delta.as_object_mut()) {
            fields.insert("stop_details".to_owned(), stop_details(text));
        }
        kinds::note(Some(&self.usage), &kinds::ANTHROPIC, &mut self.drops);
        let frame = json!({"type": "message_delta", "delta": delta, "usage": usage(&self.usage)});
        write(out, "message_delta", &frame);
        write(out, "message_stop", &json!({"type": "message_stop"}));
    }
}

/// Writes a delta straight into the caller's bytes: there are more of these than of everything else.
fn block_delta(
    open: Open,
    kind: &str,
    field: &str,
    value: &(impl Serialize + ?Sized),
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":",
    );
    write_json(out, &open.block);
    out.extend_from_slice(b",\"delta\":{\"type\":");
    write_json(out, kind);
    out.push(b',');
    write_json(out, field);
    out.push(b':');
    write_json(out, value);
    out.extend_from_slice(b"}}\n\n");
}

fn write_json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    // Writing text, numbers and JSON into memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}

fn write(out: &mut Vec<u8>, event: &str, frame: &Value) {
    write_event(out, Some(event), frame.to_string().as_bytes());
}
