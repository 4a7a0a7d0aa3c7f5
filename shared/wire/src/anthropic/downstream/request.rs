//! A caller's Messages request in the neutral model.

use serde_json::Value;

use super::UNSUPPORTED;
use super::content::{cache, content, text_or_blocks};
use crate::Drops;
use crate::anthropic::error::THREAD_UNSUPPORTED;
use crate::error::Malformed;
use crate::json::{Object, parse_object};
use crate::model::{
    ChatRequest, Effort, Message, Part, Reasoning, ResponseFormat, Role, Sampling, Tool, ToolChoice,
};

/// Structured outputs carry no name; other dialects want one.
const SCHEMA_NAME: &str = "answer";

/// Reads a request for an answer, and names what the neutral model cannot hold.
///
/// Top-level fields that it has no name for stay in `extra`.
///
/// # Errors
/// [`Malformed`], with the field at fault.
pub fn decode_request(body: &[u8]) -> Result<(ChatRequest, Drops), Malformed> {
    let mut object = parse_object(body)?;
    let limit = object.take_u64("max_tokens", 1)?;
    let limit = limit.ok_or_else(|| object.missing("max_tokens"))?;
    let (mut request, drops) = decode(object)?;
    request.output_tokens_max = Some(limit);
    Ok((request, drops))
}

/// Reads a request for a count of tokens: a request for an answer without its limit.
///
/// # Errors
/// [`Malformed`], with the field at fault.
pub fn decode_count_tokens(body: &[u8]) -> Result<(ChatRequest, Drops), Malformed> {
    decode(parse_object(body)?)
}

fn decode(mut object: Object) -> Result<(ChatRequest, Drops), Malformed> {
    if object.take_object("thread")?.is_some() {
        return Err(Malformed {
            code: THREAD_UNSUPPORTED,
            message: "The gateway keeps no threads. Send the whole conversation in 'messages' and leave out 'thread'.".to_owned(),
            param: Some("thread".to_owned()),
        });
    }
    let mut drops = Drops::new();
    let mut request = ChatRequest {
        model: object.need_string("model")?,
        messages: messages(&mut object, &mut drops)?,
        tools: tools(&mut object, &mut drops)?,
        sampling: Sampling {
            temperature: object.take_number("temperature")?,
            top_p: object.take_number("top_p")?,
            top_k: object.take_number("top_k")?,
            ..Sampling::default()
        },
        stop: strings(&mut object, "stop_sequences")?,
        stream: object.take_bool("stream")?.unwrap_or(false),
        stream_usage: true,
        ..ChatRequest::default()
    };
    if let Some(choice) = object.take_object("tool_choice")? {
        tool_choice(choice, &mut request)?;
    }
    let mut config = object.take_object("output_config")?;
    request.reasoning = reasoning(&mut object, config.as_mut(), &mut drops)?;
    let format = match config.as_mut() {
        Some(config) => config.take_object("format")?,
        None => None,
    };
    let format = match format {
        Some(format) => Some(format),
        None => object.take_object("output_format")?,
    };
    request.format = format.map(response_format).transpose()?;
    if let Some(mut metadata) = object.take_object("metadata")? {
        request.user = metadata.take_string("user_id")?;
        request.metadata = metadata.rest();
    }
    request.extra = object.rest();
    Ok((request, drops))
}

fn strings(object: &mut Object, key: &str) -> Result<Vec<String>, Malformed> {
    let items = object.take_array(key)?.unwrap_or_default();
    let texts = items.into_iter().map(|item| match item {
        Value::String(text) => Ok(text),
        other => Err(object.wrong(key, "an array of strings", &other)),
    });
    texts.collect()
}

fn messages(object: &mut Object, drops: &mut Drops) -> Result<Vec<Message>, Malformed> {
    let mut messages = Vec::new();
    if let Some(system) = object.take("system") {
        let parts = text_or_blocks(system, "system", drops)?;
        messages.push(message(Role::System, parts));
    }
    let turns = object.take_array("messages")?;
    let turns = turns.ok_or_else(|| object.missing("messages"))?;
    for (index, turn) in turns.into_iter().enumerate() {
        let mut turn = Object::new(turn, &format!("messages[{index}]"))?;
        let role = match turn.need_string("role")?.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => return Err(turn.invalid("role", "one of 'user', 'assistant', 'system'")),
        };
        let parts = content(&mut turn, drops)?;
        name_left(&turn, drops);
        add_turn(role, parts, &mut messages);
    }
    Ok(messages)
}

/// Results stand in turns of their own, one each, as the neutral model has them.
fn add_turn(role: Role, parts: Vec<Part>, messages: &mut Vec<Message>) {
    if role != Role::User {
        messages.push(message(role, parts));
        return;
    }
    let mut rest = Vec::new();
    for part in parts {
        if matches!(part, Part::ToolResult { .. }) {
            if !rest.is_empty() {
                messages.push(message(role, std::mem::take(&mut rest)));
            }
            messages.push(message(Role::Tool, vec![part]));
        } else {
            rest.push(part);
        }
    }
    let is_bare = messages.last().is_none_or(|last| last.role != Role::Tool);
    if !rest.is_empty() || is_bare {
        messages.push(message(role, rest));
    }
}

const fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        parts,
        name: None,
    }
}

fn tools(object: &mut Object, drops: &mut Drops) -> Result<Vec<Tool>, Malformed> {
    let mut tools = Vec::new();
    let items = object.take_array("tools")?.unwrap_or_default();
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("tools[{index}]");
        let mut item = Object::new(item, &path)?;
        let kind = item.take_string("type")?;
        if kind.is_some_and(|kind| kind != "custom") {
            drops.push(path, "the provider's own tools have no counterpart");
            continue;
        }
        let schema = item.take_object("input_schema")?;
        let schema = schema.ok_or_else(|| item.missing("input_schema"))?;
        tools.push(Tool {
            name: item.need_string("name")?,
            description: item.take_string("description")?,
            parameters: Some(Value::Object(schema.rest())),
            strict: item.take_bool("strict")?,
            cache: cache(&mut item)?,
        });
        name_left(&item, drops);
    }
    Ok(tools)
}

fn tool_choice(mut choice: Object, request: &mut ChatRequest) -> Result<(), Malformed> {
    if choice.take_bool("disable_parallel_tool_use")? == Some(true) {
        request.parallel_tool_calls = Some(false);
    }
    request.tool_choice = Some(match choice.need_string("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(choice.need_string("name")?),
        _ => return Err(choice.invalid("type", "one of 'auto', 'any', 'tool', 'none'")),
    });
    Ok(())
}

fn reasoning(
    object: &mut Object,
    config: Option<&mut Object>,
    drops: &mut Drops,
) -> Result<Option<Reasoning>, Malformed> {
    let effort = match config {
        Some(config) => effort(config)?,
        None => None,
    };
    let thinking = object.take_object("thinking")?;
    let Some(mut thinking) = thinking else {
        if effort.is_some() {
            drops.push(
                "output_config.effort",
                "an effort without thinking has no counterpart",
            );
        }
        return Ok(None);
    };
    let include = match thinking.take_string("display")?.as_deref() {
        None => None,
        Some("summarized") => Some(true),
        Some("omitted") => Some(false),
        Some(_) => return Err(thinking.invalid("display", "one of 'summarized', 'omitted'")),
    };
    let (effort, budget_tokens) = match thinking.need_string("type")?.as_str() {
        "enabled" => {
            let budget = thinking.take_u64("budget_tokens", 1)?;
            (
                None,
                Some(budget.ok_or_else(|| thinking.missing("budget_tokens"))?),
            )
        }
        "disabled" => (None, Some(0)),
        // High is what the provider takes where none is said.
        "adaptive" => (Some(effort.unwrap_or(Effort::High)), None),
        "between_tools" => {
            drops.push("thinking.type", UNSUPPORTED);
            return Ok(None);
        }
        _ => return Err(thinking.invalid("type", "one of 'enabled', 'disabled', 'adaptive'")),
    };
    Ok(Some(Reasoning {
        effort,
        budget_tokens,
        include,
    }))
}

fn effort(config: &mut Object) -> Result<Option<Effort>, Malformed> {
    let Some(word) = config.take_string("effort")? else {
        return Ok(None);
    };
    Ok(Some(match word.as_str() {
        "low" => Effort::Low,
        "medium" => Effort::Medium,
        "high" => Effort::High,
        "xhigh" => Effort::XHigh,
        "max" => Effort::Max,
        _ => {
            let allowed = "one of 'low', 'medium', 'high', 'xhigh', 'max'";
            return Err(config.invalid("effort", allowed));
        }
    }))
}

fn response_format(mut format: Object) -> Result<ResponseFormat, Malformed> {
    if format.need_string("type")? != "json_schema" {
        return Err(format.invalid("type", "'json_schema'"));
    }
    let schema = format.take_object("schema")?;
    let schema = schema.ok_or_else(|| format.missing("schema"))?;
    Ok(ResponseFormat::JsonSchema {
        name: SCHEMA_NAME.to_owned(),
        description: None,
        schema: Value::Object(schema.rest()),
        strict: Some(true),
    })
}

/// Names what was not taken.
pub(super) fn name_left(object: &Object, drops: &mut Drops) {
    for key in object.left() {
        drops.push(object.path(key), UNSUPPORTED);
    }
}
