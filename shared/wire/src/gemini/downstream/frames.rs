//! A streamed answer in Gemini's words: chunks that each look like a whole answer's beginning.
//!
//! Texts and thoughts go out as they come. A call goes out whole, when it ends: that is how Gemini streams calls, and
//! what its clients read. The reasons for the end and the usage go out in the last chunk, together.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::citations::Cited;
use crate::model::{Event, Finish, PartKind, Usage};
use crate::{Drops, kinds, sse};
use sluice_units::{SortedMap, SortedSet};

use super::super::names;
use super::super::value::{put, single};
use super::Answered;
use super::answer;
use super::lists::{ErrorAnswer, error_body};

/// How chunks are put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `alt=sse`: server-sent events.
    Sse,
    /// One JSON array.
    Array,
}

/// Writes a stream of events.
#[derive(Debug)]
pub struct StreamEncoder {
    framing: Framing,
    answered: Answered,
    id: String,
    model: String,
    open: SortedMap<(u32, u32), Open>,
    cited: SortedMap<u32, Cited>,
    declined: SortedSet<u32>,
    finishes: Vec<(u32, Finish)>,
    usage: Option<Usage>,
    has_written: bool,
    is_over: bool,
    drops: Drops,
}

#[derive(Debug)]
enum Open {
    Text,
    Thinking { is_empty: bool },
    Call(Call),
}

#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    arguments: String,
    signature: Option<String>,
}

/// A chunk of one candidate, written without building it first: there is one for each piece of text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    candidates: [Candidate<'a>; 1],
    model_version: &'a str,
    response_id: &'a str,
}

#[derive(Serialize)]
struct Candidate<'a> {
    #[serde(flatten)]
    more: Map<String, Value>,
    content: Content<'a>,
    index: u32,
}

#[derive(Serialize)]
struct Content<'a> {
    parts: &'a [Part<'a>],
    role: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Text { text: &'a str },
    Thought { text: &'a str, thought: bool },
    Whole(Value),
}

impl StreamEncoder {
    /// An encoder at the start of a stream.
    #[must_use]
    pub const fn new(framing: Framing, answered: Answered) -> Self {
        Self {
            framing,
            answered,
            id: String::new(),
            model: String::new(),
            open: SortedMap::new(),
            cited: SortedMap::new(),
            declined: SortedSet::new(),
            finishes: Vec::new(),
            usage: None,
            has_written: false,
            is_over: false,
            drops: Drops::new(),
        }
    }

    /// What could not be said so far.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        &self.drops
    }

    /// Appends what the event becomes on the wire; often nothing yet. After the end or a failure nothing more.
    pub fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.is_over {
            return;
        }
        match event {
            Event::Start { id, model, .. } => {
                self.id.clone_from(id);
                self.model.clone_from(model);
            }
            Event::PartStart { choice, part, kind } => self.start(*choice, *part, kind, out),
            Event::Delta { choice, part, text } => self.delta(*choice, *part, text, out),
            Event::Signature {
                choice,
                part,
                signature,
            } => self.sign(*choice, *part, signature, out),
            Event::Annotation {
                choice,
                part,
                annotation,
            } => self.annotate(*choice, *part, annotation, out),
            Event::Logprobs { choice, logprobs } => {
                let result = single("logprobsResult", answer::logprobs(logprobs));
                self.write(*choice, result, &[], out);
            }
            Event::PartEnd { choice, part } => {
                if let Some(Open::Call(call)) = self.open.remove(&(*choice, *part)) {
                    let signature = call.signature.as_deref();
                    let part = answer::call(&call.id, &call.name, &call.arguments, signature);
                    self.write(*choice, Map::new(), &[Part::Whole(part)], out);
                }
            }
            Event::Finish { choice, finish } => self.finishes.push((*choice, finish.clone())),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failed(error) => self.end(error_body(&ErrorAnswer::of(error)), out),
            Event::End => {
                let last = self.last();
                self.end(last, out);
            }
        }
    }

    fn annotate(&mut self, choice: u32, part: u32, annotation: &Value, out: &mut Vec<u8>) {
        let mut candidate = Map::new();
        let mut parts = Vec::new();
        if answer::annotate(annotation, &mut candidate, &mut parts) {
            let parts: Vec<Part<'_>> = parts.into_iter().map(Part::Whole).collect();
            self.write(choice, candidate, &parts, out);
        } else if !self.cited.get_or_default(choice).annotate(part, annotation) {
            answer::note_annotation(&format!("choices[{choice}]"), &mut self.drops);
        }
    }

    fn start(&mut self, choice: u32, part: u32, kind: &PartKind, out: &mut Vec<u8>) {
        let open = match kind {
            PartKind::Text => Open::Text,
            PartKind::Refusal => {
                let field = format!("choices[{choice}].content[{part}]");
                self.drops.push(field, answer::REFUSAL);
                self.declined.insert(choice);
                Open::Text
            }
            PartKind::Thinking => Open::Thinking { is_empty: true },
            PartKind::Media { source } => {
                let part = Part::Whole(answer::media(source));
                self.write(choice, Map::new(), &[part], out);
                return;
            }
            PartKind::RedactedThinking { data } => {
                let part = Part::Whole(answer::redacted(data));
                self.write(choice, Map::new(), &[part], out);
                return;
            }
            PartKind::ToolCall { id, name } => Open::Call(Call {
                id: id.clone(),
                name: name.clone(),
                arguments: String::new(),
                signature: None,
            }),
        };
        self.open.insert((choice, part), open);
    }

    fn delta(&mut self, choice: u32, part: u32, text: &str, out: &mut Vec<u8>) {
        let written = match self.open.get_mut(&(choice, part)) {
            None => return,
            Some(Open::Call(call)) => return call.arguments.push_str(text),
            Some(Open::Text) => {
                self.cited.get_or_default(choice).append(part, text);
                Part::Text { text }
            }
            Some(Open::Thinking { is_empty }) => {
                *is_empty = false;
                let thought = true;
                Part::Thought { text, thought }
            }
        };
        self.write(choice, Map::new(), &[written], out);
    }

    fn sign(&mut self, choice: u32, part: u32, signature: &str, out: &mut Vec<u8>) {
        let written = match self.open.get_mut(&(choice, part)) {
            Some(Open::Call(call)) => {
                call.signature = Some(signature.to_owned());
                return;
            }
            Some(Open::Thinking { is_empty: false }) => {
                let mut part = single("text", "");
                put(&mut part, "thought", true);
                let bare = names::owned_signature(signature)
                    .map_or_else(|| names::carry(signature), str::to_owned);
                put(&mut part, "thoughtSignature", bare);
                Value::Object(part)
            }
            Some(Open::Thinking { is_empty: true }) => answer::thinking("", Some(signature)),
            Some(Open::Text) | None => return,
        };
        self.write(choice, Map::new(), &[Part::Whole(written)], out);
    }

    fn write(
        &mut self,
        choice: u32,
        more: Map<String, Value>,
        parts: &[Part<'_>],
        out: &mut Vec<u8>,
    ) {
        let content = Content {
            parts,
            role: "model",
        };
        let candidate = Candidate {
            more,
            content,
            index: choice,
        };
        let chunk = Chunk {
            candidates: [candidate],
            model_version: self.answered.model(&self.model),
            response_id: self.answered.id(&self.id),
        };
        let chunk = serde_json::to_vec(&chunk).unwrap_or_default();
        self.frame(&chunk, out);
    }

    fn last(&mut self) -> Value {
        let drops = &mut self.drops;
        kinds::note(self.usage.as_ref(), &kinds::GEMINI, drops);
        let candidates: Vec<Value> = self
            .finishes
            .iter()
            .map(|(choice, finish)| {
                // As Gemini ends its streams; clients look at the first part unasked (instructor 1.17.0).
                let mut content = single("parts", vec![Value::Object(single("text", ""))]);
                put(&mut content, "role", "model");
                let mut candidate = single("content", content);
                let declined = self.declined.contains(choice);
                let reason = answer::finish(finish, declined, drops);
                put(&mut candidate, "finishReason", reason);
                if let Some(cited) = self.cited.get(choice) {
                    answer::ground(cited, &mut candidate);
                }
                put(&mut candidate, "index", *choice);
                Value::Object(candidate)
            })
            .collect();
        let mut body = single("candidates", candidates);
        if let Some(usage) = &self.usage {
            put(&mut body, "usageMetadata", answer::usage(usage));
        }
        answer::head(&mut body, &self.id, &self.model, &self.answered);
        Value::Object(body)
    }

    fn frame(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        match self.framing {
            Framing::Sse => sse::write_event(out, None, chunk),
            Framing::Array => {
                out.extend_from_slice(if self.has_written { b",\r\n" } else { b"[" });
                out.extend_from_slice(chunk);
            }
        }
        self.has_written = true;
    }

    fn end(&mut self, chunk: Value, out: &mut Vec<u8>) {
        self.frame(chunk.to_string().as_bytes(), out);
        if self.framing == Framing::Array {
            out.extend_from_slice(b"]");
        }
        self.is_over = true;
    }
}
