//! What the model said in an earlier turn, as a caller sends it back.

use serde_json::Value;

use super::message::{Functions, note_left};
use super::part;
use crate::Drops;
use crate::error::Malformed;
use crate::json::Object;
use crate::model::Part;
use crate::openai::fault;

/// The most tool calls of one turn.
const TOOL_CALLS_MAX: usize = 1_024;
/// The most thinking blocks of one turn.
const THINKING_BLOCKS_MAX: usize = 1_024;

/// Reads an assistant's message: thoughts first, then what was said, then the calls.
pub(super) fn decode(
    fields: &mut Object,
    path: &str,
    functions: &mut Functions,
    drops: &mut Drops,
) -> Result<Vec<Part>, Malformed> {
    let mut parts = thoughts(fields, drops)?;
    let content = part::take_content(fields, &part::ASSISTANT, drops)?;
    let said_nothing = content.is_none();
    // Beside calls, no text and an empty text are the same.
    parts.extend(
        content.into_iter().flatten().filter(
            |part| !matches!(part, Part::Text { text, cache: None, .. } if text.is_empty()),
        ),
    );
    annotate(
        &mut parts,
        fault::take_array(fields, "annotations", TOOL_CALLS_MAX)?,
    );
    if let Some(text) = fields.take_string("refusal")? {
        parts.push(Part::Refusal { text });
    }
    let calls = fault::take_array(fields, "tool_calls", TOOL_CALLS_MAX)?;
    if calls.as_ref().is_some_and(Vec::is_empty) {
        return Err(fault::empty_array(fields.path("tool_calls")));
    }
    let called = calls.is_some();
    for (at, call) in calls.into_iter().flatten().enumerate() {
        let path = format!("{}[{at}]", fields.path("tool_calls"));
        parts.extend(tool_call(call, &path, drops)?);
    }
    if let Some(mut call) = fields.take_object("function_call")? {
        let name = call.need_string("name")?;
        parts.push(Part::ToolCall {
            id: functions.call(&name, path),
            name,
            arguments: arguments(call.need_string("arguments")?),
            signature: None,
            cache: None,
        });
        note_left(&call, drops);
    }
    let has_audio = fields.left().any(|key| key == "audio");
    if said_nothing && !called && parts.is_empty() && !has_audio {
        return Err(fields.invalid(
            "content",
            "a string or an array of parts, unless the message has 'tool_calls'",
        ));
    }
    Ok(parts)
}

fn thoughts(fields: &mut Object, drops: &mut Drops) -> Result<Vec<Part>, Malformed> {
    let text = fields.take_string("reasoning_content")?;
    let other = fields.take_string("reasoning")?;
    let Some(blocks) = fault::take_array(fields, "thinking_blocks", THINKING_BLOCKS_MAX)? else {
        return Ok(text
            .or(other)
            .filter(|text| !text.is_empty())
            .map(|text| Part::Thinking {
                text,
                signature: None,
            })
            .into_iter()
            .collect());
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (at, block) in blocks.into_iter().enumerate() {
        let path = format!("{}[{at}]", fields.path("thinking_blocks"));
        let mut block = Object::new(block, &path)?;
        let kind = block.need_string("type")?;
        // The block's number, which streams need.
        block.take("index");
        parts.push(match kind.as_str() {
            "thinking" => part::thinking(&mut block)?,
            "redacted_thinking" => Part::RedactedThinking {
                data: block.need_string("data")?,
            },
            other => {
                let kinds = ["thinking", "redacted_thinking"];
                return Err(fault::unsupported(block.path("type"), other, &kinds));
            }
        });
        note_left(&block, drops);
    }
    Ok(parts)
}

fn annotate(parts: &mut [Part], found: Option<Vec<Value>>) {
    let text = parts.iter_mut().find_map(|part| match part {
        Part::Text { annotations, .. } => Some(annotations),
        _ => None,
    });
    if let (Some(annotations), Some(found)) = (text, found) {
        *annotations = found;
    }
}

fn tool_call(value: Value, path: &str, drops: &mut Drops) -> Result<Option<Part>, Malformed> {
    let mut fields = Object::new(value, path)?;
    let id = fields.need_string("id")?;
    let kind = fields.take_string("type")?;
    match kind.as_deref() {
        None | Some("function") => {}
        Some("custom") => {
            drops.push(path.to_owned(), "calls of custom tools are not supported");
            return Ok(None);
        }
        Some(other) => {
            let kinds = ["function", "custom"];
            return Err(fault::unsupported(fields.path("type"), other, &kinds));
        }
    }
    let mut function = fields
        .take_object("function")?
        .ok_or_else(|| fields.missing("function"))?;
    let name = function.need_string("name")?;
    let arguments = arguments(function.need_string("arguments")?);
    let signature = thought_signature(&mut fields, drops)?;
    let cache = part::cache_mark(&mut fields, drops)?;
    // The call's number, which clients keep from streams.
    fields.take("index");
    note_left(&function, drops);
    note_left(&fields, drops);
    Ok(Some(Part::ToolCall {
        id,
        name,
        arguments,
        signature,
        cache,
    }))
}

/// Google's own extension of the dialect: `extra_content.google.thought_signature`.
fn thought_signature(fields: &mut Object, drops: &mut Drops) -> Result<Option<String>, Malformed> {
    let Some(mut extra) = fields.take_object("extra_content")? else {
        return Ok(None);
    };
    let mut signature = None;
    if let Some(mut google) = extra.take_object("google")? {
        signature = google.take_string("thought_signature")?;
        note_left(&google, drops);
    }
    note_left(&extra, drops);
    Ok(signature)
}

/// A call without arguments is `{}`.
fn arguments(text: String) -> String {
    if text.is_empty() {
        "{}".to_owned()
    } else {
        text
    }
}
