//! The input of a request for a provider.
//!
//! One neutral turn becomes several items. What the assistant said goes without identifiers, as text of its own:
//! an identifier that the provider does not know would be refused.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::NAME;
use super::proof::Thought;
use crate::anthropic::names::legal;
use crate::error::EncodeError;
use crate::model::{CacheMark, Message, Part, Role, Source};
use crate::openai::chat::write_message::{is_web, titled};
use crate::openai::ids;
use crate::{Drops, Target};

struct Writer<'a> {
    target: &'a Target,
    drops: &'a mut Drops,
    items: Vec<Value>,
    /// Calls whose identifiers were made up: name and identifier, in order.
    made_up: VecDeque<(String, String)>,
}

/// Writes all messages: the instructions, and the items.
pub(super) fn encode_all(
    messages: &[Message],
    target: &Target,
    drops: &mut Drops,
) -> Result<(Option<String>, Vec<Value>), EncodeError> {
    let instructions = match messages {
        [first, _, ..] => instructions(first),
        _ => None,
    };
    let mut writer = Writer {
        target,
        drops,
        items: Vec::with_capacity(messages.len()),
        made_up: VecDeque::new(),
    };
    let begins = usize::from(instructions.is_some());
    for (at, message) in messages.iter().enumerate().skip(begins) {
        writer.message(message, at)?;
    }
    Ok((instructions, writer.items))
}

/// A first system message that is one plain text.
fn instructions(message: &Message) -> Option<String> {
    match (message, message.parts.as_slice()) {
        (
            Message {
                role: Role::System,
                name: None,
                ..
            },
            [
                Part::Text {
                    text,
                    cache: None,
                    annotations,
                },
            ],
        ) if annotations.is_empty() => Some(text.clone()),
        _ => None,
    }
}

impl Writer<'_> {
    fn message(&mut self, message: &Message, at: usize) -> Result<(), EncodeError> {
        if message.name.is_some() {
            self.drop(at, "name", "responses names no speakers");
        }
        if message.role == Role::Assistant {
            for (number, part) in message.parts.iter().enumerate() {
                self.said(part, at, number)?;
            }
            return Ok(());
        }
        let mut content = Vec::new();
        for part in &message.parts {
            if let Part::ToolResult { .. } = part {
                self.result(part, at)?;
            } else {
                content.push(self.part(part, at)?);
            }
        }
        if content.is_empty() && !message.parts.is_empty() || message.role == Role::Tool {
            if !content.is_empty() {
                // What a tool showed beside its results.
                self.items.push(turn("user", content));
            }
            return Ok(());
        }
        let role = match message.role {
            Role::Developer if self.target.developer_role => "developer",
            Role::System | Role::Developer => "system",
            Role::User | Role::Tool | Role::Assistant => "user",
        };
        self.items.push(turn(role, content));
        Ok(())
    }

    /// One part of the assistant's turn, as an item.
    fn said(&mut self, part: &Part, at: usize, number: usize) -> Result<(), EncodeError> {
        let item = match part {
            Part::Text {
                text,
                cache,
                annotations,
            } => {
                self.note_cache(*cache, at);
                if !annotations.is_empty() {
                    self.drop(at, "annotations", "responses takes none back");
                }
                json!({"type": "message", "role": "assistant", "content": text})
            }
            Part::Refusal { text } => json!({
                "type": "message",
                "id": format!("msg_{at}_{number}"),
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "refusal", "refusal": text}],
            }),
            Part::Thinking { .. } | Part::RedactedThinking { .. } => {
                let Some(item) = self.thought(part, at, number) else {
                    return Ok(());
                };
                item
            }
            Part::ToolCall { .. } => self.call(part, at, number),
            Part::Image { .. }
            | Part::Audio { .. }
            | Part::Document { .. }
            | Part::ToolResult { .. } => {
                return Err(refuse(at, "the assistant speaks, thinks and calls only"));
            }
        };
        self.items.push(item);
        Ok(())
    }

    fn thought(&mut self, part: &Part, at: usize, number: usize) -> Option<Value> {
        if let Some(thought) = Thought::of_part(part) {
            return Some(thought.write());
        }
        let (text, signed) = match part {
            Part::Thinking { text, signature } => (text.as_str(), signature.is_some()),
            _ => ("", true),
        };
        if signed {
            self.drop(at, "thinking", "the signature is another provider's");
        }
        if !self.target.reasoning_content || text.is_empty() {
            if !signed {
                self.drop(at, "thinking", "thoughts without a proof are not accepted");
            }
            return None;
        }
        Some(json!({
            "type": "reasoning",
            "id": format!("rs_{at}_{number}"),
            "summary": [],
            "content": [{"type": "reasoning_text", "text": text}],
        }))
    }

    fn call(&mut self, part: &Part, at: usize, number: usize) -> Value {
        let Part::ToolCall {
            id,
            name,
            arguments,
            signature,
            cache,
        } = part
        else {
            return Value::Null;
        };
        self.note_cache(*cache, at);
        if signature.is_some() {
            self.drop(at, "signature", "the signature is another provider's");
        }
        let id = if id.is_empty() {
            let made_up = format!("call_{at}_{number}");
            self.made_up.push_back((name.clone(), made_up.clone()));
            made_up
        } else {
            id.clone()
        };
        json!({
            "type": "function_call",
            "call_id": ids::for_responses(&id),
            "name": legal(name),
            "arguments": arguments,
        })
    }

    fn result(&mut self, part: &Part, at: usize) -> Result<(), EncodeError> {
        let Part::ToolResult {
            id,
            name,
            parts,
            is_error,
            cache,
        } = part
        else {
            return Ok(());
        };
        if *is_error {
            self.drop(at, "is_error", "responses marks no failed results");
        }
        self.note_cache(*cache, at);
        let mut content = Vec::with_capacity(parts.len());
        for part in parts {
            content.push(self.part(part, at)?);
        }
        let id = self.result_id(id, name.as_deref());
        let mut item = Map::new();
        item.insert("type".to_owned(), "function_call_output".into());
        item.insert("call_id".to_owned(), id.into());
        if let Some(name) = name {
            item.insert("name".to_owned(), legal(name).into());
        }
        item.insert("output".to_owned(), plain(content));
        self.items.push(Value::Object(item));
        Ok(())
    }

    /// The identifier that a result names, or the one that was made up for its call.
    fn result_id(&mut self, id: &str, name: Option<&str>) -> String {
        if !id.is_empty() {
            return ids::for_responses(id).into_owned();
        }
        let found = self
            .made_up
            .iter()
            .position(|(called, _)| name.is_none_or(|name| name == called));
        found
            .and_then(|at| self.made_up.remove(at))
            .map_or_else(|| "call_unknown".to_owned(), |(_, id)| id)
    }

    /// One part of what a person, an operator or a tool says.
    fn part(&mut self, part: &Part, at: usize) -> Result<Value, EncodeError> {
        let (cache, value) = match part {
            Part::Text {
                text,
                cache,
                annotations,
            } => {
                if !annotations.is_empty() {
                    self.drop(at, "annotations", "responses takes none back");
                }
                (*cache, text_part(text))
            }
            Part::Refusal { text } => (None, text_part(text)),
            Part::Image {
                source,
                detail,
                cache,
            } => {
                let (key, place) =
                    image(source).ok_or_else(|| refuse(at, "pictures go by address or inline"))?;
                let detail = detail.as_deref().unwrap_or("auto");
                let image = json!({"type": "input_image", key: place, "detail": detail});
                (*cache, image)
            }
            Part::Document {
                source,
                name,
                cache,
            } => {
                let file = document(source, name.as_deref());
                let file = file.ok_or_else(|| refuse(at, "files go by address or inline"))?;
                (*cache, file)
            }
            Part::Audio { .. } => return Err(refuse(at, "responses takes no sound")),
            Part::Thinking { .. } | Part::RedactedThinking { .. } => {
                return Err(refuse(at, "thoughts belong to the assistant"));
            }
            Part::ToolCall { .. } | Part::ToolResult { .. } => {
                let reason = "calls belong to the assistant, results to tools";
                return Err(refuse(at, reason));
            }
        };
        self.note_cache(cache, at);
        Ok(value)
    }

    fn note_cache(&mut self, cache: Option<CacheMark>, at: usize) {
        if cache.is_some() {
            self.drop(at, "cache_control", "openai caches by itself");
        }
    }

    fn drop(&mut self, at: usize, field: &str, reason: &'static str) {
        self.drops.push(format!("messages[{at}].{field}"), reason);
    }
}

fn refuse(at: usize, reason: &str) -> EncodeError {
    EncodeError {
        dialect: NAME,
        field: format!("messages[{at}].content"),
        reason: reason.to_owned(),
    }
}

fn turn(role: &str, content: Vec<Value>) -> Value {
    json!({"type": "message", "role": role, "content": plain(content)})
}

fn text_part(text: &str) -> Value {
    json!({"type": "input_text", "text": text})
}

/// One text is a string, none is an empty one; otherwise an array of parts.
fn plain(mut parts: Vec<Value>) -> Value {
    let alone = parts.len() <= 1;
    match parts.pop() {
        None => "".into(),
        Some(Value::Object(mut part))
            if alone && part.get("type").and_then(Value::as_str) == Some("input_text") =>
        {
            part.shift_remove("text").unwrap_or_default()
        }
        Some(last) => {
            parts.push(last);
            Value::Array(parts)
        }
    }
}

fn data_url(media_type: &str, data: &str) -> String {
    format!("data:{media_type};base64,{data}")
}

fn image(source: &Source) -> Option<(&'static str, String)> {
    match source {
        Source::Url(url) if is_web(url) => Some(("image_url", url.clone())),
        Source::Base64 { media_type, data } => Some(("image_url", data_url(media_type, data))),
        Source::FileId(id) => Some(("file_id", id.clone())),
        Source::Url(_) | Source::Text(_) => None,
    }
}

fn document(source: &Source, name: Option<&str>) -> Option<Value> {
    let (key, place) = match source {
        // A text is not taken as a file: it goes as one, under its name.
        Source::Text(text) => return Some(text_part(&titled(name, text))),
        Source::Url(url) if !is_web(url) => return None,
        Source::FileId(id) => ("file_id", id.clone()),
        Source::Url(url) => ("file_url", url.clone()),
        Source::Base64 { media_type, data } => ("file_data", data_url(media_type, data)),
    };
    let mut file = Map::new();
    file.insert("type".to_owned(), "input_file".into());
    // A name is wanted beside inline data.
    let name = name.or_else(|| (key == "file_data").then_some("file"));
    if let Some(name) = name {
        file.insert("filename".to_owned(), name.into());
    }
    file.insert(key.to_owned(), place.into());
    Some(Value::Object(file))
}
