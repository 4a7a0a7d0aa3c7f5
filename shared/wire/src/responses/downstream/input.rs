//! A caller's `input`: items to turns.
//!
//! Items that the assistant said one after another (reasoning, messages, calls) are one turn.
//! Items that only a provider of this dialect understands are not read, but their places are kept.

use serde_json::{Value, json};

use super::content;
use crate::Drops;
use crate::error::Malformed;
use crate::json::Object;
use crate::model::{Message, Part, Role};
use crate::openai::chat::message::note_left;
use crate::openai::chat::part::cache_mark;
use crate::openai::fault;
use crate::responses::proof::{BREAK, Carried, Kind, Thought, carried};
use sluice_units::SortedSet;

/// The longest input, in items.
const ITEMS_MAX: usize = 10_000;
/// The most texts of one reasoning item.
const TEXTS_MAX: usize = 4_096;

const ROLES: [&str; 4] = ["user", "assistant", "system", "developer"];

/// What stands for the input elsewhere.
const STATE_KEYS: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) messages: Vec<Message>,
    /// The places and types of items that are this dialect's own.
    pub(super) native: Option<Value>,
}

/// Takes and reads the whole input.
pub(super) fn decode_all(fields: &mut Object, drops: &mut Drops) -> Result<Input, Malformed> {
    let items = match fields.take("input") {
        None if fields.left().any(|key| STATE_KEYS.contains(&key)) => return Ok(Input::default()),
        None => return Err(fields.missing("input")),
        Some(Value::String(text)) => {
            return Ok(Input {
                messages: vec![Message {
                    role: Role::User,
                    parts: vec![Part::text(text)],
                    name: None,
                }],
                native: None,
            });
        }
        Some(Value::Array(items)) => items,
        Some(other) => {
            return Err(fields.wrong("input", "one of a string or array of objects", &other));
        }
    };
    if items.len() > ITEMS_MAX {
        let path = fields.path("input");
        return Err(fault::array_too_long(path, ITEMS_MAX, items.len()));
    }
    let mut reader = Reader {
        drops,
        messages: Vec::with_capacity(items.len()),
        signatures: Vec::new(),
        native: Vec::new(),
        lead: leading(&items),
    };
    for (at, item) in items.into_iter().enumerate() {
        reader.item(item, at)?;
    }
    reader.sign_calls();
    Ok(Input {
        messages: reader.messages,
        native: (!reader.native.is_empty()).then_some(Value::Array(reader.native)),
    })
}

/// The items that stand before calls of the same turn, with nothing but items of their kind between.
fn leading(items: &[Value]) -> SortedSet<usize> {
    let mut lead = SortedSet::new();
    let mut is_before_calls = false;
    for (at, item) in items.iter().enumerate().rev() {
        match item.get("type").and_then(Value::as_str) {
            Some("function_call") => is_before_calls = true,
            Some("item_reference") if is_before_calls => drop(lead.insert(at)),
            _ => is_before_calls = false,
        }
    }
    lead
}

struct Reader<'a> {
    drops: &'a mut Drops,
    messages: Vec<Message>,
    signatures: Vec<(String, String)>,
    native: Vec<Value>,
    /// The items that only lead to calls.
    lead: SortedSet<usize>,
}

impl Reader<'_> {
    fn item(&mut self, item: Value, at: usize) -> Result<(), Malformed> {
        let mut fields = Object::new(item, &format!("input[{at}]"))?;
        let kind = match fields.take_string("type")? {
            Some(kind) => kind,
            None if fields.left().any(|key| key == "role") => "message".to_owned(),
            None if fields.left().any(|key| key == "id") => "item_reference".to_owned(),
            None => return Err(fields.missing("type")),
        };
        match kind.as_str() {
            "message" => self.message(fields),
            "function_call" => self.call(fields),
            "function_call_output" => self.result(fields),
            "reasoning" => self.reasoning(fields),
            _ => {
                let id = fields.take_string("id")?;
                let leads = self.lead.contains(&at);
                self.native
                    .push(json!({"index": at, "type": kind, "id": id, "leads": leads}));
                Ok(())
            }
        }
    }

    fn message(&mut self, mut fields: Object) -> Result<(), Malformed> {
        let role = fields.need_string("role")?;
        // Names of the provider's own, which nobody needs to send back.
        fields.take("id");
        fields.take("status");
        let (role, allowed): (Role, &[&str]) = match role.as_str() {
            "user" => (Role::User, &content::USER),
            "system" => (Role::System, &content::TEXT),
            "developer" => (Role::Developer, &content::TEXT),
            "assistant" => (Role::Assistant, &content::ASSISTANT),
            other => return Err(fault::unsupported(fields.path("role"), other, &ROLES)),
        };
        let parts = content::take(&mut fields, "content", allowed, self.drops)?
            .ok_or_else(|| fields.missing("content"))?;
        note_left(&fields, self.drops);
        if role == Role::Assistant {
            self.said(parts);
        } else {
            let name = None;
            self.messages.push(Message { role, parts, name });
        }
        Ok(())
    }

    fn call(&mut self, mut fields: Object) -> Result<(), Malformed> {
        let id = fields.need_string("call_id")?;
        let name = fields.need_string("name")?;
        let arguments = fields.need_string("arguments")?;
        let cache = cache_mark(&mut fields, self.drops)?;
        fields.take("id");
        fields.take("status");
        // What OpenAI's clients made of the arguments.
        fields.take("parsed_arguments");
        note_left(&fields, self.drops);
        self.said(vec![Part::ToolCall {
            id,
            name,
            // A call without arguments is `{}`.
            arguments: if arguments.is_empty() {
                "{}".to_owned()
            } else {
                arguments
            },
            signature: None,
            cache,
        }]);
        Ok(())
    }

    fn result(&mut self, mut fields: Object) -> Result<(), Malformed> {
        let id = fields.need_string("call_id")?;
        let name = fields.take_string("name")?;
        let parts = content::take(&mut fields, "output", &content::RESULT, self.drops)?
            .ok_or_else(|| fields.missing("output"))?;
        let cache = cache_mark(&mut fields, self.drops)?;
        fields.take("id");
        fields.take("status");
        note_left(&fields, self.drops);
        self.messages.push(Message {
            role: Role::Tool,
            parts: vec![Part::ToolResult {
                id,
                name,
                parts,
                is_error: false,
                cache,
            }],
            name: None,
        });
        Ok(())
    }

    fn reasoning(&mut self, mut fields: Object) -> Result<(), Malformed> {
        let id = fields.take_string("id")?.unwrap_or_default();
        let encrypted = fields
            .take_string("encrypted_content")?
            .filter(|text| !text.is_empty());
        let mut texts = shown(&mut fields, "summary", Kind::Summary)?;
        texts.extend(shown(&mut fields, "content", Kind::Content)?);
        fields.take("status");
        note_left(&fields, self.drops);
        let joined = || {
            let texts: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
            texts.join(BREAK)
        };
        let part = match encrypted.as_deref().map(carried) {
            Some(Carried::Thinking(signature)) => Some(Part::Thinking {
                text: joined(),
                signature: Some(signature.to_owned()),
            }),
            Some(Carried::Redacted(data)) => Some(Part::RedactedThinking {
                data: data.to_owned(),
            }),
            Some(Carried::Call { id, signature }) => {
                self.signatures.push((id, signature));
                None
            }
            Some(Carried::Own(_)) | None => Thought {
                id,
                texts,
                encrypted,
            }
            .into_part(),
        };
        self.said(part.into_iter().collect());
        Ok(())
    }

    /// Adds to the assistant's turn.
    fn said(&mut self, mut parts: Vec<Part>) {
        if parts.is_empty() {
            return;
        }
        match self.messages.last_mut() {
            Some(last) if last.role == Role::Assistant => last.parts.append(&mut parts),
            _ => self.messages.push(Message {
                role: Role::Assistant,
                parts,
                name: None,
            }),
        }
    }

    /// Puts the signatures that travelled beside calls back on them.
    fn sign_calls(&mut self) {
        for (wanted, proof) in std::mem::take(&mut self.signatures) {
            let mut parts = self.messages.iter_mut().flat_map(|turn| &mut turn.parts);
            let signed = parts.find_map(|part| match part {
                Part::ToolCall { id, signature, .. } if *id == wanted => Some(signature),
                _ => None,
            });
            match signed {
                Some(signature) => *signature = Some(proof),
                None => self
                    .drops
                    .push("input[].encrypted_content", "its call is missing"),
            }
        }
    }
}

/// The texts of a reasoning item.
fn shown(fields: &mut Object, key: &str, kind: Kind) -> Result<Vec<(Kind, String)>, Malformed> {
    let items = fault::take_array(fields, key, TEXTS_MAX)?;
    let path = fields.path(key);
    items
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(at, item)| {
            let mut item = Object::new(item, &format!("{path}[{at}]"))?;
            Ok((kind, item.need_string("text")?))
        })
        .collect()
}
