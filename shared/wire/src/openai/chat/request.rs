//! A caller's request.

use serde_json::{Map, Number, Value};

use super::{message, tools};
use crate::error::Malformed;
use crate::json::{self, Object};
use crate::model::{ChatRequest, Logprobs, Sampling};
use crate::openai::fault;
use crate::{Drops, model};

/// The most stop sequences. OpenAI takes four, other providers more.
const STOP_MAX: usize = 16;
/// The most alternatives, as at OpenAI.
const CHOICES_MAX: u32 = 128;
/// The most alternatives to each token, as at OpenAI.
pub(crate) const TOP_LOGPROBS_MAX: u32 = 20;
/// The most labels, as at OpenAI.
const METADATA_MAX: usize = 16;
/// The longest label, in characters, as at OpenAI.
const METADATA_CHARS_MAX: usize = 512;
/// The most biased tokens.
const LOGIT_BIAS_MAX: usize = 1_024;

/// Reads a caller's request strictly.
///
/// Top-level fields without a name in the model are kept in [`ChatRequest::extra`]; nested ones are named as dropped.
///
/// # Errors
/// [`Malformed`] with the code, field and sentence that OpenAI would answer with.
pub fn decode_request(body: &[u8]) -> Result<(ChatRequest, Drops), Malformed> {
    let mut fields = json::parse_object(body)?;
    let mut drops = Drops::new();
    let model = fields.need_string("model")?;
    if model.is_empty() {
        return Err(fault::empty_string("model".to_owned()));
    }
    let messages = message::decode_all(&mut fields, &mut drops)?;
    let (tools, tool_choice) = tools::decode(&mut fields, &mut drops)?;
    let (stream, stream_usage) = streaming(&mut fields, &mut drops)?;
    let request = ChatRequest {
        model,
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: fields.take_bool("parallel_tool_calls")?,
        output_tokens_max: output_tokens_max(&mut fields)?,
        sampling: sampling(&mut fields)?,
        stop: stop(&mut fields)?,
        format: tools::format(&mut fields, &mut drops)?,
        reasoning: tools::reasoning(&mut fields, &mut drops)?,
        logprobs: logprobs(&mut fields)?,
        choices: fault::take_u32(&mut fields, "n", 1, CHOICES_MAX)?,
        user: fields.take_string("user")?,
        metadata: metadata(&mut fields)?,
        stream,
        stream_usage,
        extra: extra(fields),
    };
    Ok((request, drops))
}

/// `null` counts as absent here too.
pub(crate) fn extra(fields: Object) -> Map<String, Value> {
    let mut rest = fields.rest();
    rest.retain(|_, value| !value.is_null());
    rest
}

fn output_tokens_max(fields: &mut Object) -> Result<Option<u64>, Malformed> {
    let old = fields.take_u64("max_tokens", 1)?;
    let new = fields.take_u64("max_completion_tokens", 1)?;
    if let (Some(old), Some(new)) = (old, new)
        && old != new
    {
        return Err(fault::invalid(
            "max_tokens".to_owned(),
            "Setting 'max_tokens' and 'max_completion_tokens' to different values is not supported. Send one of them."
                .to_owned(),
        ));
    }
    Ok(new.or(old))
}

pub(crate) fn sampling(fields: &mut Object) -> Result<Sampling, Malformed> {
    Ok(Sampling {
        temperature: fault::take_decimal(fields, "temperature", 0, 2)?,
        top_p: fault::take_decimal(fields, "top_p", 0, 1)?,
        top_k: whole(fields, "top_k")?.map(Number::from),
        presence_penalty: fault::take_decimal(fields, "presence_penalty", -2, 2)?,
        frequency_penalty: fault::take_decimal(fields, "frequency_penalty", -2, 2)?,
        seed: whole(fields, "seed")?,
        logit_bias: logit_bias(fields)?,
    })
}

fn whole(fields: &mut Object, key: &str) -> Result<Option<i64>, Malformed> {
    let Some(number) = fields.take_number(key)? else {
        return Ok(None);
    };
    match number.as_i64() {
        Some(value) => Ok(Some(value)),
        None => Err(fields.wrong(key, "an integer", &Value::Number(number))),
    }
}

fn logit_bias(fields: &mut Object) -> Result<Map<String, Value>, Malformed> {
    let Some(mut bias) = fields.take_object("logit_bias")? else {
        return Ok(Map::new());
    };
    let keys: Vec<String> = bias.left().map(str::to_owned).collect();
    if keys.len() > LOGIT_BIAS_MAX {
        return Err(fault::array_too_long(
            fields.path("logit_bias"),
            LOGIT_BIAS_MAX,
            keys.len(),
        ));
    }
    let mut out = Map::new();
    for key in keys {
        if let Some(value) = fault::take_decimal(&mut bias, &key, -100, 100)? {
            out.insert(key, Value::Number(value));
        }
    }
    Ok(out)
}

pub(crate) fn stop(fields: &mut Object) -> Result<Vec<String>, Malformed> {
    let items = match fields.take("stop") {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => return Ok(vec![text]),
        Some(Value::Array(items)) => items,
        Some(other) => {
            return Err(fields.wrong("stop", "one of a string or array of strings", &other));
        }
    };
    if items.len() > STOP_MAX {
        return Err(fault::array_too_long(
            fields.path("stop"),
            STOP_MAX,
            items.len(),
        ));
    }
    let mut stop = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        match item {
            Value::String(text) => stop.push(text),
            other => {
                return Err(json::wrong_type(
                    Some(format!("stop[{at}]")),
                    "a string",
                    &other,
                ));
            }
        }
    }
    Ok(stop)
}

fn logprobs(fields: &mut Object) -> Result<Option<Logprobs>, Malformed> {
    let enabled = fields.take_bool("logprobs")?;
    let top = fault::take_u32(fields, "top_logprobs", 0, TOP_LOGPROBS_MAX)?;
    match (enabled, top) {
        (Some(false) | None, Some(1..)) => Err(fault::invalid(
            "top_logprobs".to_owned(),
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.".to_owned(),
        )),
        (None, _) => Ok(None),
        (Some(enabled), top) => Ok(Some(model::Logprobs { enabled, top })),
    }
}

pub(crate) fn streaming(fields: &mut Object, drops: &mut Drops) -> Result<(bool, bool), Malformed> {
    let stream = fields.take_bool("stream")?.unwrap_or(false);
    let Some(mut options) = fields.take_object("stream_options")? else {
        return Ok((stream, false));
    };
    if !stream {
        return Err(fault::invalid(
            "stream_options".to_owned(),
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.".to_owned(),
        ));
    }
    let usage = options.take_bool("include_usage")?.unwrap_or(false);
    // Padding against traffic analysis; the gateway's own frames have none to leave out.
    options.take_bool("include_obfuscation")?;
    message::note_left(&options, drops);
    Ok((stream, usage))
}

pub(crate) fn metadata(fields: &mut Object) -> Result<Map<String, Value>, Malformed> {
    let Some(mut labels) = fields.take_object("metadata")? else {
        return Ok(Map::new());
    };
    let keys: Vec<String> = labels.left().map(str::to_owned).collect();
    if keys.len() > METADATA_MAX {
        return Err(Malformed {
            code: "object_above_max_properties",
            message: format!(
                "Invalid 'metadata': too many properties. Expected an object with at most {METADATA_MAX} properties, but got {} instead.",
                keys.len()
            ),
            param: Some("metadata".to_owned()),
        });
    }
    let mut out = Map::new();
    for key in keys {
        let Some(value) = labels.take_string(&key)? else {
            continue;
        };
        let chars = value.chars().count();
        if chars > METADATA_CHARS_MAX {
            return Err(fault::string_too_long(
                labels.path(&key),
                METADATA_CHARS_MAX,
                chars,
            ));
        }
        out.insert(key, Value::String(value));
    }
    Ok(out)
}
