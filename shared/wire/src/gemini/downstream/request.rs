//! A caller's request.

use serde_json::{Map, Value};

use crate::Drops;
use crate::error::Malformed;
use crate::json::{self, Object};
use crate::model::{ChatRequest, Tool, ToolChoice};

use super::super::OWN;
use super::{config, message, schema, turns};

/// Reads a caller's request strictly. `model` is the name in the path.
///
/// # Errors
/// [`Malformed`] with the field at fault.
pub fn decode_request(
    model: &str,
    stream: bool,
    body: &[u8],
) -> Result<(ChatRequest, Drops), Malformed> {
    let fields = message(Value::Object(json::parse_object(body)?.rest()), "")?;
    let mut drops = Drops::new();
    let request = decode(model, stream, fields, &mut drops)?;
    Ok((request, drops))
}

/// Reads a request that may stand inside another.
pub(super) fn decode(
    model: &str,
    stream: bool,
    mut fields: Object,
    drops: &mut Drops,
) -> Result<ChatRequest, Malformed> {
    let mut request = ChatRequest {
        model: model.strip_prefix("models/").unwrap_or(model).to_owned(),
        stream,
        stream_usage: stream,
        ..ChatRequest::default()
    };
    // The name in the path counts.
    let _ = fields.take("model");
    let mut own = Map::new();
    turns::decode(&mut fields, &mut request.messages, drops)?;
    tools(&mut fields, &mut request, &mut own, drops)?;
    tool_config(&mut fields, &mut request, drops)?;
    if let Some(config) = fields.take("generationConfig") {
        let config = message(config, &fields.path("generationConfig"))?;
        config::decode(config, &mut request, &mut own, drops)?;
    }
    for key in ["safetySettings", "cachedContent"] {
        if let Some(value) = fields.take(key) {
            own.insert(key.to_owned(), value);
        }
    }
    note_left(&fields, drops);
    if !own.is_empty() {
        request.extra.insert(OWN.to_owned(), Value::Object(own));
    }
    Ok(request)
}

/// Names what was not taken.
pub(super) fn note_left(fields: &Object, drops: &mut Drops) {
    for key in fields.left() {
        drops.push(fields.path(key), "not understood");
    }
}

fn tools(
    fields: &mut Object,
    request: &mut ChatRequest,
    own: &mut Map<String, Value>,
    drops: &mut Drops,
) -> Result<(), Malformed> {
    let mut own_tools = Vec::new();
    for (index, tool) in fields
        .take_array("tools")?
        .into_iter()
        .flatten()
        .enumerate()
    {
        let path = format!("tools[{index}]");
        let mut tool = message(tool, &path)?;
        let declarations = tool.take_array("functionDeclarations")?;
        for (number, declaration) in declarations.into_iter().flatten().enumerate() {
            let path = format!("{path}.functionDeclarations[{number}]");
            request
                .tools
                .push(declared(message(declaration, &path)?, drops)?);
        }
        let rest = tool.rest();
        if !rest.is_empty() {
            own_tools.push(Value::Object(rest));
        }
    }
    if !own_tools.is_empty() {
        own.insert("tools".to_owned(), Value::Array(own_tools));
    }
    Ok(())
}

fn declared(mut fields: Object, drops: &mut Drops) -> Result<Tool, Malformed> {
    let lowered = fields.take("parameters");
    let written = fields.take("parametersJsonSchema");
    if lowered.is_some() && written.is_some() {
        return Err(fields.invalid("parameters", "it or `parametersJsonSchema`, not both"));
    }
    let tool = Tool {
        name: fields.need_string("name")?,
        description: fields.take_string("description")?,
        parameters: written.or_else(|| lowered.map(schema::raise)),
        strict: None,
        cache: None,
    };
    note_left(&fields, drops);
    Ok(tool)
}

fn tool_config(
    fields: &mut Object,
    request: &mut ChatRequest,
    drops: &mut Drops,
) -> Result<(), Malformed> {
    let Some(config) = fields.take("toolConfig") else {
        return Ok(());
    };
    let mut config = message(config, &fields.path("toolConfig"))?;
    if let Some(calling) = config.take("functionCallingConfig") {
        let mut calling = message(calling, &config.path("functionCallingConfig"))?;
        let mode = calling.take_string("mode")?;
        let mut names = Vec::new();
        for name in calling
            .take_array("allowedFunctionNames")?
            .into_iter()
            .flatten()
        {
            match name {
                Value::String(name) => names.push(name),
                other => return Err(calling.wrong("allowedFunctionNames", "strings", &other)),
            }
        }
        request.tool_choice = match mode.as_deref() {
            None | Some("MODE_UNSPECIFIED") => None,
            Some("AUTO") => Some(ToolChoice::Auto),
            Some("VALIDATED") => {
                for tool in &mut request.tools {
                    tool.strict = Some(true);
                }
                Some(ToolChoice::Auto)
            }
            Some("NONE") => Some(ToolChoice::None),
            Some("ANY") => {
                if names.len() > 1 {
                    // "One of these" is "any" among these.
                    request.tools.retain(|tool| names.contains(&tool.name));
                }
                let only = names.pop().filter(|_| names.is_empty());
                Some(only.map_or(ToolChoice::Required, ToolChoice::Named))
            }
            Some(_) => return Err(calling.invalid("mode", "AUTO, ANY, NONE or VALIDATED")),
        };
        note_left(&calling, drops);
    }
    note_left(&config, drops);
    Ok(())
}
