//! The messages of a request for a provider.
//!
//! One neutral turn may become several messages: each tool result is a message of its own, and comes first. What a tool
//! showed beside text is the user's, behind all results: nothing may stand between those of one turn.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::answer::{encode_call, encode_thoughts, signed};
use super::quirks;
use crate::anthropic::names::legal;
use crate::error::EncodeError;
use crate::model::{CacheMark, Message, Part, Role, Source};
use crate::openai::NAME;
use crate::openai::ids;
use crate::{Drops, Target};

/// What the model says between results and what it is told next, where a provider lets nobody else speak (Mistral).
const BETWEEN: &str = "I have read the results.";

struct Writer<'a> {
    target: &'a Target,
    drops: &'a mut Drops,
    messages: Vec<Value>,
    /// What tools showed beside text, until all results of the turn are said.
    shown: Vec<Value>,
    /// Calls whose identifiers were made up: name and identifier, in order.
    made_up: VecDeque<(String, String)>,
}

/// Writes all messages.
pub(super) fn encode_all(
    messages: &[Message],
    target: &Target,
    drops: &mut Drops,
) -> Result<Vec<Value>, EncodeError> {
    let mut writer = Writer {
        target,
        drops,
        messages: Vec::with_capacity(messages.len()),
        shown: Vec::new(),
        made_up: VecDeque::new(),
    };
    for (at, message) in messages.iter().enumerate() {
        writer.message(message, at)?;
    }
    writer.show();
    Ok(writer.messages)
}

impl Writer<'_> {
    fn message(&mut self, message: &Message, at: usize) -> Result<(), EncodeError> {
        let is_result = |part: &Part| matches!(part, Part::ToolResult { .. });
        let has_results = message.parts.iter().any(is_result);
        // The user's next turn takes what was shown with it.
        if !has_results && message.role != Role::User {
            self.show();
        }
        if message.role == Role::Assistant {
            return self.assistant(message, at);
        }
        let mut rest = Vec::new();
        for part in &message.parts {
            if let Part::ToolResult {
                id,
                name,
                parts,
                is_error,
                cache,
            } = part
            {
                if *is_error {
                    let field = format!("messages[{at}].content.is_error");
                    self.drops.push(field, "openai marks no failed results");
                }
                self.note_cache(*cache, at);
                let id = self.result_id(id, name.as_deref());
                self.tool_result(&id, parts, at)?;
            } else {
                rest.push(self.part(part, at)?);
            }
        }
        if rest.is_empty() && (message.role == Role::Tool || has_results) {
            return Ok(());
        }
        let role = match message.role {
            Role::Developer if self.target.developer_role => "developer",
            Role::System | Role::Developer => "system",
            // What a tool showed beside text.
            Role::User | Role::Tool | Role::Assistant => "user",
        };
        rest.splice(0..0, std::mem::take(&mut self.shown));
        let name = self.name(message, at);
        self.push(role, name, vec![("content", content(rest))]);
        Ok(())
    }

    /// Says what tools have shown beside text.
    fn show(&mut self) {
        let shown = std::mem::take(&mut self.shown);
        if !shown.is_empty() {
            self.push("user", None, vec![("content", Value::Array(shown))]);
        }
    }

    /// Who speaks, where the provider wants to know.
    fn name<'m>(&mut self, message: &'m Message, at: usize) -> Option<&'m str> {
        let name = message.name.as_deref()?;
        if self.target.strict_fields {
            let field = format!("messages[{at}].name");
            self.drops
                .push(field, "the provider knows no names of speakers");
            return None;
        }
        Some(name)
    }

    fn push(&mut self, role: &str, name: Option<&str>, fields: Vec<(&str, Value)>) {
        let last = self.messages.last().and_then(|last| last.get("role"));
        let is_asking = role == "user" || role == "system";
        if self.target.strict_fields && is_asking && last == Some(&"tool".into()) {
            let between = json!({"role": "assistant", "content": BETWEEN});
            self.messages.push(between);
        }
        let mut message = Map::new();
        message.insert("role".to_owned(), role.into());
        if let Some(name) = name {
            message.insert("name".to_owned(), name.into());
        }
        for (key, value) in fields {
            message.insert(key.to_owned(), value);
        }
        self.messages.push(Value::Object(message));
    }

    fn tool_result(&mut self, id: &str, parts: &[Part], at: usize) -> Result<(), EncodeError> {
        let mut texts = Vec::new();
        for part in parts {
            let written = self.part(part, at)?;
            if written.get("type").and_then(Value::as_str) == Some("text") {
                texts.push(written);
            } else {
                let field = format!("messages[{at}].content");
                self.drops.push(
                    field,
                    "openai's tools return text; the rest is sent as the user's",
                );
                self.shown.push(written);
            }
        }
        let fields = vec![("tool_call_id", id.into()), ("content", content(texts))];
        self.push("tool", None, fields);
        Ok(())
    }

    fn assistant(&mut self, message: &Message, at: usize) -> Result<(), EncodeError> {
        let mut texts = Vec::new();
        let mut calls = Vec::new();
        let mut refusal: Option<String> = None;
        let mut thinks = false;
        for part in &message.parts {
            match part {
                Part::Refusal { text } => refusal.get_or_insert_default().push_str(text),
                Part::Thinking { .. } | Part::RedactedThinking { .. } => thinks = true,
                Part::ToolCall { .. } => calls.extend(self.call(part, at, calls.len())),
                other => texts.push(self.part(other, at)?),
            }
        }
        if self.target.strict_fields
            && let Some(text) = refusal.take()
        {
            texts.push(json!({"type": "text", "text": text}));
        }
        let as_parts = self.target.thinking_chunks && self.target.reasoning;
        let as_field = self.target.reasoning_content || self.target.reasoning_key;
        if thinks && as_parts {
            texts.splice(0..0, quirks::chunks(&message.parts));
        }
        let silent = texts.is_empty() && (!calls.is_empty() || refusal.is_some());
        let content = if silent { Value::Null } else { content(texts) };
        let mut fields = vec![("content", content)];
        fields.extend(refusal.map(|text| ("refusal", text.into())));
        let mut thoughts = Map::new();
        if thinks && as_field {
            encode_thoughts(&message.parts, &mut thoughts);
            // A foreign signature would be refused, and is another provider's business.
            thoughts.shift_remove("thinking_blocks");
        }
        let told = as_parts || as_field;
        if thinks && (!told || message.parts.iter().any(is_proven)) {
            let field = format!("messages[{at}].thinking_blocks");
            self.drops
                .push(field, "signed thoughts stay with who signed them");
        }
        let thoughts = thoughts.shift_remove("reasoning_content");
        let key = if self.target.reasoning_key {
            "reasoning"
        } else {
            "reasoning_content"
        };
        fields.extend(thoughts.map(|text| (key, text)));
        if !calls.is_empty() {
            fields.push(("tool_calls", Value::Array(calls)));
        }
        if self.target.strict_fields && is_nothing(&fields) {
            self.drops.push(
                format!("messages[{at}]"),
                "the provider takes no empty turn",
            );
            return Ok(());
        }
        if !self.goes_on(&mut fields) {
            let name = self.name(message, at);
            self.push("assistant", name, fields);
        }
        Ok(())
    }

    /// Puts a turn of the assistant's into the one before, where calls wait for their results: OpenAI takes nothing
    /// between a call and its result.
    fn goes_on(&mut self, fields: &mut Vec<(&str, Value)>) -> bool {
        let waiting = self.messages.last_mut().and_then(Value::as_object_mut);
        let Some(last) = waiting.filter(|last| last.contains_key("tool_calls")) else {
            return false;
        };
        for (key, value) in fields.drain(..) {
            match (last.get_mut(key), value) {
                (_, Value::Null) => {}
                (Some(Value::String(text)), Value::String(more)) => {
                    if !text.is_empty() && !more.is_empty() {
                        text.push('\n');
                    }
                    text.push_str(&more);
                }
                (Some(Value::Array(items)), Value::Array(more)) => items.extend(more),
                (_, value) => {
                    last.insert(key.to_owned(), value);
                }
            }
        }
        true
    }

    fn call(&mut self, part: &Part, at: usize, number: usize) -> Option<Value> {
        let Part::ToolCall {
            id,
            name,
            signature,
            cache,
            ..
        } = part
        else {
            return None;
        };
        self.note_cache(*cache, at);
        let made_up = ids::for_chat(&format!("call_{at}_{number}"), self.target).into_owned();
        if id.is_empty() {
            self.made_up.push_back((name.clone(), made_up.clone()));
        }
        let mut call = encode_call(part, || made_up)?;
        if !id.is_empty() {
            put_text(&mut call, "/id", &ids::for_chat(id, self.target));
        }
        put_text(&mut call, "/function/name", &legal(name));
        if signature.is_some()
            && let Some(call) = call.as_object_mut()
        {
            let own = self.target.thought_signatures;
            let kept = signature.as_deref().filter(|_| own).map(signed);
            match kept {
                Some(kept) => call.insert("extra_content".to_owned(), kept),
                None => {
                    let field = format!("messages[{at}].tool_calls[{number}].extra_content");
                    self.drops
                        .push(field, "thought signatures stay with who signed them");
                    call.shift_remove("extra_content")
                }
            };
        }
        Some(call)
    }

    /// The identifier that a result names, or the one that was made up for its call.
    fn result_id(&mut self, id: &str, name: Option<&str>) -> String {
        if !id.is_empty() {
            return ids::for_chat(id, self.target).into_owned();
        }
        let found = self
            .made_up
            .iter()
            .position(|(called, _)| name.is_none_or(|name| name == called));
        found.and_then(|at| self.made_up.remove(at)).map_or_else(
            || ids::for_chat("call_unknown", self.target).into_owned(),
            |(_, id)| id,
        )
    }

    fn part(&mut self, part: &Part, at: usize) -> Result<Value, EncodeError> {
        let refuse = |reason: &str| {
            Err(EncodeError {
                dialect: NAME,
                field: format!("messages[{at}].content"),
                reason: reason.to_owned(),
            })
        };
        let (cache, value) = match part {
            Part::Text {
                text,
                cache,
                annotations,
            } => {
                if !annotations.is_empty() {
                    let field = format!("messages[{at}].annotations");
                    self.drops.push(field, "openai takes none back");
                }
                (cache, json!({"type": "text", "text": text}))
            }
            Part::Image {
                source,
                detail,
                cache,
            } => {
                let Some(url) = address(source) else {
                    return refuse("pictures go by address or inline");
                };
                let mut image = json!({"url": url});
                if let (Some(detail), Some(image)) = (detail, image.as_object_mut()) {
                    image.insert("detail".to_owned(), detail.as_str().into());
                }
                (cache, json!({"type": "image_url", "image_url": image}))
            }
            Part::Audio { source, cache } => {
                let Some(audio) = audio(source, self.target) else {
                    return refuse("sound goes inline, as wav or mp3");
                };
                (cache, json!({"type": "input_audio", "input_audio": audio}))
            }
            Part::Document {
                source,
                name,
                cache,
            } => {
                let Some(file) = document(source, name.as_deref(), self.target) else {
                    return refuse("files go inline, or by an identifier of the provider's");
                };
                (cache, file)
            }
            Part::Refusal { text } => (&None, json!({"type": "text", "text": text})),
            Part::Thinking { .. } | Part::RedactedThinking { .. } => {
                return refuse("thoughts belong to the assistant");
            }
            Part::ToolCall { .. } | Part::ToolResult { .. } => {
                return refuse("calls belong to the assistant, results to tools");
            }
        };
        self.note_cache(*cache, at);
        Ok(value)
    }

    fn note_cache(&mut self, cache: Option<CacheMark>, at: usize) {
        if cache.is_some() {
            let field = format!("messages[{at}].content.cache_control");
            self.drops.push(field, "openai caches by itself");
        }
    }
}

/// Neither words nor calls.
fn is_nothing(fields: &[(&str, Value)]) -> bool {
    matches!(fields, [("content", Value::String(text))] if text.is_empty())
}

/// Thoughts with a proof that only their maker can check.
const fn is_proven(part: &Part) -> bool {
    match part {
        Part::Thinking { signature, .. } => signature.is_some(),
        Part::RedactedThinking { .. } => true,
        _ => false,
    }
}

/// One text is a string, none is an empty one; otherwise an array of parts.
fn content(mut parts: Vec<Value>) -> Value {
    let alone = parts.len() <= 1;
    match parts.pop() {
        None => "".into(),
        Some(Value::Object(mut part))
            if alone && part.get("type").and_then(Value::as_str) == Some("text") =>
        {
            part.shift_remove("text").unwrap_or_default()
        }
        Some(last) => {
            parts.push(last);
            Value::Array(parts)
        }
    }
}

fn put_text(value: &mut Value, pointer: &str, text: &str) {
    if let Some(place) = value.pointer_mut(pointer) {
        *place = text.into();
    }
}

/// A document's text under its name.
pub(crate) fn titled(name: Option<&str>, text: &str) -> String {
    name.map_or_else(|| text.to_owned(), |name| format!("{name}:\n{text}"))
}

fn address(source: &Source) -> Option<String> {
    match source {
        Source::Url(url) if is_web(url) => Some(url.clone()),
        Source::Base64 { media_type, data } => Some(format!("data:{media_type};base64,{data}")),
        Source::Url(_) | Source::FileId(_) | Source::Text(_) => None,
    }
}

/// An address that anybody can fetch, or that holds what it means.
pub(crate) fn is_web(url: &str) -> bool {
    ["http://", "https://", "data:"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
}

fn audio(source: &Source, target: &Target) -> Option<Value> {
    let Source::Base64 { media_type, data } = source else {
        return None;
    };
    let format = match media_type.as_str() {
        "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
        "audio/mp3" | "audio/mpeg" => "mp3",
        _ => return None,
    };
    if target.strict_fields {
        // Mistral hears what it is.
        return Some(data.as_str().into());
    }
    Some(json!({"data": data, "format": format}))
}

/// A file. `None`: OpenAI itself takes none by its address, as some compatible providers do.
fn document(source: &Source, name: Option<&str>, target: &Target) -> Option<Value> {
    let mut file = Map::new();
    if target.strict_fields {
        return mistral_document(source, name);
    }
    match source {
        Source::Url(url) if target.max_completion_tokens || !is_web(url) => return None,
        // A text is not taken as a file: it goes as one, under its name.
        Source::Text(text) => {
            return Some(json!({"type": "text", "text": titled(name, text)}));
        }
        Source::FileId(id) => file.insert("file_id".to_owned(), id.as_str().into()),
        Source::Url(url) => file.insert("file_data".to_owned(), url.as_str().into()),
        Source::Base64 { media_type, data } => {
            let url = format!("data:{media_type};base64,{data}");
            // OpenAI wants a name beside inline data.
            file.insert("filename".to_owned(), name.unwrap_or("file").into());
            file.insert("file_data".to_owned(), url.into())
        }
    };
    if let Some(name) = name {
        file.insert("filename".to_owned(), name.into());
    }
    Some(json!({"type": "file", "file": file}))
}

/// Mistral's own parts: an address, inline too, or a file that it keeps.
fn mistral_document(source: &Source, name: Option<&str>) -> Option<Value> {
    let url = match source {
        Source::Text(text) => return Some(json!({"type": "text", "text": titled(name, text)})),
        Source::FileId(id) => return Some(json!({"type": "file", "file_id": id})),
        Source::Url(_) | Source::Base64 { .. } => address(source)?,
    };
    let mut part = json!({"type": "document_url", "document_url": url});
    if let (Some(name), Some(fields)) = (name, part.as_object_mut()) {
        fields.insert("document_name".to_owned(), name.into());
    }
    Some(part)
}
