//! A caller's request.

use serde_json::{Map, Value};

use super::{input, tools};
use crate::Drops;
use crate::error::Malformed;
use crate::json::{self, Object};
use crate::model::{ChatRequest, Logprobs, Message, Part, Role, Sampling};
use crate::openai::chat::message::note_left;
use crate::openai::chat::request::{TOP_LOGPROBS_MAX, extra, metadata};
use crate::openai::fault;

/// The most kinds of additional output.
const INCLUDE_MAX: usize = 64;

/// `include`: log-probabilities of the answer's tokens.
pub(crate) const INCLUDE_LOGPROBS: &str = "message.output_text.logprobs";

/// Reads a caller's request strictly.
///
/// Top-level fields without a name in the model are kept in [`ChatRequest::extra`]; nested ones are named as dropped.
/// What only a provider of this dialect can do is kept in `extra` too: see [`super::for_other_dialects`].
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
    let mut messages = instructions(&mut fields)?;
    let read = input::decode_all(&mut fields, &mut drops)?;
    messages.extend(read.messages);
    let tools = tools::decode(&mut fields, &mut drops)?;
    let (format, verbosity) = tools::text(&mut fields, &mut drops)?;
    let (logprobs, include) = include(&mut fields)?;
    let stream = streaming(&mut fields, &mut drops)?;
    let mut request = ChatRequest {
        model,
        messages,
        tools: tools.functions,
        tool_choice: tools.choice,
        parallel_tool_calls: fields.take_bool("parallel_tool_calls")?,
        output_tokens_max: fields.take_u64("max_output_tokens", 1)?,
        sampling: Sampling {
            temperature: fault::take_decimal(&mut fields, "temperature", 0, 2)?,
            top_p: fault::take_decimal(&mut fields, "top_p", 0, 1)?,
            ..Sampling::default()
        },
        format,
        reasoning: tools::reasoning(&mut fields, &mut drops)?,
        logprobs,
        user: fields.take_string("user")?,
        metadata: metadata(&mut fields)?,
        stream,
        stream_usage: stream,
        ..ChatRequest::default()
    };
    check_kept(&mut fields, &mut request.extra)?;
    request.extra.append(&mut extra(fields));
    for (key, value) in [
        ("verbosity", verbosity),
        ("include", include),
        ("input", read.native),
        ("tools", tools.native),
        ("tool_choice", tools.native_choice),
    ] {
        request
            .extra
            .extend(value.map(|value| (key.to_owned(), value)));
    }
    Ok((request, drops))
}

/// `instructions` is the first message.
fn instructions(fields: &mut Object) -> Result<Vec<Message>, Malformed> {
    let text = fields.take_string("instructions")?;
    Ok(text
        .map(|text| Message {
            role: Role::System,
            parts: vec![Part::text(text)],
            name: None,
        })
        .into_iter()
        .collect())
}

/// Reads `include`: what the model has a name for, and the rest as it was written.
fn include(fields: &mut Object) -> Result<(Option<Logprobs>, Option<Value>), Malformed> {
    let top = fault::take_u32(fields, "top_logprobs", 0, TOP_LOGPROBS_MAX)?;
    let items = fault::take_array(fields, "include", INCLUDE_MAX)?;
    let mut wanted = false;
    let mut rest = Vec::new();
    for (at, item) in items.into_iter().flatten().enumerate() {
        match item {
            Value::String(word) if word == INCLUDE_LOGPROBS => wanted = true,
            word @ Value::String(_) => rest.push(word),
            other => {
                let path = Some(format!("include[{at}]"));
                return Err(json::wrong_type(path, "a string", &other));
            }
        }
    }
    let logprobs =
        (wanted || top.is_some_and(|top| top > 0)).then_some(Logprobs { enabled: true, top });
    let rest = (!rest.is_empty()).then_some(Value::Array(rest));
    Ok((logprobs, rest))
}

fn streaming(fields: &mut Object, drops: &mut Drops) -> Result<bool, Malformed> {
    let stream = fields.take_bool("stream")?.unwrap_or(false);
    if let Some(mut options) = fields.take_object("stream_options")? {
        if !stream {
            return Err(fault::invalid(
                "stream_options".to_owned(),
                "The 'stream_options' parameter is only allowed when 'stream' is enabled."
                    .to_owned(),
            ));
        }
        // Padding against traffic analysis; the gateway's own events have none to leave out.
        options.take_bool("include_obfuscation")?;
        note_left(&options, drops);
    }
    Ok(stream)
}

/// Checks the types of what is kept as it is.
fn check_kept(fields: &mut Object, kept: &mut Map<String, Value>) -> Result<(), Malformed> {
    for key in [
        "previous_response_id",
        "service_tier",
        "truncation",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
    ] {
        let text = fields.take_string(key)?;
        kept.extend(text.map(|text| (key.to_owned(), Value::String(text))));
    }
    for key in ["store", "background"] {
        let flag = fields.take_bool(key)?;
        kept.extend(flag.map(|flag| (key.to_owned(), Value::Bool(flag))));
    }
    if kept.get("background") == Some(&Value::Bool(true)) {
        return Err(Malformed {
            code: "unsupported_parameter",
            message: "An answer in the background could neither be fetched nor be counted. Leave out 'background'.".to_owned(),
            param: Some("background".to_owned()),
        });
    }
    Ok(())
}
