//! A provider's whole answer.

use serde_json::{Map, Value};

use super::items::{Items, shape_error};
use super::{NAME, usage};
use crate::Drops;
use crate::error::DecodeError;
use crate::model::{ChatResponse, Collector, Event, Finish};
use crate::openai::loose;

/// What an answer repeats of its request, and what the model has a name for.
const KNOWN: [&str; 31] = [
    "object",
    "status",
    "error",
    "incomplete_details",
    "background",
    "completed_at",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "output_text",
    "parallel_tool_calls",
    "previous_response_id",
    "conversation",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "presence_penalty",
    "frequency_penalty",
    "reasoning",
    "safety_identifier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
    "billing",
];

/// Reads a provider's whole answer (a 2xx).
///
/// Top-level fields without a name in the model are kept in [`ChatResponse::extra`], but for those that repeat the
/// request; nested ones are named as dropped.
///
/// # Errors
/// [`DecodeError::Shape`] when it is not a response, or one that failed. A failed one holds an error object:
/// `openai::error::decode` reads that.
pub fn decode_response(body: &[u8]) -> Result<(ChatResponse, Drops), DecodeError> {
    let value = sluice_units::json::from_slice(body).map_err(|error| DecodeError::Shape {
        dialect: NAME,
        detail: error.to_string(),
    })?;
    let Value::Object(mut fields) = value else {
        return Err(shape_error("the answer is not an object"));
    };
    let Some(Value::Array(output)) = fields.shift_remove("output") else {
        return Err(shape_error("the answer has no output"));
    };
    if !matches!(status(&fields), "completed" | "incomplete") {
        return Err(shape_error("the answer is not complete"));
    }
    let mut events = vec![start(&mut fields)];
    let mut items = Items::default();
    whole(output, &mut items, &mut events)?;
    end(&mut fields, &mut items, &mut events);
    let mut collector = Collector::new();
    for event in events {
        collector.push(event);
    }
    let mut response = collector
        .finish()
        .map_err(|error| shape_error(&error.to_string()))?;
    fields.retain(|key, value| !value.is_null() && !KNOWN.contains(&key.as_str()));
    response.extra = fields;
    Ok((response, items.drops))
}

/// What has become of the answer; some providers leave it out of whole ones.
fn status(fields: &Map<String, Value>) -> &str {
    fields
        .get("status")
        .and_then(Value::as_str)
        .unwrap_or("completed")
}

/// The event that begins an answer.
pub(super) fn start(fields: &mut Map<String, Value>) -> Event {
    Event::Start {
        id: loose::text(fields, "id").unwrap_or_default(),
        model: loose::text(fields, "model").unwrap_or_default(),
        created: fields
            .shift_remove("created_at")
            .and_then(|created| whole_seconds(&created))
            .filter(|created| *created > 0),
    }
}

/// Azure writes `1741476777.0` (2025-11).
fn whole_seconds(created: &Value) -> Option<i64> {
    created.as_i64().or_else(|| {
        let text = created.as_number()?.to_string();
        text.split_once('.')?.0.parse().ok()
    })
}

/// Items that are whole.
pub(super) fn whole(
    output: Vec<Value>,
    items: &mut Items,
    events: &mut Vec<Event>,
) -> Result<(), DecodeError> {
    for (at, item) in output.into_iter().enumerate() {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        if let Value::Object(item) = item {
            items.done(at, item, events)?;
        }
    }
    Ok(())
}

/// The events that end an answer.
pub(super) fn end(fields: &mut Map<String, Value>, items: &mut Items, events: &mut Vec<Event>) {
    items.end(events);
    events.push(Event::Finish {
        choice: 0,
        finish: finish(fields, items.called()),
    });
    let used = fields.shift_remove("usage");
    events.extend(used.as_ref().and_then(usage::decode).map(Event::Usage));
    events.push(Event::End);
}

fn finish(fields: &Map<String, Value>, called: bool) -> Finish {
    if status(fields) != "incomplete" {
        return if called {
            Finish::ToolCalls
        } else {
            Finish::Stop
        };
    }
    let reason = fields
        .get("incomplete_details")
        .and_then(|details| details.get("reason"))
        .and_then(Value::as_str);
    match reason {
        Some("max_output_tokens" | "max_tokens") => Finish::Length,
        Some("content_filter") => Finish::ContentFilter,
        Some(other) => Finish::Other(other.to_owned()),
        None => Finish::Other("incomplete".to_owned()),
    }
}
