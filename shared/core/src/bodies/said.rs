//! What was said, as it is sealed: a JSON text of the request and of the answer.
//!
//! `full` keeps the words, the first [`SIDE_BYTES_MAX`] of each side, and says how long the whole was and its SHA-256.
//! A stream's words are put together; what cannot be understood is kept as it was sent. `redacted` keeps no word: who
//! spoke, what kind of things were said and how long they were, the names of tools, the parameters. It is written from
//! what was understood, never by leaving out of what came: so what nobody thought of is not there.
//!
//! Headers, and so keys, are no part of either.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use sluice_machines::record::Keep;
use sluice_units::{base64url, hex};
use sluice_wire::dialect::decode_chat;
use sluice_wire::model::{ChatRequest, Event, Message, Part, PartKind, Role, Source};
use sluice_wire::{Downstream, StreamDecoder};

use super::Keeper;
use crate::hash::sha256_hex;
use crate::session::finish_word;
use crate::translate::{Task, Work};

/// How much of what one side has said is kept, at most.
pub const SIDE_BYTES_MAX: usize = 16 << 10;
/// How many parts of a streamed answer are told apart, at most.
const PARTS_MAX: usize = 256;
/// How long a name is that is kept where no words are.
const WORD_BYTES_MAX: usize = 64;

/// An answer.
#[derive(Debug)]
pub enum Said {
    /// There was none.
    Nothing,
    /// It came whole.
    Whole(Bytes),
    /// It was streamed.
    Stream(Box<Transcript>),
}

impl Keeper {
    /// What was asked and answered, as text.
    #[must_use]
    pub fn write(&self, work: &Work, said: Said) -> String {
        let request = match (self.keep(), &work.task) {
            (Keep::Full, _) if work.upload().is_some() => {
                // It went through piece by piece and was never held.
                json!({"omitted": "form"})
            }
            (Keep::Full, _) => self.asked().map_or(Value::Null, |asked| words(asked)),
            (_, Task::Chat(chat)) => bounded(self.outline(&chat.request)),
            _ => self.length(),
        };
        let downstream = match &work.task {
            Task::Chat(chat) => Some(chat.downstream),
            _ => None,
        };
        let answer = match (self.keep(), said) {
            (_, Said::Nothing) => Value::Null,
            (_, Said::Stream(transcript)) => transcript.end(),
            (Keep::Full, Said::Whole(body)) => words(&body),
            (_, Said::Whole(body)) => outline_of_answer(downstream, &body),
        };
        json!({"request": request, "answer": answer}).to_string()
    }

    /// What was asked where nothing is answered but a number.
    #[must_use]
    pub fn write_count(&self, chat: &ChatRequest) -> String {
        let request = match (self.keep(), self.asked()) {
            (Keep::Full, Some(asked)) => words(asked),
            _ => bounded(self.outline(chat)),
        };
        json!({"request": request, "answer": null}).to_string()
    }

    fn length(&self) -> Value {
        json!({"bytes": self.asked().map(Bytes::len)})
    }

    fn outline(&self, request: &ChatRequest) -> Value {
        let mut outline = Map::new();
        let mut tell = |name: &str, value: Value| {
            if !value.is_null() {
                outline.insert(name.to_owned(), value);
            }
        };
        let sampling = &request.sampling;
        tell("bytes", json!(self.asked().map(Bytes::len)));
        tell("messages", request.messages.iter().map(message).collect());
        let tools = request
            .tools
            .iter()
            .map(|tool| Value::from(word(&tool.name)));
        tell("tools", tools.collect());
        tell("output_tokens_max", json!(request.output_tokens_max));
        tell("temperature", json!(sampling.temperature));
        tell("top_p", json!(sampling.top_p));
        tell("top_k", json!(sampling.top_k));
        tell("choices", json!(request.choices));
        tell("stream", json!(request.stream));
        Value::Object(outline)
    }
}

/// The words of one side that came whole.
fn words(bytes: &[u8]) -> Value {
    let mut said = json!({"bytes": bytes.len(), "sha256": sha256_hex(bytes)});
    put_words(&mut said, bytes, bytes.len() > SIDE_BYTES_MAX);
    said
}

/// As much of the bytes as is kept, as text where they are.
fn put_words(said: &mut Value, bytes: &[u8], is_cut: bool) {
    let kept = bytes.get(..SIDE_BYTES_MAX).unwrap_or(bytes);
    let text = match std::str::from_utf8(kept) {
        Ok(text) => Some(text),
        // A character may be cut at the end.
        Err(error) if is_cut && error.error_len().is_none() => kept
            .get(..error.valid_up_to())
            .and_then(|kept| std::str::from_utf8(kept).ok()),
        Err(_) => None,
    };
    let Some(said) = said.as_object_mut() else {
        return;
    };
    match text {
        Some(text) => said.insert("text".to_owned(), Value::from(text)),
        None => said.insert(
            "base64url".to_owned(),
            Value::String(base64url::encode(kept)),
        ),
    };
    if is_cut {
        said.insert("truncated".to_owned(), Value::Bool(true));
    }
}

/// An outline, or that it is too long for one.
fn bounded(outline: Value) -> Value {
    if outline.to_string().len() <= SIDE_BYTES_MAX {
        return outline;
    }
    let count = |name: &str| outline.get(name).and_then(Value::as_array).map(Vec::len);
    json!({"bytes": outline.get("bytes"), "messages": count("messages"), "tools": count("tools"), "truncated": true})
}

fn outline_of_answer(downstream: Option<Downstream>, body: &[u8]) -> Value {
    let decoded = downstream.and_then(|it| decode_chat(it.dialect(), body).ok());
    let Some((answer, _)) = decoded else {
        return json!({"bytes": body.len()});
    };
    let choices = answer.choices.iter().map(|choice| {
        let parts: Vec<Value> = choice.parts.iter().map(part).collect();
        json!({"index": choice.index, "parts": parts, "finish": word(&finish_word(&choice.finish))})
    });
    bounded(json!({"bytes": body.len(), "choices": choices.collect::<Vec<Value>>()}))
}

fn message(message: &Message) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let parts: Vec<Value> = message.parts.iter().map(part).collect();
    json!({"role": role, "parts": parts})
}

fn part(part: &Part) -> Value {
    let text = |kind: &str, text: &str| json!({"kind": kind, "bytes": text.len()});
    match part {
        Part::Text { text: it, .. } => text("text", it),
        Part::Image { source, .. } => media("image", source),
        Part::Audio { source, .. } => media("audio", source),
        Part::Document { source, .. } => media("document", source),
        Part::ToolCall {
            name, arguments, ..
        } => json!({"kind": "tool_call", "name": word(name), "bytes": arguments.len()}),
        Part::ToolResult {
            parts, is_error, ..
        } => {
            let parts: Vec<Value> = parts.iter().map(self::part).collect();
            json!({"kind": "tool_result", "parts": parts, "is_error": is_error})
        }
        Part::Thinking { text: it, .. } => text("thinking", it),
        Part::RedactedThinking { data } => text("redacted_thinking", data),
        Part::Refusal { text: it } => text("refusal", it),
    }
}

fn media(kind: &str, source: &Source) -> Value {
    let (by, media_type, bytes) = match source {
        Source::Url(_) => ("address", None, None),
        Source::Base64 { media_type, data } => ("data", word(media_type), Some(data.len())),
        Source::FileId(_) => ("file", None, None),
        Source::Text(text) => ("text", None, Some(text.len())),
    };
    json!({"kind": kind, "by": by, "type": media_type, "bytes": bytes})
}

/// A name as tools and types have them; `None` for what may be more.
fn word(text: &str) -> Option<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./+:".contains(&byte);
    (text.len() <= WORD_BYTES_MAX && text.bytes().all(is_plain)).then_some(text)
}

/// A streamed answer, written down as it is sent.
#[derive(Debug)]
pub struct Transcript {
    keep: Keep,
    bytes: u64,
    hash: Sha256,
    /// Its beginning as it was sent, for what is not understood.
    head: Vec<u8>,
    decoder: Option<Box<StreamDecoder>>,
    events: Vec<Event>,
    /// By choice and part.
    parts: Vec<Heard>,
    finishes: Vec<(u32, String)>,
    /// How much more is kept of its words.
    room: usize,
    is_cut: bool,
}

/// A part of it.
#[derive(Debug)]
struct Heard {
    choice: u32,
    part: u32,
    kind: &'static str,
    name: Option<String>,
    text: String,
    bytes: usize,
}

impl Transcript {
    /// Of nothing yet. `downstream`: it is an answer in a conversation, in this language.
    #[must_use]
    pub fn new(keep: Keep, downstream: Option<Downstream>) -> Self {
        Self {
            keep,
            bytes: 0,
            hash: Sha256::new(),
            head: Vec::new(),
            decoder: downstream.map(|it| Box::new(StreamDecoder::new(it.dialect()))),
            events: Vec::new(),
            parts: Vec::new(),
            finishes: Vec::new(),
            room: SIDE_BYTES_MAX,
            is_cut: false,
        }
    }

    /// Takes what is sent next.
    pub fn push(&mut self, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length);
        if self.keep == Keep::Full {
            self.hash.update(bytes);
            let room = SIDE_BYTES_MAX.saturating_sub(self.head.len());
            self.head
                .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
        let Some(decoder) = &mut self.decoder else {
            return;
        };
        // What was understood before it goes wrong counts.
        let is_over = decoder.push(bytes, &mut self.events).is_err();
        if is_over {
            self.decoder = None;
        }
        for event in std::mem::take(&mut self.events) {
            self.hear(event);
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::PartStart { choice, part, kind } => {
                if self.parts.len() < PARTS_MAX {
                    self.parts.push(heard((choice, part), kind));
                } else {
                    self.is_cut = true;
                }
            }
            Event::Delta { choice, part, text } => {
                let mut latest = self.parts.iter_mut().rev();
                let heard = latest.find(|it| (it.choice, it.part) == (choice, part));
                let Some(heard) = heard else { return };
                heard.bytes = heard.bytes.saturating_add(text.len());
                if self.keep != Keep::Full {
                    return;
                }
                let kept = text.get(..text.floor_char_boundary(self.room));
                let kept = kept.unwrap_or(&text);
                self.room = self.room.saturating_sub(kept.len());
                self.is_cut |= kept.len() < text.len();
                heard.text.push_str(kept);
            }
            Event::Finish { choice, finish } if self.finishes.len() < PARTS_MAX => {
                self.finishes.push((choice, finish_word(&finish)));
            }
            _ => {}
        }
    }

    fn end(mut self) -> Value {
        let is_full = self.keep == Keep::Full;
        let mut said = json!({"bytes": self.bytes});
        if is_full && let Some(said) = said.as_object_mut() {
            let hash: [u8; 32] = std::mem::take(&mut self.hash).finalize().into();
            said.insert("sha256".to_owned(), Value::String(hex(&hash)));
        }
        if self.parts.is_empty() {
            if is_full {
                let kept = u64::try_from(self.head.len()).unwrap_or(u64::MAX);
                put_words(&mut said, &self.head, self.bytes > kept);
            }
            return said;
        }
        if let Some(said) = said.as_object_mut() {
            said.insert("choices".to_owned(), self.choices());
            if self.is_cut {
                said.insert("truncated".to_owned(), Value::Bool(true));
            }
        }
        said
    }

    fn choices(&mut self) -> Value {
        self.parts.sort_unstable_by_key(|it| (it.choice, it.part));
        let mut choices: Vec<Value> = Vec::new();
        let mut parts: Vec<Value> = Vec::new();
        let mut all = std::mem::take(&mut self.parts).into_iter().peekable();
        while let Some(one) = all.next() {
            let mut told = json!({"kind": one.kind, "bytes": one.bytes});
            if let Some(told) = told.as_object_mut() {
                if let Some(name) = &one.name {
                    told.insert("name".to_owned(), Value::from(word(name)));
                }
                if self.keep == Keep::Full {
                    told.insert("text".to_owned(), Value::String(one.text));
                }
            }
            parts.push(told);
            if all.peek().is_none_or(|next| next.choice != one.choice) {
                let mut finishes = self.finishes.iter();
                let finish = finishes.find(|(choice, _)| *choice == one.choice);
                let finish = finish.and_then(|(_, finish)| word(finish));
                let parts = std::mem::take(&mut parts);
                choices.push(json!({"index": one.choice, "parts": parts, "finish": finish}));
            }
        }
        Value::Array(choices)
    }
}

fn heard((choice, part): (u32, u32), kind: PartKind) -> Heard {
    let (kind, name, bytes) = match kind {
        PartKind::Text => ("text", None, 0),
        PartKind::Thinking => ("thinking", None, 0),
        PartKind::RedactedThinking { data } => ("redacted_thinking", None, data.len()),
        PartKind::Refusal => ("refusal", None, 0),
        PartKind::Media { source } => match source {
            Source::Base64 { data, .. } => ("media", None, data.len()),
            _ => ("media", None, 0),
        },
        PartKind::ToolCall { name, .. } => ("tool_call", Some(name), 0),
    };
    Heard {
        choice,
        part,
        kind,
        name,
        text: String::new(),
        bytes,
    }
}
