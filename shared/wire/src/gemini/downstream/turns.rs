//! A caller's `systemInstruction` and `contents`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use crate::Drops;
use crate::error::Malformed;
use crate::json::Object;
use crate::model::{Message, Part, Role, Source};

use super::super::{base64, media, names};
use super::message;
use super::request::note_left;

/// Files in the provider's own store: nobody else can fetch them.
const OWN_FILES: &str = "https://generativelanguage.googleapis.com/";

/// Reads the turns.
pub(super) fn decode(
    fields: &mut Object,
    messages: &mut Vec<Message>,
    drops: &mut Drops,
) -> Result<(), Malformed> {
    let mut calls = Calls::default();
    if let Some(system) = fields.take("systemInstruction") {
        let path = fields.path("systemInstruction");
        let mut turn = Turn::new(Role::System, messages, drops, &mut calls);
        match system {
            Value::String(text) => turn.push(Role::System, Part::text(text)),
            content => turn.content(message(content, &path)?)?,
        }
    }
    let contents = match fields.take("contents") {
        Some(Value::Array(contents)) => contents,
        Some(content @ Value::Object(_)) => vec![content],
        Some(other) => return Err(fields.wrong("contents", "an array", &other)),
        None => Vec::new(),
    };
    if contents.is_empty() {
        return Err(fields.missing("contents"));
    }
    let list = fields.path("contents");
    for (index, content) in contents.into_iter().enumerate() {
        let mut content = message(content, &format!("{list}[{index}]"))?;
        let role = match content.take_string("role")?.as_deref() {
            None | Some("" | "user" | "function") => Role::User,
            Some("model") => Role::Assistant,
            Some("system") => Role::System,
            Some(_) => return Err(content.invalid("role", "user or model")),
        };
        Turn::new(role, messages, drops, &mut calls).content(content)?;
    }
    Ok(())
}

/// The calls so far. Google's own client leaves the identifier out of a result that it makes by itself: such a result
/// is that of the first call of its name that has none.
#[derive(Debug, Default)]
struct Calls {
    /// The identifiers by name, in order.
    waiting: BTreeMap<String, VecDeque<String>>,
    /// Identifiers that have their result.
    answered: BTreeSet<String>,
}

impl Calls {
    fn note(&mut self, part: &mut Part) {
        match part {
            Part::ToolCall { id, name, .. } => {
                let waiting = self.waiting.entry(name.clone()).or_default();
                waiting.push_back(id.clone());
            }
            Part::ToolResult {
                id,
                name: Some(name),
                ..
            } if id.is_empty() => {
                let Some(waiting) = self.waiting.get_mut(name.as_str()) else {
                    return;
                };
                while let Some(next) = waiting.pop_front() {
                    if !self.answered.contains(&next) {
                        *id = next;
                        return;
                    }
                }
            }
            Part::ToolResult { id, .. } => {
                self.answered.insert(id.clone());
            }
            _ => {}
        }
    }
}

/// One content, spread over as many messages as it has speakers in the neutral model.
struct Turn<'a> {
    role: Role,
    is_open: bool,
    messages: &'a mut Vec<Message>,
    drops: &'a mut Drops,
    calls: &'a mut Calls,
}

impl<'a> Turn<'a> {
    const fn new(
        role: Role,
        messages: &'a mut Vec<Message>,
        drops: &'a mut Drops,
        calls: &'a mut Calls,
    ) -> Self {
        Self {
            role,
            is_open: false,
            messages,
            drops,
            calls,
        }
    }

    fn push(&mut self, role: Role, part: Part) {
        match self.messages.last_mut() {
            Some(last) if self.is_open && last.role == role && role != Role::Tool => {
                last.parts.push(part);
            }
            _ => {
                self.is_open = true;
                self.messages.push(Message {
                    role,
                    parts: vec![part],
                    name: None,
                });
            }
        }
    }

    fn content(&mut self, mut content: Object) -> Result<(), Malformed> {
        // A system instruction may name a role; it means nothing.
        let _ = content.take("role");
        let list = content.path("parts");
        let parts = match content.take("parts") {
            Some(Value::Array(parts)) => parts,
            Some(part @ Value::Object(_)) => vec![part],
            Some(other) => return Err(content.wrong("parts", "an array", &other)),
            None => Vec::new(),
        };
        let mut read = Vec::with_capacity(parts.len());
        for (index, part) in parts.into_iter().enumerate() {
            read.push(message(part, &format!("{list}[{index}]"))?);
        }
        // Results come first, whatever they were said beside: other dialects let nothing stand before them.
        let is_result = |part: &Object| part.left().any(|key| key == "functionResponse");
        read.sort_by_key(|part| !is_result(part));
        for part in read {
            self.part(part)?;
        }
        note_left(&content, self.drops);
        Ok(())
    }

    fn part(&mut self, mut part: Object) -> Result<(), Malformed> {
        let signature = part.take_string("thoughtSignature")?;
        let is_thought = part.take_bool("thought")? == Some(true);
        let role = self.role;
        if let Some(text) = part.take_string("text")? {
            self.text(text, is_thought, signature);
        } else if let Some(blob) = part.take("inlineData") {
            let blob = message(blob, &part.path("inlineData"))?;
            let media = inline(blob, self.drops)?;
            self.push(role, media);
        } else if let Some(file) = part.take("fileData") {
            let file = message(file, &part.path("fileData"))?;
            let media = stored(file, self.drops)?;
            self.push(role, media);
        } else if let Some(call) = part.take("functionCall") {
            let call = message(call, &part.path("functionCall"))?;
            let mut call = call_part(call, signature, self.drops)?;
            self.calls.note(&mut call);
            self.push(Role::Assistant, call);
        } else if let Some(result) = part.take("functionResponse") {
            let result = message(result, &part.path("functionResponse"))?;
            let mut result = result_part(result, self.drops)?;
            self.calls.note(&mut result);
            self.push(Role::Tool, result);
        } else if [
            "executableCode",
            "codeExecutionResult",
            "toolCall",
            "toolResponse",
        ]
        .iter()
        .all(|key| part.left().all(|left| left != *key))
        {
            return Err(part.missing("text"));
        }
        note_left(&part, self.drops);
        Ok(())
    }

    /// A streamed thought comes back in the pieces in which it was sent, the proof with the last one.
    fn thought(&mut self, text: String, signature: Option<String>) {
        let role = self.role;
        let last = self
            .messages
            .last_mut()
            .filter(|last| self.is_open && last.role == role)
            .and_then(|last| last.parts.last_mut());
        if let Some(Part::Thinking {
            text: begun,
            signature: none @ None,
        }) = last
        {
            begun.push_str(&text);
            *none = signature;
        } else {
            self.push(role, Part::Thinking { text, signature });
        }
    }

    fn text(&mut self, text: String, is_thought: bool, signature: Option<String>) {
        let signature = signature.map(|signature| {
            names::carried(&signature).unwrap_or_else(|| names::own_signature(&signature))
        });
        let role = self.role;
        let redacted = signature.as_deref().and_then(names::carried_redacted);
        if let Some(data) = redacted {
            let data = data.to_owned();
            return self.push(role, Part::RedactedThinking { data });
        }
        if is_thought {
            return self.thought(text, signature);
        }
        if !text.is_empty() || signature.is_none() {
            self.push(role, Part::text(text));
        }
        if signature.is_some() {
            let text = String::new();
            self.push(role, Part::Thinking { text, signature });
        }
    }
}

fn inline(mut blob: Object, drops: &mut Drops) -> Result<Part, Malformed> {
    let media_type = blob.need_string("mimeType")?;
    let source = Source::Base64 {
        data: base64::standard(blob.need_string("data")?),
        media_type: media_type.clone(),
    };
    let name = blob.take_string("displayName")?;
    note_left(&blob, drops);
    Ok(media_part(&media_type, source, name))
}

fn stored(mut file: Object, drops: &mut Drops) -> Result<Part, Malformed> {
    let uri = file.need_string("fileUri")?;
    let said = file.take_string("mimeType")?;
    let name = file.take_string("displayName")?;
    let guessed = media::media_type(&uri, "");
    if said.is_some() && said.as_deref() != guessed {
        drops.push(file.path("mimeType"), "the address tells the type");
    }
    note_left(&file, drops);
    let media_type = said.unwrap_or_else(|| guessed.unwrap_or_default().to_owned());
    let source = if uri.starts_with(OWN_FILES) {
        Source::FileId(uri)
    } else {
        Source::Url(uri)
    };
    Ok(media_part(&media_type, source, name))
}

fn media_part(media_type: &str, source: Source, name: Option<String>) -> Part {
    let family = media_type.split('/').next().unwrap_or_default();
    match family {
        "image" => Part::Image {
            source,
            detail: None,
            cache: None,
        },
        "audio" => Part::Audio {
            source,
            cache: None,
        },
        _ => Part::Document {
            source,
            name,
            cache: None,
        },
    }
}

fn call_part(
    mut call: Object,
    signature: Option<String>,
    drops: &mut Drops,
) -> Result<Part, Malformed> {
    let arguments = match call.take("args") {
        None => "{}".to_owned(),
        Some(args @ Value::Object(_)) => args.to_string(),
        Some(other) => return Err(call.wrong("args", "an object", &other)),
    };
    // "There is none" is no signature.
    let signature = signature.filter(|signature| signature != names::NO_SIGNATURE);
    let part = Part::ToolCall {
        id: call.take_string("id")?.unwrap_or_default(),
        name: call.need_string("name")?,
        arguments,
        signature,
        cache: None,
    };
    note_left(&call, drops);
    Ok(part)
}

fn result_part(mut result: Object, drops: &mut Drops) -> Result<Part, Malformed> {
    let id = result.take_string("id")?.unwrap_or_default();
    let name = Some(result.need_string("name")?);
    let (text, is_error) = match result.take("response") {
        None => (String::new(), false),
        Some(Value::Object(fields)) => match (fields.len(), fields.iter().next()) {
            (1, Some((key, Value::String(text))))
                if matches!(key.as_str(), "output" | "result") =>
            {
                (text.clone(), false)
            }
            (1, Some((key, Value::String(text)))) if key == "error" => (text.clone(), true),
            _ => (Value::Object(fields).to_string(), false),
        },
        Some(other) => return Err(result.wrong("response", "an object", &other)),
    };
    let mut parts = Vec::new();
    if !text.is_empty() {
        parts.push(Part::text(text));
    }
    for (index, part) in result
        .take_array("parts")?
        .into_iter()
        .flatten()
        .enumerate()
    {
        let path = format!("{}[{index}]", result.path("parts"));
        let mut part = message(part, &path)?;
        if let Some(blob) = part.take("inlineData") {
            parts.push(inline(message(blob, &part.path("inlineData"))?, drops)?);
        } else if let Some(file) = part.take("fileData") {
            parts.push(stored(message(file, &part.path("fileData"))?, drops)?);
        }
        note_left(&part, drops);
    }
    note_left(&result, drops);
    Ok(Part::ToolResult {
        id,
        name,
        parts,
        is_error,
        cache: None,
    })
}
