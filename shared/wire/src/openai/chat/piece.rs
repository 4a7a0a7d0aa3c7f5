//! What one message or delta of a provider says, taken apart into pieces in their order of sense:
//! thoughts, text, refusal, annotations, calls.
//!
//! All the ways in which compatible providers spell the same are known here and nowhere else.

use serde_json::{Map, Value};

use crate::Drops;
use crate::openai::loose;

/// One thing said.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    /// Thoughts. A block with a signature is whole, and may repeat text that was streamed before.
    Thinking {
        text: String,
        signature: Option<String>,
    },
    /// Encrypted thoughts.
    Redacted(String),
    /// Text.
    Text(String),
    /// The model declines.
    Refusal(String),
    /// An annotation of the text.
    Annotation(Value),
    /// A tool call, or more of one.
    Call(CallPiece),
}

/// A tool call, or more of one. Every text may be empty.
#[derive(Debug, Default, PartialEq)]
pub(super) struct CallPiece {
    pub(super) index: Option<u32>,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
    pub(super) signature: Option<String>,
}

/// Takes a message (`whole`) or a delta apart.
pub(super) fn take(mut fields: Map<String, Value>, whole: bool, drops: &mut Drops) -> Vec<Piece> {
    let mut pieces = Vec::new();
    fields.shift_remove("role");
    thoughts(&mut fields, whole, &mut pieces);
    match fields.shift_remove("content") {
        Some(Value::String(text)) => push_text(&mut pieces, text),
        Some(Value::Array(parts)) => {
            for part in parts {
                content_part(part, &mut pieces, drops);
            }
        }
        _ => {}
    }
    if let Some(text) = loose::some_text(&mut fields, "refusal") {
        pieces.push(Piece::Refusal(text));
    }
    for annotation in loose::array(&mut fields, "annotations") {
        pieces.push(Piece::Annotation(annotation));
    }
    for (at, call) in loose::array(&mut fields, "tool_calls")
        .into_iter()
        .enumerate()
    {
        if let Value::Object(call) = call {
            // A whole message's calls are told apart by their place, whatever indexes they carry.
            let place = whole.then(|| u32::try_from(at).unwrap_or(u32::MAX));
            pieces.push(Piece::Call(call_piece(call, place, drops)));
        }
    }
    if let Some(mut function) = loose::object(&mut fields, "function_call") {
        pieces.push(Piece::Call(CallPiece {
            index: Some(0),
            name: loose::text(&mut function, "name").unwrap_or_default(),
            arguments: arguments(&mut function),
            ..CallPiece::default()
        }));
    }
    // Mistral repeats the choice's index in the delta, as a recorded exchange shows.
    fields.shift_remove("index");
    loose::note_rest(drops, "choices[].message.", &fields);
    pieces
}

fn push_text(pieces: &mut Vec<Piece>, text: String) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
}

fn thoughts(fields: &mut Map<String, Value>, whole: bool, pieces: &mut Vec<Piece>) {
    // DeepSeek and many others say `reasoning_content`; Groq, OpenRouter and vLLM `reasoning`.
    let first = loose::some_text(fields, "reasoning_content");
    let second = loose::some_text(fields, "reasoning");
    let text = first.or(second);
    let mut blocks = loose::array(fields, "thinking_blocks");
    // OpenRouter's form of the same, as recorded exchanges show.
    let details = loose::array(fields, "reasoning_details");
    if blocks.is_empty() {
        blocks = details;
    }
    let blocks: Vec<Piece> = blocks.into_iter().filter_map(thinking_block).collect();
    if whole && !blocks.is_empty() {
        pieces.extend(blocks);
        return;
    }
    let has_text = text.is_some();
    pieces.extend(text.map(|text| Piece::Thinking {
        text,
        signature: None,
    }));
    pieces.extend(blocks.into_iter().filter_map(|block| match block {
        // The delta said this text already.
        Piece::Thinking { signature, .. } if has_text => {
            signature.map(|signature| Piece::Thinking {
                text: String::new(),
                signature: Some(signature),
            })
        }
        other => Some(other),
    }));
}

fn thinking_block(value: Value) -> Option<Piece> {
    let Value::Object(mut fields) = value else {
        return None;
    };
    match loose::text(&mut fields, "type")?.as_str() {
        "thinking" | "reasoning.text" | "reasoning.summary" => {
            let text = ["thinking", "text", "summary"]
                .into_iter()
                .find_map(|key| loose::some_text(&mut fields, key))
                .unwrap_or_default();
            let signature = loose::some_text(&mut fields, "signature");
            (!text.is_empty() || signature.is_some()).then_some(Piece::Thinking { text, signature })
        }
        "redacted_thinking" | "reasoning.encrypted" => {
            loose::some_text(&mut fields, "data").map(Piece::Redacted)
        }
        _ => None,
    }
}

/// One element of a `content` array, as Mistral's reasoning models send it; recorded exchanges show it.
fn content_part(value: Value, pieces: &mut Vec<Piece>, drops: &mut Drops) {
    let mut fields = match value {
        Value::String(text) => return push_text(pieces, text),
        Value::Object(fields) => fields,
        _ => return,
    };
    match loose::text(&mut fields, "type").as_deref() {
        Some("text") => push_text(pieces, loose::text(&mut fields, "text").unwrap_or_default()),
        Some("refusal") => {
            pieces.extend(loose::some_text(&mut fields, "refusal").map(Piece::Refusal));
        }
        Some("thinking") => {
            let signature = loose::some_text(&mut fields, "signature");
            let mut text = String::new();
            match fields.shift_remove("thinking") {
                Some(Value::String(all)) => text = all,
                Some(Value::Array(parts)) => {
                    for part in parts {
                        if let Some(more) = part.get("text").and_then(Value::as_str) {
                            text.push_str(more);
                        }
                    }
                }
                _ => {}
            }
            if !text.is_empty() || signature.is_some() {
                pieces.push(Piece::Thinking { text, signature });
            }
        }
        // Mistral's references to what a tool returned, and whatever comes next.
        Some(other) => drops.push(
            format!("choices[].message.content[].{other}"),
            "unknown kind of content",
        ),
        None => {}
    }
}

fn call_piece(mut fields: Map<String, Value>, place: Option<u32>, drops: &mut Drops) -> CallPiece {
    let index = loose::count(&mut fields, "index");
    let id = loose::text(&mut fields, "id").unwrap_or_default();
    let mut function = loose::object(&mut fields, "function").unwrap_or_default();
    let name = loose::text(&mut function, "name").unwrap_or_default();
    let arguments = arguments(&mut function);
    fields.shift_remove("type");
    let mut signature = None;
    if let Some(mut extra) = loose::object(&mut fields, "extra_content") {
        if let Some(mut google) = loose::object(&mut extra, "google") {
            signature = loose::some_text(&mut google, "thought_signature");
        }
        loose::note_rest(
            drops,
            "choices[].message.tool_calls[].extra_content.",
            &extra,
        );
    }
    loose::note_rest(drops, "choices[].message.tool_calls[].", &fields);
    CallPiece {
        index: place.or(index),
        id,
        name,
        arguments,
        signature,
    }
}

/// JSON text; some providers send the object itself.
fn arguments(function: &mut Map<String, Value>) -> String {
    match function.shift_remove("arguments") {
        Some(Value::String(text)) => text,
        Some(value @ Value::Object(_)) => value.to_string(),
        _ => String::new(),
    }
}
