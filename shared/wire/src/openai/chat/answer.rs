//! A whole answer, read from a provider and written for a caller.

use serde_json::{Map, Value, json};

use super::assembly::Assembly;
use super::stream::said_finish;
use super::{Answered, piece};
use crate::citations::Cited;
use crate::error::DecodeError;
use crate::model::{ChatResponse, Choice, Collector, Event, Part};
use crate::openai::{NAME, finish, loose, usage};
use crate::{Drops, kinds};

/// OpenAI's service tiers.
const TIERS: [&str; 7] = [
    "auto",
    "default",
    "flex",
    "scale",
    "priority",
    "fast",
    "ultrafast",
];

/// Reads a provider's whole answer (a 2xx).
///
/// Top-level fields without a name in the model are kept in [`ChatResponse::extra`]; nested ones are named as dropped.
///
/// # Errors
/// [`DecodeError::Shape`] when it is not a chat completion. A 2xx can also hold an error object:
/// `openai::error::decode` reads that.
pub fn decode_response(body: &[u8]) -> Result<(ChatResponse, Drops), DecodeError> {
    let value = sluice_units::json::from_slice(body).map_err(|error| shape(error.to_string()))?;
    let Value::Object(mut fields) = value else {
        return Err(shape("the answer is not an object".to_owned()));
    };
    let Some(Value::Array(choices)) = fields.shift_remove("choices") else {
        return Err(shape("the answer has no choices".to_owned()));
    };
    let mut drops = Drops::new();
    let mut events = vec![Event::Start {
        id: loose::text(&mut fields, "id").unwrap_or_default(),
        model: loose::text(&mut fields, "model").unwrap_or_default(),
        created: fields
            .shift_remove("created")
            .and_then(|created| created.as_i64())
            .filter(|created| *created > 0),
    }];
    for (at, choice) in choices.into_iter().enumerate() {
        if let Value::Object(choice) = choice {
            let place = u32::try_from(at).unwrap_or(u32::MAX);
            decode_choice(choice, place, &mut events, &mut drops)?;
        }
    }
    let usage = fields.shift_remove("usage");
    events.extend(usage.as_ref().and_then(usage::decode).map(Event::Usage));
    events.push(Event::End);
    let mut collector = Collector::new();
    for event in events {
        collector.push(event);
    }
    let mut response = collector
        .finish()
        .map_err(|error| shape(error.to_string()))?;
    fields.shift_remove("object");
    fields.retain(|_, value| !value.is_null());
    response.extra = fields;
    Ok((response, drops))
}

fn shape(detail: String) -> DecodeError {
    DecodeError::Shape {
        dialect: NAME,
        detail,
    }
}

fn decode_choice(
    mut choice: Map<String, Value>,
    place: u32,
    events: &mut Vec<Event>,
    drops: &mut Drops,
) -> Result<(), DecodeError> {
    let index = loose::count(&mut choice, "index").unwrap_or(place);
    let mut assembly = Assembly::new(index);
    // Azure leaves the message out when its filter took all of it, as a recorded exchange shows.
    let message = loose::object(&mut choice, "message").unwrap_or_default();
    for piece in piece::take(message, true, drops) {
        assembly.push(piece, events)?;
    }
    if let Some(logprobs) = choice.shift_remove("logprobs") {
        assembly.logprobs(logprobs, events);
    }
    if let Some(finish) = said_finish(&mut choice) {
        assembly.note_finish(finish);
    }
    assembly.end(events);
    loose::note_rest(drops, "choices[].", &choice);
    Ok(())
}

/// Writes a whole answer for a caller, and names what the dialect cannot say.
#[must_use]
pub fn encode_response(response: &ChatResponse, answered: &Answered) -> (Vec<u8>, Drops) {
    let mut drops = Drops::new();
    let pick = |own: &str, other: &str| if own.is_empty() { other } else { own }.to_owned();
    let choices: Vec<Value> = response
        .choices
        .iter()
        .map(|choice| encode_choice(choice, answered, &mut drops))
        .collect();
    let mut body = Map::new();
    for (key, value) in [
        ("id", pick(&response.id, &answered.id).into()),
        ("object", "chat.completion".into()),
        (
            "created",
            response.created.unwrap_or(answered.created).into(),
        ),
        ("model", pick(&answered.model, &response.model).into()),
        ("choices", Value::Array(choices)),
    ] {
        body.insert(key.to_owned(), value);
    }
    if let Some(usage) = &response.usage {
        body.insert("usage".to_owned(), usage::encode(usage));
    }
    kinds::note(response.usage.as_ref(), &kinds::OPENAI, &mut drops);
    for (key, value) in &response.extra {
        if key == "service_tier" && !is_tier(value) {
            drops.push(key.clone(), "the provider's word is not one of openai's");
        } else if !body.contains_key(key) {
            body.insert(key.clone(), value.clone());
        }
    }
    (Value::Object(body).to_string().into_bytes(), drops)
}

/// One of OpenAI's words for how a request was served.
pub(crate) fn is_tier(value: &Value) -> bool {
    let word = value.as_str();
    value.is_null() || word.is_some_and(|word| TIERS.contains(&word))
}

fn encode_choice(choice: &Choice, answered: &Answered, drops: &mut Drops) -> Value {
    json!({
        "index": choice.index,
        "message": encode_message(choice, answered, drops),
        "logprobs": choice.logprobs.clone().map_or(Value::Null, whole_logprobs),
        "finish_reason": finish::encode(&choice.finish, drops),
    })
}

/// OpenAI's schema wants both lists.
pub(super) fn whole_logprobs(mut logprobs: Value) -> Value {
    if let Some(fields) = logprobs.as_object_mut() {
        for key in ["content", "refusal"] {
            fields.entry(key).or_insert(Value::Null);
        }
    }
    logprobs
}

fn encode_message(choice: &Choice, answered: &Answered, drops: &mut Drops) -> Value {
    let mut content: Option<String> = None;
    let mut refusal: Option<String> = None;
    let mut cited = Cited::default();
    let mut calls = Vec::new();
    for (number, part) in (0..).zip(&choice.parts) {
        match part {
            Part::Text {
                text, annotations, ..
            } => {
                content.get_or_insert_default().push_str(text);
                cited.append(number, text);
                for one in annotations {
                    if !cited.annotate(number, one) {
                        note_annotation(drops);
                    }
                }
            }
            Part::Refusal { text } => refusal.get_or_insert_default().push_str(text),
            Part::ToolCall { .. } => {
                let number = u32::try_from(calls.len()).unwrap_or(u32::MAX);
                let made_up = || answered.call_id(choice.index, number);
                calls.extend(encode_call(part, made_up));
            }
            Part::Thinking { .. } | Part::RedactedThinking { .. } => {}
            Part::Image { .. }
            | Part::Audio { .. }
            | Part::Document { .. }
            | Part::ToolResult { .. } => note_media(drops),
        }
    }
    let mut message = Map::new();
    message.insert("role".to_owned(), "assistant".into());
    message.insert(
        "content".to_owned(),
        content.map_or(Value::Null, Value::from),
    );
    message.insert(
        "refusal".to_owned(),
        refusal.map_or(Value::Null, Value::from),
    );
    encode_thoughts(&choice.parts, &mut message);
    let found = cited.for_chat();
    if !found.is_empty() {
        message.insert("annotations".to_owned(), Value::Array(found));
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    Value::Object(message)
}

pub(super) fn note_media(drops: &mut Drops) {
    drops.push("choices[].message.content", "openai answers with text only");
}

pub(super) fn note_annotation(drops: &mut Drops) {
    drops.push(
        "choices[].message.annotations",
        "openai knows citations of addresses only",
    );
}

/// A tool call; `None` for any other part.
pub(super) fn encode_call(part: &Part, made_up: impl FnOnce() -> String) -> Option<Value> {
    let Part::ToolCall {
        id,
        name,
        arguments,
        signature,
        ..
    } = part
    else {
        return None;
    };
    let id = if id.is_empty() { made_up() } else { id.clone() };
    let mut call = json!({
        "id": id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    });
    if let (Some(signature), Some(call)) = (signature, call.as_object_mut()) {
        call.insert("extra_content".to_owned(), signed(signature));
    }
    Some(call)
}

/// `extra_content` with a thought signature.
pub(super) fn signed(signature: &str) -> Value {
    json!({"google": {"thought_signature": signature}})
}

/// `reasoning_content`, and `thinking_blocks` where there is something to send back with them.
pub(super) fn encode_thoughts(parts: &[Part], message: &mut Map<String, Value>) {
    let mut all = String::new();
    let mut blocks = Vec::new();
    let mut proof = false;
    for part in parts {
        match part {
            Part::Thinking { text, signature } => {
                all.push_str(text);
                proof |= signature.is_some();
                let mut block = json!({"type": "thinking", "thinking": text});
                if let (Some(signature), Some(block)) = (signature, block.as_object_mut()) {
                    block.insert("signature".to_owned(), signature.as_str().into());
                }
                blocks.push(block);
            }
            Part::RedactedThinking { data } => {
                proof = true;
                blocks.push(json!({"type": "redacted_thinking", "data": data}));
            }
            _ => {}
        }
    }
    if !all.is_empty() {
        message.insert("reasoning_content".to_owned(), all.into());
    }
    if proof {
        message.insert("thinking_blocks".to_owned(), Value::Array(blocks));
    }
}
