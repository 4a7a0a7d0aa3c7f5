//! A caller's `generationConfig`.

use serde_json::{Map, Value};

use crate::Drops;
use crate::error::Malformed;
use crate::json::Object;
use crate::model::{ChatRequest, Effort, Logprobs, Reasoning, ResponseFormat};

use super::super::config::OWN_FIELDS;
use super::request::note_left;
use super::{message, schema};

/// The most alternatives.
const CHOICES_MAX: u64 = 8;

/// An answer that is one word of several: nobody else has that.
const ENUM: &str = "text/x.enum";

/// The most stop sequences that are read; Gemini itself takes five.
const STOPS_MAX: usize = 16;

/// Reads it.
pub(super) fn decode(
    mut fields: Object,
    request: &mut ChatRequest,
    own: &mut Map<String, Value>,
    drops: &mut Drops,
) -> Result<(), Malformed> {
    if let Some(count) = fields.take_u64("candidateCount", 1)? {
        if count > CHOICES_MAX {
            return Err(fields.invalid("candidateCount", "1 to 8"));
        }
        request.choices = u32::try_from(count).ok();
    }
    request.output_tokens_max = fields.take_u64("maxOutputTokens", 1)?;
    request.sampling.temperature = fields.take_number("temperature")?;
    request.sampling.top_p = fields.take_number("topP")?;
    request.sampling.top_k = fields.take_number("topK")?;
    request.sampling.presence_penalty = fields.take_number("presencePenalty")?;
    request.sampling.frequency_penalty = fields.take_number("frequencyPenalty")?;
    if let Some(seed) = fields.take_number("seed")? {
        let seed = seed.as_i64();
        request.sampling.seed = Some(seed.ok_or_else(|| fields.invalid("seed", "an integer"))?);
    }
    for stop in fields.take_array("stopSequences")?.into_iter().flatten() {
        match stop {
            Value::String(stop) if request.stop.len() < STOPS_MAX => request.stop.push(stop),
            Value::String(_) => return Err(fields.invalid("stopSequences", "at most 16 texts")),
            other => return Err(fields.wrong("stopSequences", "strings", &other)),
        }
    }
    let top = fields.take_u64("logprobs", 0)?;
    if fields.take_bool("responseLogprobs")? == Some(true) {
        request.logprobs = Some(Logprobs {
            enabled: true,
            top: top.and_then(|top| u32::try_from(top).ok()),
        });
    }
    let mut kept = Map::new();
    let mime = fields.take_string("responseMimeType")?;
    if mime.as_deref() == Some(ENUM) {
        // Its schema is kept below, with what else is Gemini's own.
        kept.insert("responseMimeType".to_owned(), ENUM.into());
    } else {
        request.format = format(mime.as_deref(), &mut fields)?;
    }
    if let Some(thinking) = fields.take("thinkingConfig") {
        let thinking = message(thinking, &fields.path("thinkingConfig"))?;
        request.reasoning = Some(reasoning(thinking, drops)?);
    }
    for key in OWN_FIELDS {
        if let Some(value) = fields.take(key) {
            kept.insert(key.to_owned(), value);
        }
    }
    // Text alone is what every model answers with.
    if kept.get("responseModalities") == Some(&Value::from(vec!["TEXT"])) {
        kept.shift_remove("responseModalities");
    }
    if !kept.is_empty() {
        own.insert("generationConfig".to_owned(), Value::Object(kept));
    }
    note_left(&fields, drops);
    Ok(())
}

fn format(mime: Option<&str>, fields: &mut Object) -> Result<Option<ResponseFormat>, Malformed> {
    let lowered = fields.take("responseSchema").map(schema::raise);
    let written = fields.take("responseJsonSchema");
    match (mime, written.or(lowered)) {
        (Some("application/json"), Some(mut schema)) => {
            let name = schema
                .get("title")
                .and_then(Value::as_str)
                .filter(|title| is_name(title))
                .unwrap_or("response")
                .to_owned();
            if let Value::Object(fields) = &mut schema
                && fields.get("title").and_then(Value::as_str) == Some(name.as_str())
            {
                fields.shift_remove("title");
            }
            Ok(Some(ResponseFormat::JsonSchema {
                name,
                description: None,
                schema,
                strict: None,
            }))
        }
        (Some("application/json"), None) => Ok(Some(ResponseFormat::JsonObject)),
        (Some("text/plain"), None) => Ok(Some(ResponseFormat::Text)),
        (None, None) => Ok(None),
        (_, Some(_)) => Err(fields.invalid("responseMimeType", "application/json beside a schema")),
        (Some(_), None) => {
            Err(fields.invalid("responseMimeType", "application/json or text/plain"))
        }
    }
}

/// Whether other dialects take it as a schema's name.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn reasoning(mut fields: Object, drops: &mut Drops) -> Result<Reasoning, Malformed> {
    let budget_tokens = match fields.take_number("thinkingBudget")? {
        None => None,
        // "As the model likes."
        Some(budget) if budget.as_i64() == Some(-1) => None,
        Some(budget) => Some(
            budget
                .as_u64()
                .ok_or_else(|| fields.invalid("thinkingBudget", "-1 or a count of tokens"))?,
        ),
    };
    let level = fields.take_string("thinkingLevel")?;
    let effort = match level.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("thinking_level_unspecified") => None,
        Some("minimal") => Some(Effort::Minimal),
        Some("low") => Some(Effort::Low),
        Some("medium") => Some(Effort::Medium),
        Some("high") => Some(Effort::High),
        Some(_) => return Err(fields.invalid("thinkingLevel", "minimal, low, medium or high")),
    };
    let reasoning = Reasoning {
        effort,
        budget_tokens,
        include: fields.take_bool("includeThoughts")?,
    };
    note_left(&fields, drops);
    Ok(reasoning)
}
